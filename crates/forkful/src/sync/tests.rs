//! The primitives between threads, and handles that travel within one process.

use super::*;
use crate::codec::Outgoing;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Ends the program when a test hangs.
struct Watchdog(#[allow(dead_code)] Sender<()>);

fn watchdog() -> Watchdog {
    let (leash, end) = channel::<()>();
    let test = thread::current().name().unwrap_or("a test").to_owned();
    thread::spawn(move || {
        if end.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{test} hangs");
            std::process::abort();
        }
    });
    Watchdog(leash)
}

const SOON: Duration = Duration::from_millis(20);

fn is_shared<T: Clone + Send + Sync + std::fmt::Debug + Serialize + DeserializeOwned>() {}

#[test]
fn handles_go_everywhere_and_guards_stay() {
    is_shared::<Mutex>();
    is_shared::<Semaphore>();
    is_shared::<Event>();
    is_shared::<Condvar>();
    is_shared::<Barrier>();
    is_shared::<Queue<String>>();
    is_shared::<(Mutex, Vec<Queue<Option<u8>>>)>();
    fn is_sync<T: Sync>() {}
    is_sync::<MutexGuard<'_>>();
}

#[test]
fn a_mutex_lets_one_in_at_a_time() {
    let _watchdog = watchdog();
    let mutex = Mutex::new().unwrap();
    let count = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            let mutex = mutex.clone();
            let count = &count;
            scope.spawn(move || {
                for nth in 0..500 {
                    let _guard = mutex.lock().unwrap();
                    let seen = count.load(Relaxed);
                    if nth % 100 == 0 {
                        thread::sleep(Duration::from_millis(1));
                    }
                    count.store(seen + 1, Relaxed);
                }
            });
        }
    });
    assert_eq!(count.load(Relaxed), 2000);
    assert!(!mutex.is_locked());
}

#[test]
fn a_held_mutex_is_not_had_in_time_and_a_panic_gives_it_back() {
    let mutex = Mutex::new().unwrap();
    let guard = mutex.lock().unwrap();
    assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    let began = Instant::now();
    assert!(matches!(
        mutex.clone().lock_timeout(SOON),
        Err(TryLockError::WouldBlock)
    ));
    assert!(began.elapsed() >= SOON);
    let text = format!("{mutex:?}");
    assert!(text.contains(&std::process::id().to_string()), "{text}");
    drop(guard);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex.lock().unwrap();
        panic!("while it is held");
    }));
    assert!(caught.is_err());
    assert!(mutex.try_lock().is_ok());
    assert_eq!(mutex.owner_died(), None);
}

#[test]
fn a_semaphore_has_so_many_permits() {
    let _watchdog = watchdog();
    let semaphore = Semaphore::bounded(2).unwrap();
    let one = semaphore.acquire();
    let two = semaphore.try_acquire().unwrap();
    assert!(semaphore.try_acquire().is_none());
    let began = Instant::now();
    assert!(semaphore.acquire_timeout(SOON).is_none());
    assert!(began.elapsed() >= SOON);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| drop(semaphore.acquire()));
        thread::sleep(SOON);
        drop(one);
        waiter.join().unwrap();
    });
    two.forget();
    assert_eq!(semaphore.permits(), 1);
    assert_eq!(semaphore.release(2), Err(TooManyPermits { most: 2 }));
    semaphore.release(1).unwrap();
    assert_eq!(semaphore.permits(), 2);
    let open = Semaphore::new(0).unwrap();
    open.release(7).unwrap();
    assert_eq!(open.permits(), 7);
}

#[test]
fn an_event_lets_all_go() {
    let _watchdog = watchdog();
    let event = Event::new().unwrap();
    let began = Instant::now();
    assert!(!event.wait_timeout(SOON));
    assert!(began.elapsed() >= SOON);
    thread::scope(|scope| {
        let waiters: Vec<_> = (0..3).map(|_| scope.spawn(|| event.wait())).collect();
        event.set();
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
    assert!(event.wait_timeout(Duration::ZERO));
    event.clear();
    assert!(!event.is_set());
}

#[test]
fn a_storm_at_a_condvar_loses_nobody() {
    let _watchdog = watchdog();
    let (mutex, condvar) = (Mutex::new().unwrap(), Condvar::new().unwrap());
    let (tokens, taken) = (AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let guard = mutex.lock().unwrap();
                    let guard = condvar
                        .wait_while(guard, || tokens.load(Relaxed) == 0)
                        .unwrap();
                    tokens.fetch_sub(1, Relaxed);
                    taken.fetch_add(1, Relaxed);
                    drop(guard);
                }
            });
        }
        for nth in 0..800 {
            let guard = mutex.lock().unwrap();
            tokens.fetch_add(1, Relaxed);
            if nth % 50 == 0 {
                condvar.notify_all(&guard);
            } else {
                condvar.notify_one(&guard);
            }
        }
    });
    assert_eq!((tokens.into_inner(), taken.into_inner()), (0, 800));
}

