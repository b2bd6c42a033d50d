//! Waiting for many futures: in three ways, and one by one as they are done.

use crate::contract;
use crate::kinds::Kind;
use crate::tasks::{Place, add, fail, pass, square};
use forkful::{Executor, ReturnWhen, TaskError, ThreadPoolExecutor, as_completed, wait};
use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

contract! {
    all_are_waited_for
    nothing_is_waited_for_at_once
    the_first_one_is_enough
    an_error_is_enough_and_a_value_is_not
    without_an_error_it_waits_for_all
    a_wait_ends_with_its_time
    both_parts_keep_the_order
    a_cancelled_one_is_done
    the_rest_can_be_waited_for_again
    each_completes_once
    nothing_completes_of_nothing
    what_is_done_comes_before_what_is_not
    they_come_in_the_order_of_their_ends
    errors_complete_too
    one_that_is_left_early_harms_nobody
    futures_of_several_executors_complete_together
    many_threads_wait_at_once
}

fn all_are_waited_for<K: Kind>() {
    let pool = K::make(2);
    let futures: Vec<_> = (0..300).map(|n| pool.call(square, (n,))).collect();
    let waited = wait(futures, ReturnWhen::AllCompleted, None);
    assert!(waited.not_done.is_empty());
    let values: Vec<u64> = waited
        .done
        .into_iter()
        .map(|future| future.result().unwrap())
        .collect();
    assert_eq!(values, (0..300).map(|n| n * n).collect::<Vec<_>>());
}

fn nothing_is_waited_for_at_once<K: Kind>() {
    let pool = K::make(1);
    for when in [
        ReturnWhen::FirstCompleted,
        ReturnWhen::FirstException,
        ReturnWhen::AllCompleted,
    ] {
        let mut futures = vec![pool.call(add, (1, 1))];
        futures.clear();
        let waited = wait(futures, when, None);
        assert!(waited.done.is_empty() && waited.not_done.is_empty());
    }
}

fn the_first_one_is_enough<K: Kind>() {
    let (pool, place) = (K::make(2), Place::new());
    let shut = pool.call(pass, (place.path(), 1));
    let open = pool.call(add, (1, 1));
    let waited = wait(vec![shut, open], ReturnWhen::FirstCompleted, None);
    assert_eq!((waited.done.len(), waited.not_done.len()), (1, 1));
    place.open();
    for future in waited.done {
        assert_eq!(future.result().unwrap(), 2);
    }
    for future in waited.not_done {
        assert_eq!(future.result().unwrap(), 1);
    }
}

fn an_error_is_enough_and_a_value_is_not<K: Kind>() {
    let (pool, place) = (K::make(2), Place::new());
    let shut = pool.call(pass, (place.path(), 1));
    place.wait_for("began 1");
    // One worker is left, so the value is there before the error.
    let value = pool.call(add, (1, 1));
    let error = pool.call(fail, ("enough".to_owned(),));
    let waited = wait(vec![shut, value, error], ReturnWhen::FirstException, None);
    assert_eq!((waited.done.len(), waited.not_done.len()), (2, 1));
    place.open();
}

fn without_an_error_it_waits_for_all<K: Kind>() {
    let pool = K::make(2);
    let futures = (0..20).map(|n| pool.call(square, (n,))).collect();
    let waited = wait(futures, ReturnWhen::FirstException, None);
    assert_eq!((waited.done.len(), waited.not_done.len()), (20, 0));
}

fn a_wait_ends_with_its_time<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    for when in [
        ReturnWhen::FirstCompleted,
        ReturnWhen::FirstException,
        ReturnWhen::AllCompleted,
    ] {
        let shut = pool.call(pass, (place.path(), 1));
        let (start, limit) = (Instant::now(), Duration::from_millis(20));
        let waited = wait(vec![shut], when, Some(limit));
        assert!(start.elapsed() >= limit);
        assert_eq!((waited.done.len(), waited.not_done.len()), (0, 1));
    }
    place.open();
}

fn both_parts_keep_the_order<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let done: Vec<_> = (10..14).map(|n| pool.call(add, (n, 0))).collect();
    let done = wait(done, ReturnWhen::AllCompleted, None).done;
    let shut: Vec<_> = (0..4).map(|n| pool.call(pass, (place.path(), n))).collect();
    let mixed = shut
        .into_iter()
        .zip(done)
        .flat_map(|(shut, done)| [shut, done])
        .collect();
    let waited = wait(mixed, ReturnWhen::AllCompleted, Some(Duration::ZERO));
    place.open();
    let values = |futures: Vec<forkful::Future<i64>>| -> Vec<i64> {
        futures
            .into_iter()
            .map(|future| future.result().unwrap())
            .collect()
    };
    assert_eq!(values(waited.done), [10, 11, 12, 13]);
    assert_eq!(values(waited.not_done), [0, 1, 2, 3]);
}

