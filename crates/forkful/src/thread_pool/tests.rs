//! The pool of threads: results, panics, priorities, nesting, bounds, ends.

use super::*;
use crate::error::Refusal;
use crate::home::Status;
use crate::watchdog::Watchdog;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::AtomicU32;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// A task that says when it has begun, and ends when it is told.
struct Held {
    future: Future<()>,
    end: Sender<()>,
}

fn hold(pool: &ThreadPoolExecutor) -> Held {
    let ((begin, begun), (end, ended)) = (channel(), channel::<()>());
    let future = pool.submit(move || {
        begin.send(()).unwrap();
        let _ = ended.recv();
    });
    begun.recv().unwrap();
    Held { future, end }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("a bomb");
        }
    }
}

#[test]
fn panics_keep_their_payload_and_their_thread() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let name = || thread::current().id();
    let before = pool.submit(name).result().unwrap();
    let error = pool.submit(|| std::panic::panic_any(7u64)).result();
    let Err(TaskError::Panicked(panic)) = error else {
        panic!("{error:?}");
    };
    assert_eq!(panic.into_payload().downcast_ref(), Some(&7u64));
    assert_eq!(pool.submit(name).result().unwrap(), before);
    let stats = pool.stats();
    assert_eq!((stats.done, stats.failed, stats.running), (2, 1, 0));
}

#[test]
fn values_that_panic_when_they_are_dropped_end_no_thread() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let before = pool.submit(|| thread::current().id()).result().unwrap();
    // A result that nobody takes, a payload, and a closure that is never called.
    let (taken, take) = channel();
    let held = hold(&pool);
    drop(pool.submit(move || {
        taken.send(()).unwrap();
        Bomb
    }));
    drop(pool.submit(|| std::panic::panic_any(Bomb)));
    let bomb = Bomb;
    let cancelled = pool.submit(move || drop(bomb));
    assert!(cancelled.cancel());
    held.end.send(()).unwrap();
    take.recv().unwrap();
    assert_eq!(
        pool.submit(|| thread::current().id()).result().unwrap(),
        before
    );
}

#[test]
fn smaller_priorities_run_first_and_equals_in_turn() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let held = hold(&pool);
    let order = Arc::new(Mutex::new(Vec::new()));
    let futures: Vec<_> = [(0, 2), (5, 4), (-1, 0), (0, 3), (-1, 1)]
        .map(|(priority, place)| {
            let order = order.clone();
            let view = pool.with_options(ThreadOptions::new().priority(priority));
            view.submit(move || order.lock().unwrap().push(place))
        })
        .into();
    held.end.send(()).unwrap();
    for future in futures {
        future.result().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[test]
fn a_chain_of_nested_waits_ends_on_one_worker() {
    fn down(pool: &Arc<ThreadPoolExecutor>, depth: u32) -> u32 {
        if depth == 0 {
            return 0;
        }
        let inner = pool.clone();
        let below = pool.submit(move || down(&inner, depth - 1));
        below.result().unwrap() + 1
    }
    let _watchdog = Watchdog::here();
    let pool = Arc::new(ThreadPoolExecutor::new(1));
    // Deeper than tasks may run inside each other on one thread.
    assert_eq!(down(&pool, 200), 200);
}

#[test]
fn a_worker_that_waits_with_a_timeout_steps_aside() {
    let _watchdog = Watchdog::here();
    let pool = Arc::new(ThreadPoolExecutor::new(1));
    let inner = pool.clone();
    let outer = pool.submit(move || {
        let mut future = inner.submit(|| thread::current().id());
        let other = future.result_timeout(Duration::from_secs(50)).unwrap();
        other != thread::current().id()
    });
    assert!(outer.result().unwrap());
}

#[test]
fn a_queued_task_runs_in_the_thread_that_waits_for_it() {
    let _watchdog = Watchdog::here();
    let pool = Arc::new(ThreadPoolExecutor::new(1));
    let inner = pool.clone();
    let same = pool.submit(move || {
        let future = inner.submit(|| thread::current().id());
        future.result().unwrap() == thread::current().id()
    });
    assert!(same.result().unwrap());
    let stats = pool.stats();
    assert_eq!((stats.done, stats.pending, stats.running), (2, 0, 0));
}

#[test]
fn submitters_wait_for_room_and_workers_do_not() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::builder()
        .workers(1)
        .max_pending(2)
        .build()
        .map(Arc::new)
        .unwrap();
    let held = hold(&pool);
    let waiting = [pool.submit(|| ()), pool.submit(|| ())];
    let third = {
        let pool = pool.clone();
        thread::spawn(move || pool.submit(|| 3).result())
    };
    thread::sleep(Duration::from_millis(20));
    assert_eq!(pool.stats().pending, 2);
    held.end.send(()).unwrap();
    assert_eq!(third.join().unwrap().unwrap(), 3);
    for future in waiting {
        future.result().unwrap();
    }
    // Five of its own, where two have room.
    let inner = pool.clone();
    let sum = pool.submit(move || {
        let futures: Vec<_> = (0..5).map(|n| inner.submit(move || n)).collect();
        let values = futures.into_iter().map(|future| future.result().unwrap());
        values.sum::<i32>()
    });
    assert_eq!(sum.result().unwrap(), 10);
}