#[test]
fn a_wait_at_a_condvar_ends_in_time_with_the_mutex_in_hand() {
    let (mutex, condvar) = (Mutex::new().unwrap(), Condvar::new().unwrap());
    let began = Instant::now();
    let guard = mutex.lock().unwrap();
    let (guard, ended) = condvar.wait_timeout(guard, SOON).unwrap();
    assert!(ended.timed_out() && began.elapsed() >= SOON && mutex.is_locked());
    let (guard, ended) = condvar.wait_timeout_while(guard, SOON, || true).unwrap();
    assert!(ended.timed_out() && began.elapsed() >= 2 * SOON);
    let (guard, ended) = condvar.wait_timeout_while(guard, SOON, || false).unwrap();
    assert!(!ended.timed_out());
    drop(guard);
    assert!(!mutex.is_locked());
}

#[test]
fn a_condvar_is_for_one_mutex() {
    let (mutex, other, condvar) = (
        Mutex::new().unwrap(),
        Mutex::new().unwrap(),
        Condvar::new().unwrap(),
    );
    condvar.notify_one(&mutex.lock().unwrap());
    condvar.notify_one(&mutex.clone().lock().unwrap());
    let wrong = catch_unwind(AssertUnwindSafe(|| {
        condvar.notify_one(&other.lock().unwrap());
    }));
    assert!(wrong.is_err());
}

#[test]
fn a_barrier_has_one_leader_in_each_round() {
    let _watchdog = watchdog();
    let barrier = Barrier::new(3).unwrap();
    let (leaders, indices, acted) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for round in 0..50 {
                    let passed = barrier
                        .wait_with(|| {
                            acted.fetch_add(1, Relaxed);
                        })
                        .unwrap();
                    assert!(acted.load(Relaxed) > round);
                    leaders.fetch_add(passed.is_leader().into(), Relaxed);
                    indices.fetch_add(passed.index(), Relaxed);
                    barrier.wait().unwrap();
                }
            });
        }
    });
    assert_eq!(leaders.into_inner(), 50);
    assert_eq!(indices.into_inner(), 150);
    assert_eq!(acted.into_inner(), 50);
}

#[test]
fn a_barrier_breaks_for_all_and_can_be_made_new() {
    let _watchdog = watchdog();
    let barrier = Barrier::new(3).unwrap();
    thread::scope(|scope| {
        let waiter = scope.spawn(|| barrier.wait());
        let began = Instant::now();
        assert_eq!(barrier.wait_timeout(SOON), Err(BrokenBarrier));
        assert!(began.elapsed() >= SOON);
        assert_eq!(waiter.join().unwrap(), Err(BrokenBarrier));
    });
    assert!(barrier.is_broken());
    assert_eq!(barrier.wait(), Err(BrokenBarrier));
    barrier.reset();
    assert!(!barrier.is_broken() && barrier.waiting() == 0);
    barrier.abort();
    assert!(barrier.is_broken());
}

#[test]
fn an_action_that_panics_breaks_its_barrier() {
    let barrier = Barrier::new(1).unwrap();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _ = barrier.wait_with(|| panic!("in the action"));
    }));
    assert!(caught.is_err());
    assert_eq!(barrier.wait(), Err(BrokenBarrier));
}

#[test]
fn a_queue_keeps_order_and_bounds_and_gives_values_back() {
    let queue = Queue::bounded(2).unwrap();
    queue.put((1, "one".to_owned())).unwrap();
    queue.try_put((2, "two".to_owned())).unwrap();
    assert!(queue.is_full() && queue.len() == 2 && queue.capacity() == Some(2));
    let refused = queue.try_put((3, "three".to_owned())).unwrap_err();
    assert!(matches!(refused.reason, QueueError::Full));
    let began = Instant::now();
    let refused = queue.put_timeout(refused.value, SOON).unwrap_err();
    assert!(began.elapsed() >= SOON);
    assert_eq!(refused.value, (3, "three".to_owned()));
    assert_eq!(queue.get().unwrap().0, 1);
    assert_eq!(queue.try_get().unwrap().1, "two");
    assert!(matches!(queue.try_get(), Err(QueueError::Empty)));
    let began = Instant::now();
    assert!(matches!(queue.get_timeout(SOON), Err(QueueError::Empty)));
    assert!(began.elapsed() >= SOON && queue.is_empty());
}

