//! What a queue does, by one thread, by many, and over garbage.

use super::chain::{KEPT, LINKS};
use super::*;
use crate::shm::Bytes;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::os::fd::AsFd;
use std::sync::Arc;

fn never() -> Result<(), Infallible> {
    Ok(())
}

fn message(front: &[u8]) -> Message<'_> {
    Message {
        kind: 1,
        front,
        cargo: None,
    }
}

fn put(queue: &Queue, bytes: &[u8]) {
    queue.put(&message(bytes), Deadline::NEVER, never).unwrap();
}

fn take(queue: &Queue) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    match queue.try_get(&mut content, usize::MAX).unwrap() {
        Tried::Done(1) => Some(content),
        Tried::NotNow => None,
        other => panic!("{other:?}"),
    }
}

/// Bytes that tell one message from another, and each place in it.
fn content(seed: usize, len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| (at * 31 + seed * 7 + at / 251) as u8)
        .collect()
}

/// Bytes of memory that its file has.
fn held(queue: &Queue) -> u64 {
    let fd = queue.fd().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
    std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap()) * 512
}

#[test]
fn messages_come_as_they_went() {
    let queue = Queue::create(0).unwrap();
    assert_eq!(take(&queue), None);
    let sizes = [
        0,
        1,
        7,
        8,
        9,
        SEGMENT - 16,
        SEGMENT - 8,
        SEGMENT,
        SEGMENT + 1,
        3 * SEGMENT,
        1000,
    ];
    for round in 0..5 {
        for (nth, size) in sizes.into_iter().enumerate() {
            put(&queue, &content(nth + round, size));
        }
        assert_eq!(queue.len() as usize, sizes.len());
        for (nth, size) in sizes.into_iter().enumerate() {
            assert_eq!(take(&queue), Some(content(nth + round, size)), "{size}");
        }
        assert!(queue.is_empty());
    }
}

#[test]
fn a_front_and_a_cargo_are_one_message() {
    let queue = Queue::create(0).unwrap();
    for nth in 0..40 {
        let (front, behind) = (content(nth, nth * 3), content(nth + 1, nth * 20_001));
        let cargo = Bytes::of(behind.clone());
        let message = Message {
            kind: 9,
            front: &front,
            cargo: Some(&cargo),
        };
        queue.put(&message, Deadline::NEVER, never).unwrap();
        let mut got = b"behind ".to_vec();
        if message.len() > 10 {
            assert_eq!(queue.try_get(&mut got, 10).unwrap(), Tried::Busy);
        }
        assert_eq!(queue.try_get(&mut got, usize::MAX).unwrap(), Tried::Done(9));
        assert!(got == [b"behind ", &front[..], &behind[..]].concat());
    }
}

#[test]
fn a_bounded_one_fills() {
    let queue = Queue::create(2).unwrap();
    put(&queue, b"a");
    put(&queue, b"b");
    assert!(queue.is_full());
    assert_eq!(queue.try_put(&message(b"c")).unwrap(), Tried::NotNow);
    let late = queue.put(
        &message(b"c"),
        Deadline::after(Duration::from_millis(5)),
        never,
    );
    assert!(matches!(late, Err(Stopped::TimedOut)));
    let stopped = queue.put(&message(b"c"), Deadline::NEVER, || Err("a signal"));
    assert!(matches!(stopped, Err(Stopped::Interrupted("a signal"))));
    assert_eq!(take(&queue).unwrap(), b"a");
    put(&queue, b"c");
    assert_eq!(
        [take(&queue), take(&queue), take(&queue)],
        [Some(b"b".into()), Some(b"c".into()), None]
    );
    let late = queue.get(
        &mut Vec::new(),
        Deadline::after(Duration::from_millis(5)),
        never,
    );
    assert!(matches!(late, Err(Stopped::TimedOut)));
}

