//! Waiting for many futures.

use super::*;
use crate::ThreadPoolExecutor;
use crate::watchdog::Watchdog;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

const SOON: Duration = Duration::from_millis(5);
const LONG: Option<Duration> = Some(Duration::from_secs(50));

/// A task that ends with the number that it is sent, or panics without one.
fn told(pool: &ThreadPoolExecutor) -> (Sender<u32>, Future<u32>) {
    let (send, receive) = channel();
    (send, pool.submit(move || receive.recv().unwrap()))
}

fn values(futures: Vec<Future<u32>>) -> Vec<u32> {
    let results = futures.into_iter().map(Future::result);
    results.map(|result| result.unwrap_or(99)).collect()
}

#[test]
fn nothing_is_done_at_once() {
    for until in [
        ReturnWhen::FirstCompleted,
        ReturnWhen::FirstException,
        ReturnWhen::AllCompleted,
    ] {
        let waited = wait::<u32>(Vec::new(), until, None);
        assert!(waited.done.is_empty() && waited.not_done.is_empty());
    }
    assert!(as_completed::<u32>([]).next().is_none());
    let mut none = as_completed::<u32>([]).timeout(Duration::ZERO);
    assert!(none.next().is_none());
}

#[test]
fn each_returns_when_it_says() {
    let _watchdog = Watchdog::here();
    // Of two executors.
    let pools = [ThreadPoolExecutor::new(2), ThreadPoolExecutor::new(2)];
    let (senders, futures): (Vec<_>, Vec<_>) = (0..4).map(|n| told(&pools[n % 2])).unzip();
    senders[2].send(2).unwrap();
    let waited = wait(futures, ReturnWhen::FirstCompleted, LONG);
    assert_eq!((waited.done.len(), waited.not_done.len()), (1, 3));
    let rest = waited.not_done;
    senders[3].send(3).unwrap();
    let waited = wait(rest, ReturnWhen::FirstException, Some(SOON));
    assert!(
        waited.not_done.len() >= 2,
        "the time is over before one fails"
    );
    let rest = waited.done.into_iter().chain(waited.not_done).collect();
    let mut senders = senders.into_iter();
    let (first, second) = (senders.next().unwrap(), senders.next().unwrap());
    drop(first);
    let waited = wait(rest, ReturnWhen::FirstException, LONG);
    assert!(waited.not_done.len() <= 2 && !waited.done.is_empty());
    second.send(1).unwrap();
    let rest = waited.done.into_iter().chain(waited.not_done).collect();
    let waited = wait(rest, ReturnWhen::AllCompleted, LONG);
    assert!(waited.not_done.is_empty());
    let mut all = values(waited.done);
    all.sort_unstable();
    assert_eq!(all, [1, 3, 99]);
}

#[test]
fn all_completed_gives_up_when_the_time_is_over() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(2);
    let (send, stuck) = told(&pool);
    let (one, two) = (pool.submit(|| 1), pool.submit(|| 2));
    assert!(one.wait_timeout(Duration::MAX) && two.wait_timeout(Duration::MAX));
    let waited = wait(vec![stuck, one, two], ReturnWhen::AllCompleted, Some(SOON));
    assert_eq!(waited.not_done.len(), 1);
    // In the order given.
    assert_eq!(values(waited.done), [1, 2]);
    send.send(7).unwrap();
    assert_eq!(values(waited.not_done), [7]);
}

#[test]
fn cancelled_ones_are_done_and_have_not_failed() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let (send, stuck) = told(&pool);
    let cancelled = pool.submit(|| 1);
    cancelled.cancel();
    let waited = wait(
        vec![stuck, cancelled],
        ReturnWhen::FirstException,
        Some(SOON),
    );
    assert_eq!((waited.done.len(), waited.not_done.len()), (1, 1));
    send.send(1).unwrap();
}

#[test]
fn they_come_as_they_are_done() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(3);
    let (senders, futures): (Vec<_>, Vec<_>) = (0..3).map(|_| told(&pool)).unzip();
    let mut done = as_completed(futures);
    for n in [1, 2, 0] {
        senders[n as usize].send(n).unwrap();
        assert_eq!(
            done.len(),
            3 - [1, 2, 0].iter().position(|&m| m == n).unwrap()
        );
        assert_eq!(done.next().unwrap().result().unwrap(), n);
    }
    assert!(done.next().is_none());
}

#[test]
fn the_rest_is_handed_back_and_goes_on() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(2);
    let (send, stuck) = told(&pool);
    let mut done = as_completed([stuck, pool.submit(|| 5)]).timeout(Duration::from_secs(50));
    assert_eq!(done.next().unwrap().unwrap().result().unwrap(), 5);
    let rest = done.into_rest();
    let mut late = as_completed(rest).timeout(SOON);
    assert!(matches!(late.next(), Some(Err(TaskError::TimedOut))));
    assert!(late.next().is_none(), "told once");
    send.send(6).unwrap();
    assert_eq!(values(late.into_rest()), [6]);
}

#[test]
fn a_worker_may_wait_for_its_own_pool() {
    let _watchdog = Watchdog::here();
    let pool = Arc::new(ThreadPoolExecutor::new(1));
    for until in [
        ReturnWhen::FirstCompleted,
        ReturnWhen::FirstException,
        ReturnWhen::AllCompleted,
    ] {
        for timeout in [None, LONG] {
            let inner = pool.clone();
            let done = pool.submit(move || {
                let futures = (0..3).map(|n| inner.submit(move || n)).collect();
                wait(futures, until, timeout).done.len()
            });
            assert!(done.result().unwrap() >= 1);
        }
    }
    let inner = pool.clone();
    let sum = pool.submit(move || {
        let futures: Vec<_> = (0..10).map(|n| inner.submit(move || n)).collect();
        as_completed(futures)
            .map(|future| future.result().unwrap())
            .sum::<u32>()
    });
    assert_eq!(sum.result().unwrap(), 45);
}