#[test]
fn every_item_is_got_once_and_in_its_sender_s_order() {
    let _watchdog = watchdog();
    let queue = Queue::bounded(50).unwrap();
    let seen: Vec<Vec<(u32, u32)>> = thread::scope(|scope| {
        let getters: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let items = queue.iter().map(Result::unwrap);
                    items.map_while(|item| item).collect()
                })
            })
            .collect();
        let queue = &queue;
        thread::scope(|scope| {
            for one in 0..2u32 {
                scope.spawn(move || (0..3000).for_each(|nth| queue.put(Some((one, nth))).unwrap()));
            }
        });
        (0..3).for_each(|_| queue.put(None).unwrap());
        getters.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for mine in &seen {
        for sender in 0..2 {
            let of_one: Vec<u32> = mine
                .iter()
                .filter(|item| item.0 == sender)
                .map(|item| item.1)
                .collect();
            assert!(of_one.is_sorted());
        }
    }
    let mut all: Vec<(u32, u32)> = seen.into_iter().flatten().collect();
    all.sort_unstable();
    let expected: Vec<(u32, u32)> = (0..2)
        .flat_map(|one| (0..3000).map(move |nth| (one, nth)))
        .collect();
    assert_eq!(all, expected);
}

#[test]
fn large_items_pass_and_finished_ones_are_counted() {
    let queue = Queue::unbounded().unwrap();
    let large: Vec<u8> = (0..3_000_000).map(|n| (n % 251) as u8).collect();
    queue.put(large.clone()).unwrap();
    queue.put(Vec::new()).unwrap();
    assert!(!queue.join_timeout(Duration::from_millis(1)));
    assert_eq!(queue.get().unwrap(), large);
    assert_eq!(queue.get().unwrap(), Vec::<u8>::new());
    assert!(queue.task_done().unwrap() && queue.task_done().unwrap());
    queue.join();
    assert!(!queue.task_done().unwrap());
}

#[test]
fn what_cannot_be_an_item_is_refused_with_its_value() {
    let queue = Queue::unbounded().unwrap();
    let refused = queue.put(Mutex::new().unwrap()).unwrap_err();
    assert!(
        matches!(&refused.reason, QueueError::NotSent(_)),
        "{refused}"
    );
    assert!(!refused.value.is_locked() && queue.is_empty());
}

#[test]
fn no_other_serialiser_takes_a_handle() {
    let mutex = Mutex::new().unwrap();
    assert!(postcard::to_stdvec(&mutex).is_err());
    assert!(postcard::to_stdvec(&Queue::<u8>::unbounded().unwrap()).is_err());
}

fn travelled<T: Serialize + DeserializeOwned>(value: &T) -> T {
    Outgoing::of(value).unwrap().read_here().unwrap()
}

#[test]
fn a_handle_that_has_travelled_is_the_same_object() {
    let (mutex, semaphore, event) = (
        Mutex::new().unwrap(),
        Semaphore::bounded(3).unwrap(),
        Event::new().unwrap(),
    );
    let (condvar, barrier) = (Condvar::new().unwrap(), Barrier::new(2).unwrap());
    let queue = Queue::<String>::bounded(4).unwrap();
    let all = (
        Some(mutex.clone()),
        vec![(semaphore.clone(), event.clone())],
        condvar.clone(),
        (barrier.clone(), queue.clone()),
    );
    let (other, many, condvar_2, (barrier_2, queue_2)) = travelled(&all);
    let guard = mutex.lock().unwrap();
    assert!(other.unwrap().is_locked());
    condvar.notify_all(&guard);
    condvar_2.notify_all(&guard);
    let (semaphore_2, event_2) = &many[0];
    let _permit = semaphore_2.acquire();
    assert_eq!(semaphore.permits(), 2);
    event.set();
    assert!(event_2.is_set());
    barrier_2.abort();
    assert!(barrier.is_broken());
    queue.put("an item".to_owned()).unwrap();
    assert_eq!(queue_2.get().unwrap(), "an item");
    assert_eq!(queue_2.capacity(), Some(4));
}