#[test]
fn a_shutdown_wakes_those_who_wait_for_room() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::builder().workers(1).max_pending(1);
    let pool = Arc::new(pool.build().unwrap());
    let held = hold(&pool);
    let _waits = pool.submit(|| ());
    let refused = {
        let pool = pool.clone();
        thread::spawn(move || pool.submit(|| ()).result())
    };
    thread::sleep(Duration::from_millis(20));
    pool.shutdown(Shutdown::Detach);
    let refused = refused.join().unwrap();
    assert!(matches!(
        refused,
        Err(TaskError::Refused(Refusal::ShutDown))
    ));
    drop(held.end);
}

#[test]
fn an_initializer_runs_once_in_each_thread() {
    let _watchdog = Watchdog::here();
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let pool = ThreadPoolExecutor::builder()
        .workers(2)
        .initializer(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        })
        .build()
        .unwrap();
    let held = [hold(&pool), hold(&pool)];
    for held in held {
        held.end.send(()).unwrap();
    }
    for result in pool.map(|n| n, 0..50) {
        result.unwrap();
    }
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn an_initializer_that_panics_breaks_the_pool() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::builder()
        .workers(2)
        .initializer(|| panic!("no disk"))
        .build()
        .unwrap();
    let futures: Vec<_> = (0..10).map(|n| pool.submit(move || n)).collect();
    for future in futures {
        let error = future.result().unwrap_err();
        assert!(error.to_string().contains("no disk"), "{error}");
    }
    let refused = loop {
        match pool.try_submit(|| ()) {
            Err(refused) => break refused,
            Ok(future) => assert!(future.result().is_err()),
        }
    };
    assert!(matches!(refused.refusal, Refusal::Broken(why) if why.contains("no disk")));
    assert_eq!(pool.stats().pending, 0);
}

#[test]
fn where_no_thread_can_be_started_the_closure_comes_back() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::builder().workers(1);
    let pool = pool.stack_size(usize::MAX / 4).build().unwrap();
    let refused = pool.try_submit(|| 5).unwrap_err();
    assert!(matches!(&refused.refusal, Refusal::Broken(why) if why.contains("thread")));
    assert_eq!((refused.work)(), 5);
    assert!(matches!(
        pool.submit(|| 5).result(),
        Err(TaskError::Refused(Refusal::Broken(_)))
    ));
    assert_eq!(pool.stats().pending, 0);
}

#[test]
fn settings_without_sense_are_named() {
    let wrong = [
        (ThreadPoolExecutor::builder().workers(0), "workers"),
        (ThreadPoolExecutor::builder().max_pending(0), "max_pending"),
        (ThreadPoolExecutor::builder().name("a\0b"), "name"),
    ];
    for (builder, named) in wrong {
        let text = builder.build().unwrap_err().to_string();
        assert!(text.contains(named), "{text}");
    }
    assert!(catch_unwind(|| ThreadPoolExecutor::new(0)).is_err());
}

