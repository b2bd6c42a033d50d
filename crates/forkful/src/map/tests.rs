//! Maps: lazy, ordered, bounded.

use crate::error::TaskError;
use crate::watchdog::Watchdog;
use crate::{Shutdown, ThreadPoolExecutor};
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the bounds: every item once, in order; and the same ones without an order.
    #[test]
    fn every_item_comes_once(length in 0u32..60, workers in 1usize..4, ahead in 1usize..20) {
        let _watchdog = Watchdog::here();
        let pool = ThreadPoolExecutor::new(workers);
        let ordered: Result<Vec<u32>, _> = pool.map(|n| n + 1, 0..length).look_ahead(ahead).collect();
        prop_assert!(ordered.unwrap().into_iter().eq(1..=length));
        let unordered = pool.map(|n| n + 1, 0..length).look_ahead(ahead).unordered();
        prop_assert_eq!(unordered.size_hint(), (length as usize, Some(length as usize)));
        let mut unordered: Vec<u32> = unordered.map(Result::unwrap).collect();
        unordered.sort_unstable();
        prop_assert!(unordered.into_iter().eq(1..=length));
    }
}

#[test]
fn items_are_taken_no_further_ahead_than_allowed() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(2);
    for unordered in [false, true] {
        let taken = AtomicU32::new(0);
        let input = (0..).inspect(|_| {
            taken.fetch_add(1, Ordering::Relaxed);
        });
        let mut map = pool.map(|n: u64| n, input).look_ahead(5);
        if unordered {
            map = map.unordered();
        }
        assert_eq!(taken.load(Ordering::Relaxed), 0, "lazy");
        for read in 1..20 {
            map.next().unwrap().unwrap();
            assert_eq!(taken.load(Ordering::Relaxed), read + 4);
        }
    }
}

#[test]
fn the_default_is_four_for_each_worker() {
    let _watchdog = Watchdog::here();
    for (workers, expected) in [(1, 16), (8, 32)] {
        let pool = ThreadPoolExecutor::new(workers);
        let taken = AtomicU32::new(0);
        let input = (0..1000).inspect(|_| {
            taken.fetch_add(1, Ordering::Relaxed);
        });
        pool.map(|n| n, input).next().unwrap().unwrap();
        assert_eq!(taken.into_inner(), expected);
    }
}

#[test]
fn one_bad_item_is_one_error() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(2);
    let results: Vec<_> = pool.map(|n: u32| 12 / n, [3, 0, 4]).collect();
    assert!(matches!(
        results[..],
        [Ok(4), Err(TaskError::Panicked(_)), Ok(3)]
    ));
}

#[test]
fn a_panic_of_the_input_is_its_readers() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let input = (0..10).inspect(|&n| assert!(n < 3, "the third"));
    let mut map = pool.map(|n| n, input).look_ahead(2);
    assert_eq!(map.next().unwrap().unwrap(), 0);
    assert_eq!(map.next().unwrap().unwrap(), 1);
    assert!(catch_unwind(AssertUnwindSafe(|| map.next())).is_err());
    // What was on its way comes, and then the input has ended.
    assert_eq!(map.next().unwrap().unwrap(), 2);
    assert!(map.next().is_none() && map.next().is_none());
}

#[test]
fn a_map_that_is_dropped_cancels_what_has_not_begun() {
    let _watchdog = Watchdog::here();
    for unordered in [false, true] {
        let pool = ThreadPoolExecutor::new(1);
        let ran = Arc::new(AtomicU32::new(0));
        let counted = ran.clone();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        let work = move |n: u32| {
            counted.fetch_add(1, Ordering::SeqCst);
            if n == 1 {
                let _ = gate.lock().unwrap().recv();
            }
        };
        let mut map = pool.map(work, 0..8);
        if unordered {
            map = map.unordered();
        }
        map.next().unwrap().unwrap();
        drop(map);
        drop(open);
        let stats = pool.stats();
        assert!(stats.cancelled >= 1, "{stats:?}");
        pool.shutdown(Shutdown::Wait);
        assert_eq!(
            u64::from(ran.load(Ordering::SeqCst)) + pool.stats().cancelled,
            8
        );
    }
}

#[test]
fn without_an_order_the_fast_come_first() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(2);
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let ended = std::sync::Mutex::new(Some(ended));
    let mut map = pool
        .map(
            move |n| {
                if n == 0 {
                    let ended = ended.lock().unwrap().take().unwrap();
                    let _ = ended.recv();
                }
                n
            },
            0..3,
        )
        .unordered();
    let mut fast = [map.next(), map.next()].map(|next| next.unwrap().unwrap());
    fast.sort_unstable();
    assert_eq!(fast, [1, 2]);
    drop(end);
    assert_eq!(map.next().unwrap().unwrap(), 0);
    assert!(map.next().is_none());
}

#[test]
fn a_worker_may_map_on_its_own_pool() {
    let _watchdog = Watchdog::here();
    let pool = Arc::new(ThreadPoolExecutor::new(1));
    for unordered in [false, true] {
        let inner = pool.clone();
        let sum = pool.submit(move || {
            let mut map = inner.map(|n| n, 0..100u32);
            if unordered {
                map = map.unordered();
            }
            map.map(Result::unwrap).sum::<u32>()
        });
        assert_eq!(sum.result().unwrap(), 4950);
    }
}

#[test]
#[should_panic(expected = "look_ahead")]
fn nothing_ahead_makes_no_sense() {
    let pool = ThreadPoolExecutor::new(1);
    let _ = pool.map(|n| n, 0..1).look_ahead(0);
}