fn a_cancelled_one_is_done<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let shut = pool.call(pass, (place.path(), 1));
    place.wait_for("began 1");
    let (early, late) = (pool.call(add, (1, 1)), pool.call(add, (2, 2)));
    assert!(early.cancel());
    let waited = wait(vec![shut, early], ReturnWhen::FirstCompleted, None);
    assert!(waited.done[0].is_cancelled());
    // And one that is cancelled while somebody waits wakes him.
    thread::scope(|scope| {
        let futures = [late].map(std::sync::Arc::new);
        let future = futures[0].clone();
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(10));
            assert!(future.cancel());
        });
        assert!(futures[0].wait_timeout(Duration::MAX));
    });
    place.open();
}

fn the_rest_can_be_waited_for_again<K: Kind>() {
    let pool = K::make(2);
    let mut rest: Vec<_> = (0..100).map(|n| pool.call(square, (n,))).collect();
    let mut sum = 0;
    while !rest.is_empty() {
        let waited = wait(rest, ReturnWhen::FirstCompleted, None);
        assert!(!waited.done.is_empty());
        sum += waited
            .done
            .into_iter()
            .map(|future| future.result().unwrap())
            .sum::<u64>();
        rest = waited.not_done;
    }
    assert_eq!(sum, (0..100).map(|n| n * n).sum());
}

fn each_completes_once<K: Kind>() {
    let pool = K::make(2);
    let futures: Vec<_> = (0..500).map(|n| pool.call(square, (n,))).collect();
    let mut seen = HashSet::new();
    for future in as_completed(futures) {
        assert!(future.is_done());
        assert!(seen.insert(future.result().unwrap()));
    }
    assert_eq!(seen, (0..500).map(|n| n * n).collect());
}

fn nothing_completes_of_nothing<K: Kind>() {
    assert_eq!(
        as_completed(Vec::<forkful::Future<K::Pool>>::new()).count(),
        0
    );
}

fn what_is_done_comes_before_what_is_not<K: Kind>() {
    let (pool, place) = (K::make(2), Place::new());
    let shut = pool.call(pass, (place.path(), 1));
    let done = pool.call(add, (1, 1));
    assert!(done.wait_timeout(Duration::MAX));
    let mut completed = as_completed(vec![shut, done]);
    assert_eq!(completed.next().unwrap().result().unwrap(), 2);
    place.open();
    assert_eq!(completed.next().unwrap().result().unwrap(), 1);
    assert!(completed.next().is_none());
}

fn they_come_in_the_order_of_their_ends<K: Kind>() {
    let pool = K::make(3);
    let places = [Place::new(), Place::new(), Place::new()];
    let futures: Vec<_> = (0..)
        .zip(&places)
        .map(|(n, place)| pool.call(pass, (place.path(), n)))
        .collect();
    let mut completed = as_completed(futures);
    for nth in [1, 2, 0] {
        places[nth].open();
        assert_eq!(completed.next().unwrap().result().unwrap(), nth as i64);
    }
}

fn errors_complete_too<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let shut = pool.call(pass, (place.path(), 1));
    place.wait_for("began 1");
    let cancelled = pool.call(add, (1, 1));
    let failing = pool.call(fail, ("completed".to_owned(),));
    assert!(cancelled.cancel());
    place.open();
    let (mut values, mut errors) = (0, 0);
    for future in as_completed(vec![shut, cancelled, failing]) {
        match future.result() {
            Ok(_) => values += 1,
            Err(TaskError::Cancelled | TaskError::Panicked(_)) => errors += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!((values, errors), (1, 2));
}

fn one_that_is_left_early_harms_nobody<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let futures = vec![pool.call(add, (1, 1)), pool.call(pass, (place.path(), 1))];
    let mut completed = as_completed(futures);
    assert_eq!(completed.next().unwrap().result().unwrap(), 2);
    drop(completed);
    place.open();
    drop(pool);
    assert_eq!(place.lines(), ["began 1", "passed 1"]);
}

fn futures_of_several_executors_complete_together<K: Kind>() {
    let (one, two, threads) = (K::make(1), K::make(2), ThreadPoolExecutor::new(1));
    let futures = (0..90)
        .map(|n| match n % 3 {
            0 => one.call(add, (n, 0)),
            1 => two.call(add, (n, 0)),
            _ => threads.call(add, (n, 0)),
        })
        .collect();
    let waited = wait(futures, ReturnWhen::FirstCompleted, None);
    let futures = waited
        .done
        .into_iter()
        .chain(waited.not_done)
        .collect::<Vec<_>>();
    let seen: HashSet<i64> = as_completed(futures)
        .map(|future| future.result().unwrap())
        .collect();
    assert_eq!(seen, (0..90).collect());
}

fn many_threads_wait_at_once<K: Kind>() {
    let pool = K::make(2);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let futures: Vec<_> = (0..10).map(|n| pool.call(square, (n,))).collect();
                    let waited = wait(futures, ReturnWhen::AllCompleted, None);
                    assert_eq!(waited.done.len(), 10);
                }
            });
        }
    });
}