#[test]
fn cancelled_tasks_never_run_and_leave_the_queue() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let held = hold(&pool);
    let (ran, alive) = (Arc::new(AtomicU32::new(0)), Arc::new(()));
    let futures: Vec<_> = (0..100)
        .map(|_| {
            let (ran, alive) = (ran.clone(), alive.clone());
            pool.submit(move || {
                ran.fetch_add(1, Ordering::SeqCst);
                drop(alive);
            })
        })
        .collect();
    let told = Arc::new(AtomicU32::new(0));
    let hook = told.clone();
    futures[0].add_done_callback(move |status| {
        assert_eq!(status, Status::Cancelled);
        hook.fetch_add(1, Ordering::SeqCst);
    });
    assert!(futures.iter().all(Future::cancel));
    assert!(futures.iter().all(Future::cancel), "again");
    // Their closures are gone at once.
    assert_eq!(Arc::strong_count(&alive), 1);
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert!(!held.future.cancel() && !held.future.kill());
    let stats = pool.stats();
    assert_eq!((stats.cancelled, stats.pending, stats.running), (100, 0, 1));
    held.end.send(()).unwrap();
    for future in futures {
        assert!(matches!(future.result(), Err(TaskError::Cancelled)));
    }
    held.future.result().unwrap();
    assert_eq!(ran.load(Ordering::SeqCst), 0);
}

#[test]
fn the_three_ways_to_end() {
    let _watchdog = Watchdog::here();
    for how in [Shutdown::Wait, Shutdown::Cancel, Shutdown::Detach] {
        let pool = ThreadPoolExecutor::new(1);
        let Held { future, end } = hold(&pool);
        let waiting: Vec<_> = (0..20).map(|n| pool.submit(move || n)).collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(10));
                while how == Shutdown::Cancel && !waiting.iter().all(Future::is_cancelled) {
                    thread::yield_now();
                }
                let _ = end.send(());
            });
            pool.shutdown(how);
            assert!(pool.try_submit(|| ()).is_err());
            if how == Shutdown::Detach {
                // The end of the pool itself does not wait either.
                drop(pool);
            } else {
                assert!(future.is_done());
            }
        });
        for (n, future) in waiting.into_iter().enumerate() {
            match (how, future.result()) {
                (Shutdown::Cancel, Err(TaskError::Cancelled)) => {}
                (Shutdown::Wait | Shutdown::Detach, Ok(value)) => assert_eq!(value, n),
                (_, other) => panic!("{how:?}: {other:?}"),
            }
        }
        future.result().unwrap();
    }
}

#[test]
fn dropping_a_pool_runs_what_was_accepted_and_waits_for_its_threads() {
    struct Slow(Arc<AtomicU32>);
    impl Drop for Slow {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(10));
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    thread_local! {
        static LAST: std::cell::RefCell<Option<Slow>> = const { std::cell::RefCell::new(None) };
    }
    let _watchdog = Watchdog::here();
    let count = Arc::new(AtomicU32::new(0));
    let pool = ThreadPoolExecutor::new(1);
    for _ in 0..20 {
        let count = count.clone();
        drop(pool.submit(move || LAST.set(Some(Slow(count)))));
    }
    drop(pool);
    // The last one by the destructor of its thread's value.
    assert_eq!(count.load(Ordering::SeqCst), 20);
}

#[test]
fn a_worker_may_drop_its_own_pool() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let (give, given): (Sender<ThreadPoolExecutor>, Receiver<_>) = channel();
    let future = pool.submit(move || drop(given.recv()));
    let after = pool.submit(|| 1);
    give.send(pool).unwrap();
    future.result().unwrap();
    assert_eq!(after.result().unwrap(), 1);
}

