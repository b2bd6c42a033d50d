//! Maps, executors in general, numbers.

use crate::{eventually, trial};
use forkful::sync::Event;
use forkful::{
    Executor, ProcessOptions, ProcessPoolExecutor, ReturnWhen, Shutdown, TaskError,
    ThreadPoolExecutor, as_completed, wait,
};
use libtest_mimic::Trial;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};
use std::cell::Cell;
use std::time::Duration;

#[forkful::task]
fn double(n: u64) -> u64 {
    n * 2
}

#[forkful::task]
fn even(n: u64) -> u64 {
    assert!(n.is_multiple_of(2), "{n} is odd");
    n
}

#[forkful::task]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

/// Sleeps, where there is a gate when that is open.
#[forkful::task]
fn sleep_behind(gate: Option<Event>, millis: u64) -> u64 {
    if let Some(gate) = gate {
        gate.wait();
    }
    sleep(millis)
}

#[forkful::task]
fn crash_at(n: u64, at: u64) -> u64 {
    if n == at {
        std::process::abort();
    }
    n
}

/// Odd ones can't be written.
#[derive(Debug, Deserialize)]
struct Even(u64);

impl Serialize for Even {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(2) {
            serializer.serialize_newtype_struct("Even", &self.0)
        } else {
            Err(S::Error::custom("it is odd"))
        }
    }
}

#[forkful::task]
fn of_even(n: Even) -> u64 {
    n.0
}

#[forkful::task]
fn to_even(n: u64) -> Even {
    Even(n)
}

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "maps::ordered_lazy_and_bounded", ordered);
    trial(trials, "maps::unordered", unordered);
    trial(trials, "maps::chunks", chunks);
    trial(trials, "maps::of_a_chunk_one_fails_alone", one_fails_alone);
    trial(trials, "maps::a_death_fails_its_chunk", death_in_chunk);
    trial(trials, "maps::a_dropped_map_cancels", dropped);
    trial(trials, "maps::wait_and_as_completed", gathered);
    trial(trials, "maps::both_executors_are_executors", both);
    trial(trials, "maps::numbers_add_up", numbers);
}

fn ordered() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let pulled = Cell::new(0);
    let endless = (0..)
        .inspect(|_| pulled.set(pulled.get() + 1))
        .map(|n| (n,));
    let mut map = pool.map(double, endless).look_ahead(10);
    for n in 0..500 {
        assert_eq!(map.next().unwrap().unwrap(), n * 2);
        assert!(pulled.get() <= n + 11, "{} of {n}", pulled.get());
    }
    let none: Vec<_> = pool.map(double, Vec::<(u64,)>::new()).collect();
    assert!(none.is_empty());
}

fn unordered() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let gate = Event::new().unwrap();
    let inputs = [(Some(gate.clone()), 4), (None, 1), (None, 2), (None, 3)];
    let mut map = pool.map(sleep_behind, inputs).unordered().flatten();
    let mut early: Vec<u64> = map.by_ref().take(3).collect();
    early.sort_unstable();
    assert_eq!(early, [1, 2, 3]);
    gate.set();
    assert_eq!(map.collect::<Vec<_>>(), [4]);
}

fn chunks() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    for size in [2, 7, 100, 1000] {
        let inputs = (0..250).map(|n| (n,));
        let came: Result<Vec<u64>, _> = pool.map(double, inputs).chunk(size).collect();
        assert_eq!(came.unwrap(), (0..250).map(|n| n * 2).collect::<Vec<_>>());
    }
    let before = pool.stats().submitted;
    let sum: u64 = pool
        .map(double, (0..100).map(|n| (n,)))
        .chunk(10)
        .unordered()
        .flatten()
        .sum();
    assert_eq!((sum, pool.stats().submitted - before), (9900, 10));
}

fn one_fails_alone() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let check = |results: Vec<Result<u64, TaskError>>, is_it: fn(&TaskError) -> bool| {
        assert_eq!(results.len(), 9);
        for (n, result) in (0..).zip(results) {
            match result {
                Ok(value) => assert!(value == n && n % 2 == 0),
                Err(error) => assert!(n % 2 == 1 && is_it(&error), "{error}"),
            }
        }
    };
    let results = pool.map(even, (0..9).map(|n| (n,))).chunk(4).collect();
    check(
        results,
        |error| matches!(error, TaskError::Panicked(p) if p.message().ends_with("is odd")),
    );
    let is_unsent =
        |error: &TaskError| matches!(error, TaskError::NotSent(text) if text.contains("Even"));
    let results = pool
        .map(of_even, (0..9).map(|n| (Even(n),)))
        .chunk(4)
        .collect();
    check(results, is_unsent);
    let results = pool.map(to_even, (0..9).map(|n| (n,))).chunk(4);
    check(
        results.map(|result| result.map(|n| n.0)).collect(),
        is_unsent,
    );
}