#[test]
fn it_grows_and_gives_memory_back() {
    let queue = Queue::create(0).unwrap();
    let small = held(&queue);
    assert!(small <= 64 << 10, "{small}");
    for round in 0..2 {
        for nth in 0..300 {
            put(&queue, &content(nth + round, 100_000));
        }
        assert!(held(&queue) >= 30_000_000);
        for nth in 0..300 {
            assert_eq!(take(&queue).unwrap(), content(nth + round, 100_000));
        }
        let left = held(&queue);
        assert!(left <= (u64::from(KEPT) + 4) * SEGMENT as u64, "{left}");
    }
    // A large message leaves as much.
    put(&queue, &content(1, 40_000_000));
    assert!(held(&queue) >= 40_000_000);
    assert_eq!(take(&queue).unwrap(), content(1, 40_000_000));
    let left = held(&queue);
    assert!(left <= (u64::from(KEPT) + 4) * SEGMENT as u64, "{left}");
}

#[test]
fn steady_use_stays_in_the_same_segments() {
    let queue = Queue::create(0).unwrap();
    for nth in 0..20_000 {
        put(&queue, &content(nth, 4096));
        assert!(take(&queue).is_some());
    }
    assert!(held(&queue) <= 3 * SEGMENT as u64);
}

#[test]
fn there_is_no_more_room_than_the_file_has() {
    let queue = Queue::with(0, 3).unwrap();
    put(&queue, b"before");
    let large = vec![1; 3 * SEGMENT];
    // Who must not wait does not look for memory.
    assert_eq!(queue.try_put(&message(&large)).unwrap(), Tried::Busy);
    let refused = queue.put(&message(&large), Deadline::NEVER, never);
    assert!(
        matches!(refused, Err(Stopped::Failed(QueueError::Lack(_)))),
        "{refused:?}"
    );
    // Nothing of it was put, and there is room for others.
    put(&queue, &content(2, 2 * SEGMENT));
    assert_eq!(take(&queue).unwrap(), b"before");
    assert_eq!(take(&queue).unwrap(), content(2, 2 * SEGMENT));
    assert_eq!(take(&queue), None);
}

#[test]
fn what_comes_to_nothing_leaves_no_memory_behind() {
    let queue = Queue::with(0, 200).unwrap();
    put(&queue, b"before");
    let large = vec![1; 200 * SEGMENT];
    let refused = queue.put(&message(&large), Deadline::NEVER, never);
    assert!(
        matches!(refused, Err(Stopped::Failed(QueueError::Lack(_)))),
        "{refused:?}"
    );
    let most = (u64::from(KEPT) + 4) * SEGMENT as u64;
    assert!(held(&queue) <= most, "{}", held(&queue));
    // The same where a producer is killed.
    let head = queue.head().unwrap();
    let large = content(3, 190 * SEGMENT);
    let written = queue.chain.write(head, || queue.tail(), &message(&large));
    assert!(written.is_ok());
    assert!(held(&queue) > 2 * most);
    let dead = Owner::from_word(u64::from(u32::MAX >> 2)).unwrap();
    let lock = queue.chain.memory.at::<LockCell>(PRODUCER_LOCK);
    assert!(lock.try_acquire(dead).is_some());
    let told = queue.put(&message(b"next"), Deadline::NEVER, never);
    assert!(matches!(told, Err(Stopped::Recovered(_))));
    assert!(held(&queue) <= most, "{}", held(&queue));
    assert_eq!(take(&queue).unwrap(), b"before");
    assert_eq!(take(&queue), None);
}

#[test]
fn another_view_sees_it() {
    let queue = Queue::create(7).unwrap();
    let other = Queue::open(queue.fd().unwrap(), queue.ready_fd()).unwrap();
    put(&queue, b"hello");
    assert_eq!(take(&other).unwrap(), b"hello");
    for nth in 0..7 {
        put(&other, &[nth]);
    }
    assert!(queue.is_full() && other.is_full());
    let fd = crate::sys::memfd("forkful-test", 1 << 20).unwrap();
    assert!(Queue::open(fd.as_fd(), None).is_err());
}

