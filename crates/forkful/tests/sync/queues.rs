//! Queues between processes, with senders and receivers that are killed.

use crate::{arm, pool, trial};
use forkful::TaskError;
use forkful::sync::{Event, Queue, QueueError};
use libtest_mimic::Trial;
use std::time::Duration;

#[forkful::task]
pub fn send(queue: Queue<u8>, item: u8, times: u32) {
    for _ in 0..times {
        queue.put(item).unwrap();
    }
}

#[forkful::task]
fn send_numbers(queue: Queue<(u32, u64, Vec<u8>)>, me: u32, times: u64, point: String) {
    arm(&point);
    for nth in 0..times {
        // Some are longer than a segment's rest, so that they lie in several.
        let len = if nth % 50 == 0 { 90_000 } else { nth % 700 };
        queue.put((me, nth, vec![me as u8; len as usize])).unwrap();
    }
}

#[forkful::task]
fn take_numbers(queue: Queue<u64>, taken: Queue<u64>, point: String) {
    arm(&point);
    while let Ok(number) = queue.get() {
        taken.put(number).unwrap();
    }
}

#[forkful::task]
fn echo(requests: Queue<Option<u64>>, answers: Queue<u64>, ready: Event) -> u64 {
    ready.set();
    let mut count = 0;
    for item in &requests {
        let Some(number) = item.unwrap() else { break };
        answers.put(number * 2).unwrap();
        count += 1;
    }
    count
}

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "queues::there_and_back", there_and_back);
    trial(trials, "queues::several_senders_in_their_order", several);
    trial(
        trials,
        "queues::a_sender_dies_at_each_instruction",
        sender_points,
    );
    trial(
        trials,
        "queues::a_receiver_dies_at_each_instruction",
        receiver_points,
    );
    trial(trials, "queues::senders_killed_at_random", killed_senders);
    trial(trials, "queues::a_full_one_is_waited_for", bounds);
}

fn there_and_back() {
    let pool = pool(1);
    let (requests, answers) = (Queue::unbounded().unwrap(), Queue::bounded(10).unwrap());
    let ready = Event::new().unwrap();
    let args = (requests.clone(), answers.clone(), ready.clone());
    let future = pool.submit(echo, args);
    ready.wait();
    for nth in 0..500 {
        requests.put(Some(nth)).unwrap();
        assert_eq!(answers.get().unwrap(), nth * 2);
    }
    requests.put(None).unwrap();
    assert_eq!(future.result().unwrap(), 500);
    // What a sender that is gone has put is there.
    let left = Queue::unbounded().unwrap();
    pool.submit(send, (left.clone(), 7, 100)).result().unwrap();
    drop(pool);
    assert!(left.try_iter().map(Result::unwrap).eq([7; 100]));
}

/// What each of these senders has put, which is as it was sent, from the first on.
fn received(queue: &Queue<(u32, u64, Vec<u8>)>, senders: u32) -> Vec<u64> {
    let mut next = vec![0; senders as usize];
    for item in queue.try_iter() {
        let (me, nth, bytes) = item.unwrap();
        assert_eq!(nth, next[me as usize], "of sender {me}");
        let len = if nth % 50 == 0 { 90_000 } else { nth % 700 };
        assert_eq!(bytes, vec![me as u8; len as usize]);
        next[me as usize] += 1;
    }
    next
}

fn several() {
    let pool = pool(3);
    let queue = Queue::unbounded().unwrap();
    let futures: Vec<_> = (0..3)
        .map(|me| pool.submit(send_numbers, (queue.clone(), me, 300, String::new())))
        .collect();
    for future in futures {
        future.result().unwrap();
    }
    assert_eq!(received(&queue, 3), [300; 3]);
}

fn is_death<T>(result: Result<T, TaskError>) -> bool {
    matches!(result, Err(TaskError::WorkerDied(_) | TaskError::Killed(_)))
}

fn sender_points() {
    let pool = pool(1);
    // Where it dies, and what it has put by then.
    for (point, puts) in [
        ("queue.written:70", 69),
        ("queue.before_put:70", 69),
        ("queue.put:70", 70),
    ] {
        let queue = Queue::unbounded().unwrap();
        let args = (queue.clone(), 0, 1000, point.to_owned());
        assert!(
            is_death(pool.submit(send_numbers, args).result()),
            "{point}"
        );
        assert_eq!(received(&queue, 1), [puts], "{point}");
        let args = (queue.clone(), 0, 60, String::new());
        pool.submit(send_numbers, args).result().unwrap();
        assert_eq!(received(&queue, 1), [60], "{point}");
    }
}

fn receiver_points() {
    let pool = pool(1);
    for (point, lost) in [
        ("queue.read:5", 0),
        ("queue.before_get:5", 0),
        ("queue.got:5", 1),
    ] {
        let (queue, taken) = (Queue::unbounded().unwrap(), Queue::unbounded().unwrap());
        (0..100).for_each(|nth| queue.put(nth).unwrap());
        let args = (queue.clone(), taken.clone(), point.to_owned());
        assert!(
            is_death(pool.submit(take_numbers, args).result()),
            "{point}"
        );
        let mut all: Vec<u64> = taken.try_iter().map(Result::unwrap).collect();
        assert_eq!(all, [0, 1, 2, 3], "{point}");
        all.extend(queue.try_iter().map(Result::unwrap));
        assert_eq!(all.len(), 100 - lost, "{point}");
        assert!(all.is_sorted());
    }
}

fn killed_senders() {
    let pool = pool(2);
    let queue = Queue::bounded(40).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::SeqCst;
    std::thread::scope(|scope| {
        let getter = scope.spawn(|| {
            let mut next = std::collections::HashMap::new();
            loop {
                match queue.get_timeout(Duration::from_millis(20)) {
                    Ok((me, nth, _)) => {
                        let expected: &mut u64 = next.entry(me).or_default();
                        assert_eq!(nth, *expected, "of sender {me}");
                        *expected += 1;
                    }
                    Err(QueueError::Empty) if stop.load(order) => return next.len(),
                    Err(QueueError::Empty) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        for me in 0..12 {
            let args = (queue.clone(), me, u64::MAX, String::new());
            let future = pool.submit(send_numbers, args);
            while !future.is_running() {
                std::thread::yield_now();
            }
            std::thread::sleep(Duration::from_micros(u64::from(me) * 1700));
            assert!(future.kill());
            assert!(is_death(future.result()));
        }
        stop.store(true, order);
        assert!(getter.join().unwrap() > 0);
    });
    let args = (queue.clone(), 99, 5, String::new());
    pool.submit(send_numbers, args).result().unwrap();
    assert_eq!(queue.try_iter().map(Result::unwrap).count(), 5);
}

fn bounds() {
    let pool = pool(1);
    let queue = Queue::bounded(3).unwrap();
    let future = pool.submit(send, (queue.clone(), 1, 10));
    while !queue.is_full() {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(20));
    assert!(!future.is_done() && queue.len() == 3);
    for _ in 0..10 {
        assert_eq!(queue.get().unwrap(), 1);
    }
    future.result().unwrap();
    assert!(queue.is_empty());
}
