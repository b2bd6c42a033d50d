//! Maps: lazy, in order, bounded, and an error in its place.

use crate::contract;
use crate::kinds::{How, Kind};
use crate::tasks::{ON_PURPOSE, Place, add, fail_at, pass, square};
use forkful::{Executor, Shutdown, TaskError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

contract! {
    results_come_in_the_order_of_the_input
    nothing_maps_to_nothing
    an_endless_input_is_taken_as_far_as_the_look_ahead
    a_look_ahead_of_one_goes_step_by_step
    unordered_results_are_the_same_ones
    an_error_stands_in_its_place
    results_can_be_collected_up_to_the_first_error
    dropping_a_map_cancels_what_has_not_begun
    a_panic_of_the_input_goes_to_the_reader
    a_map_after_shutdown_says_so
    two_maps_run_beside_each_other
}

fn results_come_in_the_order_of_the_input<K: Kind>() {
    let pool = K::make(3);
    let squares = K::map(&pool, square, (0..2000).map(|n| (n,)), How::default());
    let squares: Result<Vec<u64>, TaskError> = squares.collect();
    assert_eq!(
        squares.unwrap(),
        (0..2000).map(|n| n * n).collect::<Vec<_>>()
    );
}

fn nothing_maps_to_nothing<K: Kind>() {
    let pool = K::make(1);
    for unordered in [false, true] {
        let how = How {
            unordered,
            ..How::default()
        };
        assert_eq!(K::map(&pool, square, std::iter::empty(), how).count(), 0);
    }
}

/// An endless input, and how much of it was taken.
fn endless() -> (Arc<AtomicUsize>, impl Iterator<Item = (i64, i64)> + Send) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = taken.clone();
    let input = (0..).map(move |n| {
        counted.fetch_add(1, Ordering::SeqCst);
        (n, 1)
    });
    (taken, input)
}

fn an_endless_input_is_taken_as_far_as_the_look_ahead<K: Kind>() {
    let pool = K::make(2);
    for unordered in [false, true] {
        let (taken, input) = endless();
        let how = How {
            unordered,
            look_ahead: Some(10),
        };
        let mut results = K::map(&pool, add, input, how);
        for nth in 1..50 {
            results.next().unwrap().unwrap();
            let taken = taken.load(Ordering::SeqCst);
            assert!(taken <= nth + 10, "{taken} were taken for {nth} results");
        }
    }
    let (taken, input) = endless();
    let sum: i64 = K::map(&pool, add, input, How::default())
        .take(100)
        .map(Result::unwrap)
        .sum();
    assert_eq!(sum, (1..=100).sum());
    assert!(taken.load(Ordering::SeqCst) < 1000);
}

fn a_look_ahead_of_one_goes_step_by_step<K: Kind>() {
    let pool = K::make(2);
    let (taken, input) = endless();
    let how = How {
        look_ahead: Some(1),
        ..How::default()
    };
    let mut results = K::map(&pool, add, input, how);
    for nth in 1..20 {
        assert_eq!(results.next().unwrap().unwrap(), nth as i64);
        assert!(taken.load(Ordering::SeqCst) <= nth + 1);
    }
}

fn unordered_results_are_the_same_ones<K: Kind>() {
    let pool = K::make(3);
    let how = How {
        unordered: true,
        ..How::default()
    };
    let squares = K::map(&pool, square, (0..500).map(|n| (n,)), how);
    let mut squares: Vec<u64> = squares.map(Result::unwrap).collect();
    squares.sort();
    assert_eq!(squares, (0..500).map(|n| n * n).collect::<Vec<_>>());
}

fn an_error_stands_in_its_place<K: Kind>() {
    let pool = K::make(2);
    let results = K::map(&pool, fail_at, (0..50).map(|n| (20, n)), How::default());
    for (nth, result) in results.enumerate() {
        match result {
            Ok(number) => assert_eq!(number, nth as u64),
            Err(TaskError::Panicked(_)) => assert_eq!(nth, 20),
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn results_can_be_collected_up_to_the_first_error<K: Kind>() {
    let pool = K::make(2);
    let results = K::map(&pool, fail_at, (0..).map(|n| (20, n)), How::default());
    let error = results
        .collect::<Result<Vec<u64>, TaskError>>()
        .unwrap_err();
    assert!(matches!(error, TaskError::Panicked(_)), "{error:?}");
}

fn dropping_a_map_cancels_what_has_not_begun<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let gate = pool.call(pass, (place.path(), -1));
    place.wait_for("began -1");
    let (path, how) = (
        place.path(),
        How {
            look_ahead: Some(8),
            ..How::default()
        },
    );
    let first = pool.call(add, (1, 1));
    let mut results = K::map(&pool, pass, (0..100).map(move |n| (path.clone(), n)), how);
    place.open();
    assert_eq!(results.next().unwrap().unwrap(), 0);
    drop(results);
    assert_eq!(first.result().unwrap(), 2);
    gate.result().unwrap();
    pool.shutdown(Shutdown::Wait);
    let passed = place
        .lines()
        .iter()
        .filter(|line| line.starts_with("passed"))
        .count();
    assert!(passed < 20, "{passed} were run, of which one was asked for");
}

fn a_panic_of_the_input_goes_to_the_reader<K: Kind>() {
    let pool = K::make(1);
    let input = (0..).map(|n: u64| {
        assert_ne!(n, 5, "{ON_PURPOSE}");
        (n,)
    });
    let how = How {
        look_ahead: Some(1),
        ..How::default()
    };
    let mut results = K::map(&pool, square, input, how);
    let mut seen = Vec::new();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        for result in &mut results {
            seen.push(result.unwrap());
        }
    }));
    assert!(caught.is_err());
    assert!(
        seen.len() <= 5 && seen.iter().zip(0..).all(|(square, n)| *square == n * n),
        "{seen:?}"
    );
    drop(results);
    assert_eq!(pool.call(add, (1, 1)).result().unwrap(), 2);
}

fn a_map_after_shutdown_says_so<K: Kind>() {
    let pool = K::make(1);
    pool.shutdown(Shutdown::Wait);
    let mut results = K::map(&pool, square, (0..3).map(|n| (n,)), How::default());
    assert!(crate::submitting::is_shut_down(results.next().unwrap()));
}

fn two_maps_run_beside_each_other<K: Kind>() {
    let pool = K::make(2);
    let ones = K::map(&pool, add, (0..200).map(|n| (n, 1)), How::default());
    let twos = K::map(&pool, add, (0..200).map(|n| (n, 2)), How::default());
    for (nth, (one, two)) in (0..).zip(ones.zip(twos)) {
        assert_eq!((one.unwrap(), two.unwrap()), (nth + 1, nth + 2));
    }
}