#[test]
fn the_file_of_many_handles_is_sent_once() {
    let mutexes: Vec<Mutex> = (0..100).map(|_| Mutex::new().unwrap()).collect();
    let files: std::collections::HashSet<_> = mutexes.iter().map(|one| one.identity().0).collect();
    let outgoing = Outgoing::of(&mutexes).unwrap();
    assert_eq!(outgoing.descriptors(), files.len());
    let others: Vec<Mutex> = outgoing.read_here().unwrap();
    let _guard = mutexes[70].lock().unwrap();
    assert!(others[70].is_locked() && !others[69].is_locked());
}

#[test]
fn garbage_is_no_handle() {
    for bytes in [&[0u8; 40][..], &[255; 40], &[1, 2, 3, 128]] {
        let mut incoming = crate::codec::Incoming::new(bytes);
        assert!(incoming.read::<Mutex>().is_err());
        assert!(
            crate::codec::Incoming::new(bytes)
                .read::<Queue<u8>>()
                .is_err()
        );
    }
}

#[test]
fn a_file_that_holds_no_such_object_is_refused() {
    let large = tempfile::tempfile().unwrap();
    large.set_len(256 << 10).unwrap();
    let (pipe, _writer) = std::io::pipe().unwrap();
    let files = [
        crate::Fd::new(large),
        crate::Fd::new(pipe),
        crate::Fd::new(std::fs::File::open("/dev/zero").unwrap()),
    ];
    // As a ticket is written: the descriptor, what it says to be, and where in it.
    for file in files {
        let ticket = (file, 0_u64, 0_u64);
        let said = Outgoing::of(&ticket).unwrap().read_here::<Queue<u8>>();
        assert!(said.is_err(), "{:?}", ticket.0);
        for offset in [0, 128, u64::MAX] {
            let place = (&ticket, offset);
            let said = Outgoing::of(&place).unwrap().read_here::<Mutex>();
            assert!(said.is_err(), "{:?}", ticket.0);
        }
    }
    let mutex = Mutex::new().unwrap();
    let said = Outgoing::of(&mutex).unwrap().read_here::<Queue<u8>>();
    assert!(said.is_err());
    // A place that is none, in a file that is known here.
    let ((device, inode), _) = mutex.identity();
    for offset in [0, 1, 64, 256 << 10, u64::MAX] {
        let ticket = (0_u32, device, inode, offset);
        let said = Outgoing::of(&ticket).unwrap().read_here::<Mutex>();
        assert!(said.is_err(), "{offset}");
    }
}

#[test]
fn a_descriptor_that_has_travelled_is_of_the_same_file() {
    use std::io::{Read, Write};
    let (mut reader, writer) = std::io::pipe().unwrap();
    let other = travelled(&vec![crate::Fd::new(writer)]).pop().unwrap();
    other.into_file().write_all(b"over there").unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "over there");
    assert!(postcard::to_stdvec(&crate::Fd::new(reader)).is_err());
}

#[test]
fn the_longest_limit_is_a_wait_like_any() {
    let _watchdog = watchdog();
    let (mutex, condvar) = (Mutex::new().unwrap(), Condvar::new().unwrap());
    let (semaphore, event) = (Semaphore::new(0).unwrap(), Event::new().unwrap());
    let (barrier, queue) = (Barrier::new(2).unwrap(), Queue::bounded(1).unwrap());
    let longest = Duration::MAX;
    thread::scope(|scope| {
        let guard = mutex.lock().unwrap();
        scope.spawn(|| {
            let guard = mutex.lock_timeout(longest).unwrap();
            let (_guard, ended) = condvar.wait_timeout(guard, longest).unwrap();
            assert!(!ended.timed_out());
            drop(semaphore.acquire_timeout(longest).unwrap());
            assert!(event.wait_timeout(longest));
            barrier.wait_timeout(longest).unwrap();
            assert_eq!(queue.get_timeout(longest).unwrap(), 1);
            assert!(queue.join_timeout(longest));
        });
        thread::sleep(SOON);
        drop(guard);
        loop {
            let guard = mutex.lock().unwrap();
            condvar.notify_all(&guard);
            drop(guard);
            if semaphore.permits() == 0 {
                semaphore.release(1).unwrap();
            }
            thread::sleep(SOON);
            event.set();
            if barrier.waiting() == 1 {
                break;
            }
        }
        barrier.wait_timeout(longest).unwrap();
        thread::sleep(SOON);
        queue.put_timeout(1, longest).unwrap();
        while !queue.is_empty() {
            thread::yield_now();
        }
        queue.task_done().unwrap();
    });
}