#[test]
fn callbacks_come_in_order_and_their_panics_end_nothing() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let held = hold(&pool);
    let (send, receive) = channel();
    let future = pool.submit(|| 4);
    for n in 0..3 {
        let send = send.clone();
        future.add_done_callback(move |status| {
            assert_eq!(status, Status::Returned);
            send.send(n).unwrap();
            panic!("callback {n}");
        });
    }
    future.then(move |result| send.send(result.unwrap()).unwrap());
    held.end.send(()).unwrap();
    assert!(receive.iter().eq([0, 1, 2, 4]));
    // One that comes late is called at once.
    let future = pool.submit(|| -> u8 { panic!("on purpose") });
    assert!(future.wait_timeout(Duration::from_secs(50)));
    let seen = Arc::new(Mutex::new(None));
    let place = seen.clone();
    future.add_done_callback(move |status| *place.lock().unwrap() = Some(status));
    assert_eq!(*seen.lock().unwrap(), Some(Status::Failed));
    // So is what is called by `then`, which takes the result for good.
    future.then(|result| assert!(matches!(result, Err(TaskError::Panicked(_)))));
}

#[test]
fn a_waker_that_panics_keeps_no_other_hook_from_firing() {
    use std::task::{Context, Wake, Waker};
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker");
        }
    }
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let held = hold(&pool);
    let mut future = pool.submit(|| 1);
    let waker = Waker::from(Arc::new(Panics));
    let pinned = std::pin::Pin::new(&mut future);
    assert!(std::future::Future::poll(pinned, &mut Context::from_waker(&waker)).is_pending());
    let (send, receive) = channel();
    future.add_done_callback(move |_| send.send(()).unwrap());
    held.end.send(()).unwrap();
    receive.recv().unwrap();
    assert_eq!(pool.submit(|| 2).result().unwrap(), 2);
}

#[test]
fn a_future_can_be_awaited() {
    let _watchdog = Watchdog::here();
    struct Unpark(thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let pool = ThreadPoolExecutor::new(2);
    let sum = async {
        let (first, second) = (pool.submit(|| 1), pool.submit(|| 2));
        thread::sleep(Duration::from_millis(1));
        let third = pool.submit(|| {
            thread::sleep(Duration::from_millis(5));
            3
        });
        first.await.unwrap() + second.await.unwrap() + third.await.unwrap()
    };
    let mut sum = std::pin::pin!(sum);
    let waker = std::task::Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    let value = loop {
        match std::future::Future::poll(sum.as_mut(), &mut context) {
            std::task::Poll::Ready(value) => break value,
            std::task::Poll::Pending => thread::park(),
        }
    };
    assert_eq!(value, 6);
}

#[test]
fn named_tasks_are_counted_with_what_they_cost() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(2);
    let naps = pool.with_options(ThreadOptions::new().name("nap"));
    for result in naps.map(|ms| thread::sleep(Duration::from_millis(ms)), [3, 3]) {
        result.unwrap();
    }
    let nap = pool.stats().tasks["nap"];
    assert_eq!(nap.calls, 2);
    assert!(nap.wall >= Duration::from_millis(6));
    assert!(nap.cpu < nap.wall);
}

/// How many of three tasks seem to have taken a nap, of which one has.
fn naps() -> u64 {
    const NAP: Duration = Duration::from_millis(30);
    // An initializer's nap is not its thread's first task's,
    let pool = ThreadPoolExecutor::builder().workers(1);
    let pool = Arc::new(pool.initializer(|| thread::sleep(NAP)).build().unwrap());
    let held = hold(&pool);
    // nor a callback's the next one's,
    held.future.add_done_callback(|_| thread::sleep(NAP));
    held.end.send(()).unwrap();
    // nor that of a task which waits its part's.
    let inner = pool.clone();
    let outer = pool.submit(move || {
        thread::sleep(NAP);
        inner.submit(|| ()).result()
    });
    outer.result().unwrap().unwrap();
    pool.shutdown(Shutdown::Wait);
    let run_time = pool.stats().run_time;
    let long = run_time.buckets();
    long.filter(|(bound, _)| bound.is_none_or(|bound| bound > NAP))
        .map(|(_, count)| count)
        .sum()
}