#[test]
fn unfinished_ones_are_counted() {
    let queue = Queue::create(0).unwrap();
    queue.join(Deadline::NEVER, never).unwrap();
    put(&queue, b"a");
    put(&queue, b"b");
    assert_eq!(queue.unfinished(), 2);
    assert!(queue.task_done(never).unwrap());
    let late = queue.join(Deadline::after(Duration::from_millis(5)), never);
    assert_eq!(late, Err(WaitError::TimedOut));
    std::thread::scope(|scope| {
        scope.spawn(|| queue.join(Deadline::NEVER, never).unwrap());
        std::thread::sleep(Duration::from_millis(30));
        assert!(queue.task_done(never).unwrap());
    });
    assert!(!queue.task_done(never).unwrap());
}

#[test]
fn its_descriptor_is_readable_while_messages_wait() {
    let queue = Queue::create(0).unwrap();
    let other = Queue::open(queue.fd().unwrap(), queue.ready_fd()).unwrap();
    put(&queue, b"before");
    let set = crate::sys::Epoll::new().unwrap();
    set.add(queue.watch(never).unwrap(), 1).unwrap();
    let readable = || {
        let mut tokens = Vec::new();
        let now = Deadline::after(Duration::ZERO);
        set.wait(&mut tokens, now).unwrap();
        tokens == [1]
    };
    assert!(readable());
    queue.poll(Deadline::NEVER, never).unwrap();
    let get = || {
        let mut content = Vec::new();
        other.get(&mut content, Deadline::NEVER, never).unwrap();
        content
    };
    // Who must not wait for a lock more may not do it.
    let message = message(b"second");
    assert_eq!(other.try_put(&message).unwrap(), Tried::Busy);
    assert_eq!(other.try_get(&mut Vec::new(), 100).unwrap(), Tried::Busy);
    put(&other, b"second");
    assert_eq!((get(), readable()), (b"before".into(), true));
    assert_eq!((get(), readable()), (b"second".into(), false));
    put(&other, b"third");
    assert!(readable());
    std::thread::scope(|scope| {
        scope.spawn(|| (0..2000).for_each(|_| put(&other, b"more")));
        (0..2001).for_each(|_| drop(get()));
    });
    assert!(!readable());
}

