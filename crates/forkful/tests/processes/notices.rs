//! How ends are told: waits, callbacks, await, cancellation.

use crate::{eventually, trial};
use forkful::sync::Event;
use forkful::{ProcessPoolExecutor, Shutdown, Status, TaskError};
use libtest_mimic::Trial;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[forkful::task]
fn double(n: u64) -> u64 {
    n * 2
}

#[forkful::task]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

/// Returns when it may.
#[forkful::task]
fn gated(gate: Event, n: u64) -> u64 {
    gate.wait();
    n
}

#[forkful::task]
fn fail() {
    panic!("as asked");
}

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "notices::a_wait_ends_in_time", timeouts);
    trial(trials, "notices::cancel_is_exact", cancel);
    trial(trials, "notices::callbacks_are_called", callbacks);
    trial(
        trials,
        "notices::a_callback_may_do_anything",
        callbacks_do_anything,
    );
    trial(trials, "notices::then_hands_the_result_over", then);
    trial(trials, "notices::a_future_can_be_awaited", awaited);
    trial(trials, "notices::many_threads_wait", many_threads);
}

fn timeouts() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let gate = Event::new().unwrap();
    let mut future = pool.submit(gated, (gate.clone(), 200));
    let begun = Instant::now();
    let early = future.result_timeout(Duration::from_millis(30));
    assert!(matches!(early, Err(TaskError::TimedOut)));
    assert!(begun.elapsed() >= Duration::from_millis(30));
    assert!(!future.wait_timeout(Duration::ZERO) && !future.is_done());
    gate.set();
    assert_eq!(future.result().unwrap(), 200);
}

fn cancel() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let futures: Vec<_> = (0..2000).map(|n| pool.submit(double, (n,))).collect();
    let cancelled: Vec<bool> = futures.iter().rev().map(|future| future.cancel()).collect();
    for ((n, future), cancelled) in (0..).zip(futures).zip(cancelled.into_iter().rev()) {
        match future.result() {
            Err(TaskError::Cancelled) => assert!(cancelled),
            Ok(value) => assert!(!cancelled && value == n * 2),
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn callbacks() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let (send, receive) = channel();
    let hook = |name: &'static str| {
        let send = send.clone();
        move |status| {
            send.send((name, status, std::thread::current().id()))
                .unwrap()
        }
    };
    let gate = Event::new().unwrap();
    let slow = pool.submit(gated, (gate.clone(), 30));
    slow.add_done_callback(hook("first"));
    slow.add_done_callback(|_| panic!("a callback of a test panics"));
    slow.add_done_callback(hook("second"));
    let failing = pool.submit(fail, ());
    failing.add_done_callback(hook("failing"));
    let cancelled = pool.submit(sleep, (60_000,));
    cancelled.add_done_callback(hook("cancelled"));
    assert!(cancelled.cancel());
    gate.set();
    let mut told: Vec<_> = (0..4).map(|_| receive.recv().unwrap()).collect();
    assert!(
        told.iter()
            .all(|(.., thread)| *thread != std::thread::current().id())
    );
    told.sort_by_key(|(name, ..)| *name != "cancelled");
    let told: Vec<_> = told
        .iter()
        .map(|(name, status, _)| (*name, *status))
        .collect();
    let expected = [
        ("cancelled", Status::Cancelled),
        ("first", Status::Returned),
        ("second", Status::Returned),
        ("failing", Status::Failed),
    ];
    assert_eq!(told, expected);
    // One that comes late is called at once.
    assert!(slow.is_done());
    slow.add_done_callback(hook("late"));
    let (name, _, thread) = receive.try_recv().unwrap();
    assert_eq!((name, thread), ("late", std::thread::current().id()));
}

fn callbacks_do_anything() {
    let pool = Arc::new(ProcessPoolExecutor::new(2).unwrap());
    let (send, receive) = channel();
    let inner = pool.clone();
    pool.submit(double, (1,)).then(move |result| {
        // It submits, waits, and ends the pool that calls it.
        let next = inner.submit(double, (result.unwrap(),)).result().unwrap();
        inner.shutdown(Shutdown::Wait);
        send.send(next).unwrap();
        drop(inner);
    });
    assert_eq!(receive.recv().unwrap(), 4);
    assert!(pool.try_submit(double, (1,)).is_err());
}

fn then() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let sum = Arc::new(AtomicUsize::new(0));
    for n in 0..500 {
        let sum = sum.clone();
        pool.submit(double, (n,)).then(move |result| {
            sum.fetch_add(result.unwrap() as usize, Ordering::Relaxed);
        });
    }
    pool.shutdown(Shutdown::Wait);
    // All were called before it returned.
    assert_eq!(sum.load(Ordering::Relaxed), 499 * 500);
}

fn awaited() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let value = futures_lite::future::block_on(async {
        let slow = pool.submit(sleep, (20,));
        let mut sum = slow.await.unwrap();
        for n in 0..200 {
            sum += pool.submit(double, (n,)).await.unwrap();
        }
        let failing = pool.submit(fail, ()).await;
        assert!(matches!(failing, Err(TaskError::Panicked(_))));
        sum
    });
    assert_eq!(value, 20 + 199 * 200);
}

fn many_threads() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let seen = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for n in 0..200 {
                    assert_eq!(pool.submit(double, (n,)).result().unwrap(), n * 2);
                    *seen.lock().unwrap() += 1;
                }
            });
        }
    });
    assert_eq!(*seen.lock().unwrap(), 1600);
    eventually("all are counted", || {
        pool.workers()
            .iter()
            .map(|worker| worker.tasks)
            .sum::<u64>()
            == 1600
    });
}