#[test]
fn the_time_of_a_task_is_its_own() {
    let _watchdog = Watchdog::here();
    // On a busy machine any of them may take long, but not always.
    assert!((0..20).any(|_| naps() == 1));
}

#[test]
fn a_result_is_taken_once() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let mut future = pool.submit(|| 1);
    assert_eq!(future.result_timeout(Duration::from_secs(50)).unwrap(), 1);
    let again = catch_unwind(AssertUnwindSafe(|| {
        future.result_timeout(Duration::from_secs(50))
    }));
    assert!(again.is_err());
}

#[test]
fn a_storm_of_everything_loses_nothing() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::builder().workers(3).max_pending(64);
    let pool = Arc::new(pool.build().unwrap());
    let (ran, called) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let storm = |seed: u32| {
        let (pool, ran, called) = (pool.clone(), ran.clone(), called.clone());
        move || {
            let (mut cancelled, mut random) = (0, seed);
            let mut kept = Vec::new();
            for _ in 0..1500u32 {
                random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (inner, ran) = (pool.clone(), ran.clone());
                let nested = random >> 28 == 0;
                let priority = (random >> 20) as i32 % 3 - 1;
                let view = pool.with_options(ThreadOptions::new().priority(priority));
                let mut future = view.submit(move || {
                    ran.fetch_add(1, Ordering::Relaxed);
                    if nested {
                        assert_eq!(inner.submit(|| 5).result().unwrap(), 5);
                    }
                });
                let called = called.clone();
                future.add_done_callback(move |_| {
                    called.fetch_add(1, Ordering::Relaxed);
                });
                match random >> 29 {
                    0 | 1 => cancelled += u32::from(future.cancel()),
                    2 => drop(future),
                    3 => drop(future.result_timeout(Duration::from_micros(50))),
                    4 => drop(future.result()),
                    _ => kept.push(future),
                }
            }
            for future in crate::as_completed(kept) {
                future.result().unwrap();
            }
            cancelled
        }
    };
    let threads: Vec<_> = (1..4).map(|seed| thread::spawn(storm(seed))).collect();
    let cancelled: u32 = threads.into_iter().map(|t| t.join().unwrap()).sum();
    pool.shutdown(Shutdown::Wait);
    assert_eq!(ran.load(Ordering::Relaxed) + cancelled, 4500);
    assert_eq!(called.load(Ordering::Relaxed), 4500);
    let stats = pool.stats();
    assert_eq!((stats.pending, stats.running, stats.failed), (0, 0, 0));
    assert_eq!(stats.cancelled, u64::from(cancelled));
    assert_eq!(stats.submitted, stats.done + stats.cancelled);
    assert!(stats.workers.is_empty());
}

#[test]
fn a_value_may_use_the_pool_when_it_is_dropped() {
    struct Submits(Arc<ThreadPoolExecutor>, Sender<u32>, u32);
    impl Drop for Submits {
        fn drop(&mut self) {
            let Submits(pool, sender, depth) = self;
            sender.send(*depth).unwrap();
            if *depth > 0 {
                let next = Submits(pool.clone(), sender.clone(), *depth - 1);
                drop(pool.submit(move || next));
                assert_eq!(pool.submit(|| 1).result().unwrap(), 1);
            }
        }
    }
    let _watchdog = Watchdog::here();
    let pool = Arc::new(ThreadPoolExecutor::new(1));
    let (sender, seen) = channel();
    let first = Submits(pool.clone(), sender.clone(), 3);
    drop(pool.submit(move || first));
    let held = hold(&pool);
    // One that is cancelled is dropped by whoever cancels it.
    let never = Submits(pool.clone(), sender, 0);
    assert!(pool.submit(move || drop(never)).cancel());
    held.end.send(()).unwrap();
    let mut seen: Vec<u32> = seen.iter().collect();
    seen.sort_unstable();
    assert_eq!(seen, [0, 0, 1, 2, 3]);
}