#[test]
fn a_recovered_lock_is_put_right() {
    let queue = Queue::create(0).unwrap();
    for nth in 0..60 {
        put(&queue, &content(nth, SEGMENT / 2));
    }
    // As a producer leaves it that is killed amid its work: a segment out of the circle, a wrong count.
    let memory = &queue.chain.memory;
    let dead = Owner::from_word(u64::from(u32::MAX >> 2)).unwrap();
    let made = memory.at::<AtomicU32>(PRODUCERS + 16);
    made.store(made.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    memory
        .at::<AtomicU32>(PRODUCERS + 20)
        .store(3, Ordering::Relaxed);
    assert!(
        memory
            .at::<LockCell>(PRODUCER_LOCK)
            .try_acquire(dead)
            .is_some()
    );
    let told = queue.put(&message(b"next"), Deadline::NEVER, never);
    assert!(matches!(told, Err(Stopped::Recovered(who)) if who == dead));
    put(&queue, b"next");
    assert_eq!(queue.owner_died(), Some(dead));
    let circle = memory
        .at::<AtomicU32>(PRODUCERS + 20)
        .load(Ordering::Relaxed);
    let spare = memory
        .at::<AtomicU32>(PRODUCERS + 24)
        .load(Ordering::Relaxed);
    assert_eq!(
        (circle, spare),
        (
            made.load(Ordering::Relaxed) - 1,
            made.load(Ordering::Relaxed)
        )
    );
    for nth in 0..60 {
        assert_eq!(take(&queue).unwrap(), content(nth, SEGMENT / 2));
    }
    assert_eq!(take(&queue).unwrap(), b"next");
    // The same for consumers.
    put(&queue, b"last");
    assert!(
        memory
            .at::<LockCell>(CONSUMER_LOCK)
            .try_acquire(dead)
            .is_some()
    );
    let mut got = Vec::new();
    let told = queue.get(&mut got, Deadline::NEVER, never);
    assert!(matches!(told, Err(Stopped::Recovered(who)) if who == dead));
    assert_eq!(take(&queue).unwrap(), b"last");
}

#[test]
fn many_put_and_many_take() {
    for maxsize in [0, 1, 5] {
        let queue = Arc::new(Queue::create(maxsize).unwrap());
        let each = 3000_u32;
        let taken = std::thread::scope(|scope| {
            for producer in 0..3_u32 {
                let queue = queue.clone();
                scope.spawn(move || {
                    for nth in 0..each {
                        let mut bytes = [producer, nth].map(u32::to_le_bytes).concat();
                        bytes.resize(8 + (nth as usize * 37) % 3000, producer as u8);
                        put(&queue, &bytes);
                    }
                });
            }
            let takers: Vec<_> = (0..3)
                .map(|_| {
                    let queue = queue.clone();
                    scope.spawn(move || {
                        let mut mine = Vec::new();
                        loop {
                            let mut got = Vec::new();
                            let end = Deadline::after(Duration::from_secs(1));
                            if queue.get(&mut got, end, never).is_err() {
                                return mine;
                            }
                            let word =
                                |at: usize| u32::from_le_bytes(got[at..at + 4].try_into().unwrap());
                            assert_eq!(got.len(), 8 + (word(4) as usize * 37) % 3000);
                            assert!(got[8..].iter().all(|byte| u32::from(*byte) == word(0)));
                            mine.push((word(0), word(4)));
                        }
                    })
                })
                .collect();
            let taken: Vec<Vec<_>> = takers
                .into_iter()
                .map(|taker| taker.join().unwrap())
                .collect();
            taken
        });
        for mine in &taken {
            for producer in 0..3 {
                let of = mine.iter().filter(|one| one.0 == producer);
                assert!(of.is_sorted(), "each one's in its order");
            }
        }
        let mut all: Vec<_> = taken.concat();
        all.sort_unstable();
        let expected: Vec<_> = (0..3)
            .flat_map(|producer| (0..each).map(move |nth| (producer, nth)))
            .collect();
        assert!(
            all == expected,
            "{maxsize}: {} of {}",
            all.len(),
            expected.len()
        );
    }
}

#[test]
fn garbage_is_an_error() {
    let words = [
        PRODUCERS,
        PRODUCERS + 8,
        PRODUCERS + 16,
        PRODUCERS + 20,
        PRODUCERS + 24,
        CONSUMERS,
        CONSUMERS + 8,
        LINKS,
        LINKS + 4,
        LINKS + 8,
        PUTS,
        GETS,
    ];
    let values = [1, 7, u32::MAX, 0x00ff_ffff, 1 << 31, 0x8001];
    let mut damaged = 0;
    for word in words {
        for value in values {
            let queue = Queue::with(0, 8).unwrap();
            for nth in 0..5 {
                put(&queue, &content(nth, 100_000));
            }
            let _ = take(&queue);
            let memory = &queue.chain.memory;
            memory.at::<AtomicU32>(word).store(value, Ordering::Relaxed);
            for nth in 0..8 {
                let got = queue.try_get(&mut Vec::new(), usize::MAX);
                let large = content(nth, 300_000);
                let soon = Deadline::after(Duration::from_millis(1));
                let put = queue.put(&message(&large), soon, never);
                damaged += usize::from(got.is_err()) + usize::from(put.is_err());
            }
        }
    }
    assert!(damaged > 100, "{damaged}");
    // A header of a length that can't be.
    for len in [1_u64 << 40, (1 << 56) - 1, 1 << 20] {
        let queue = Queue::with(0, 8).unwrap();
        put(&queue, b"short");
        queue
            .chain
            .piece(Place::new(0, 0, 0), 8)
            .unwrap()
            .at::<AtomicU64>()
            .store(len, Ordering::Relaxed);
        let got = queue.try_get(&mut Vec::new(), usize::MAX);
        assert!(matches!(got, Err(QueueError::Damaged(Damaged))), "{got:?}");
        assert_eq!(queue.len(), 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    /// Against the plainest queue there is, with sizes around what is special.
    #[test]
    fn it_is_a_queue(steps in prop::collection::vec((0_u8..5, prop_oneof![0_usize..40, 0_usize..5000, (SEGMENT - 40)..(SEGMENT + 40), 0_usize..(2 * SEGMENT)]), 1..120)) {
        let queue = Queue::create(0).unwrap();
        let mut model = VecDeque::new();
        for (nth, (step, size)) in steps.into_iter().enumerate() {
            if step < 3 {
                put(&queue, &content(nth, size));
                model.push_back((nth, size));
            } else {
                let expected = model.pop_front().map(|(nth, size)| content(nth, size));
                prop_assert!(take(&queue) == expected);
            }
            prop_assert_eq!(queue.len() as usize, model.len());
        }
        for (nth, size) in model {
            prop_assert!(take(&queue) == Some(content(nth, size)));
        }
        prop_assert_eq!(take(&queue), None);
    }

    /// Whatever stands in the words, and in the headers and links: errors and wrong messages, but no panic, no access outside and no end.
    #[test]
    fn garbage_anywhere_ends_nobody(words in prop::collection::vec((0_usize..200, prop_oneof![any::<u64>(), 0_u64..40, (0_u64..9).prop_map(|at| at << 16 | 0x8000)]), 1..6)) {
        let queue = Queue::with(0, 8).unwrap();
        for nth in 0..5 {
            put(&queue, &content(nth, 100_000));
        }
        let _ = take(&queue);
        for (at, value) in words {
            // The first 176 are the words, then come links, then headers.
            let chain = &queue.chain;
            match at {
                0..176 => chain.memory.at::<AtomicU64>(at * 8).store(value, Ordering::Relaxed),
                176..184 => chain.memory.at::<AtomicU64>(LINKS + (at - 176) * 8).store(value, Ordering::Relaxed),
                _ => chain.piece(Place::new(0, at as u32 % 8, 0), 8).unwrap().at::<AtomicU64>().store(value, Ordering::Relaxed),
            }
        }
        let soon = || Deadline::after(Duration::from_millis(1));
        for nth in 0..4 {
            let large = content(nth, 300_000);
            let _ = queue.try_get(&mut Vec::new(), 1 << 20);
            let _ = queue.try_put(&message(&large));
            let _ = (queue.len(), queue.is_full(), queue.unfinished(), queue.owner_died());
            let _ = queue.put(&message(&large), soon(), never);
            let _ = queue.get(&mut Vec::new(), soon(), never);
            let _ = queue.join(soon(), never);
        }
    }
}

#[test]
fn counts_begin_again_at_zero() {
    for maxsize in [0, 3] {
        let queue = Queue::create(maxsize).unwrap();
        let late = words::difference(0, 6);
        for count in [queue.puts(), queue.gets(), queue.done()] {
            count.update(|_| Some(late)).unwrap();
        }
        let seen = queue.chain.memory.at::<AtomicU32>(SEEN);
        seen.store(late, Ordering::Relaxed);
        std::thread::scope(|scope| {
            let consumer = scope.spawn(|| {
                let mut content = Vec::new();
                for nth in 0..200_u32 {
                    content.clear();
                    queue.get(&mut content, Deadline::NEVER, never).unwrap();
                    assert_eq!(content, nth.to_le_bytes());
                    assert!(queue.task_done(never).unwrap());
                }
            });
            for nth in 0..200_u32 {
                put(&queue, &nth.to_le_bytes());
            }
            queue.join(Deadline::NEVER, never).unwrap();
            consumer.join().unwrap();
        });
        assert_eq!((queue.len(), queue.unfinished()), (0, 0));
        assert_eq!(queue.puts().number(), words::difference(194, 0));
        assert!(!queue.task_done(never).unwrap());
    }
}