fn death_in_chunk() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let inputs = (0..12).map(|n| (n, 5));
    let results: Vec<_> = pool.map(crash_at, inputs).chunk(4).collect();
    assert_eq!(results.len(), 12);
    for (n, result) in (0..).zip(results) {
        match result {
            Ok(value) => assert!(value == n && !(4..8).contains(&n)),
            Err(error) => assert!((4..8).contains(&n) && error.death().is_some(), "{error}"),
        }
    }
}

fn dropped() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let gate = Event::new().unwrap();
    let first = [(None, 1), (Some(gate.clone()), 1)];
    let inputs = first.into_iter().chain((0..).map(|_| (None, 60_000)));
    let mut map = pool.map(sleep_behind, inputs);
    assert_eq!(map.next().unwrap().unwrap(), 1);
    drop(map);
    gate.set();
    pool.shutdown(Shutdown::Cancel);
    assert!(pool.stats().cancelled > 0);
}

fn gathered() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let threads = ThreadPoolExecutor::new(1);
    let mut futures: Vec<_> = [200, 1, 2].map(|n| pool.submit(sleep, (n,))).into();
    futures.push(threads.submit(|| 3));
    let waited = wait(futures, ReturnWhen::FirstCompleted, None);
    assert!(!waited.done.is_empty());
    let mut rest: Vec<_> = waited.not_done.into_iter().chain(waited.done).collect();
    rest.push(pool.submit(even, (1,)));
    let waited = wait(rest, ReturnWhen::FirstException, None);
    assert!(waited.done.iter().all(|future| future.is_done()));
    let all: Vec<_> = waited.done.into_iter().chain(waited.not_done).collect();
    let came: Vec<_> = as_completed(all)
        .map(|future| future.result().ok())
        .collect();
    assert_eq!(came.len(), 5);
    assert_eq!(came.iter().flatten().sum::<u64>(), 206);
    let many: Vec<_> = (0..2000).map(|n| pool.submit(double, (n,))).collect();
    let sum: u64 = as_completed(many)
        .map(|future| future.result().unwrap())
        .sum();
    assert_eq!(sum, 1999 * 2000);
}

fn sum_of_doubles(executor: impl Executor) -> u64 {
    let one = executor.call(double, (1,));
    let each = executor.call_each(double, (0..10).map(|n| (n,)));
    each.flatten().sum::<u64>() + one.result().unwrap()
}

fn both() {
    let threads = ThreadPoolExecutor::new(2);
    let processes = ProcessPoolExecutor::new(2).unwrap();
    assert_eq!(sum_of_doubles(&threads), 92);
    assert_eq!(sum_of_doubles(&processes), 92);
    assert_eq!(Executor::max_workers(&processes), 2);
    Executor::shutdown(&threads, Shutdown::Wait);
    assert!(matches!(
        threads.call(double, (1,)).result(),
        Err(TaskError::Refused(_))
    ));
}

fn numbers() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let named = pool.with_options(ProcessOptions::new().name("nap"));
    let naps: Vec<_> = (0..4).map(|_| named.submit(sleep, (5,))).collect();
    let fails = pool.submit(even, (3,));
    let crashes = pool.submit(crash_at, (1, 1));
    naps.into_iter()
        .for_each(|nap| assert!(nap.result().is_ok()));
    assert!(fails.result().is_err() && crashes.result().is_err());
    eventually("the numbers are there", || {
        let stats = pool.stats();
        stats.running == 0 && stats.deaths > 0
    });
    let stats = pool.stats();
    assert_eq!((stats.submitted, stats.done, stats.failed), (6, 4, 2));
    assert_eq!((stats.deaths, stats.retried, stats.cancelled), (1, 0, 0));
    let nap = stats.tasks["nap"];
    assert_eq!(nap.calls, 4);
    assert!(nap.wall >= Duration::from_millis(20) && nap.cpu < nap.wall);
    assert!(stats.run_time.count() >= 5);
    assert!(stats.workers.iter().all(|worker| worker.pid.is_some()));
}
