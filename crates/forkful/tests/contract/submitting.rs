//! Submitting, results, errors, cancelling, priorities, and what is counted.

use crate::contract;
use crate::kinds::Kind;
use crate::tasks::{Place, add, fail, note, pass, pass_and_fail, square, thread_and_process};
use forkful::{Executor, Refusal, TaskError};
use std::thread;
use std::time::{Duration, Instant};

contract! {
    a_result_comes_back
    each_of_many_results_is_its_own
    a_panic_is_an_error_and_the_worker_goes_on
    a_future_tells_its_state
    a_timeout_leaves_the_task_and_the_future_as_they_are
    a_result_that_is_there_is_returned_without_time
    a_queued_task_can_be_cancelled_and_never_runs
    a_task_that_runs_cannot_be_cancelled
    what_is_done_cannot_be_cancelled
    killing_what_has_not_begun_cancels_it
    a_dropped_future_lets_its_task_run
    a_future_outlives_its_executor
    smaller_priorities_run_first_and_equals_in_order
    a_full_executor_makes_submitters_wait
    work_runs_elsewhere
    many_threads_submit_at_once
    executors_come_and_go
    the_numbers_add_up
}

fn a_result_comes_back<K: Kind>() {
    let pool = K::make(2);
    assert_eq!(pool.call(add, (1, 2)).result().unwrap(), 3);
}

fn each_of_many_results_is_its_own<K: Kind>() {
    let pool = K::make(3);
    let futures: Vec<_> = (0..3000).map(|n| pool.call(square, (n,))).collect();
    for (n, future) in (0..).zip(futures) {
        assert_eq!(future.result().unwrap(), n * n);
    }
}

fn a_panic_is_an_error_and_the_worker_goes_on<K: Kind>() {
    let pool = K::make(1);
    let failing = pool.call(fail, ("one".to_owned(),));
    let next = pool.call(add, (1, 1));
    match failing.result() {
        Err(TaskError::Panicked(panicked)) => {
            assert_eq!(panicked.message(), "one on purpose");
            let payload = panicked.into_payload().downcast::<String>();
            assert_eq!(*payload.expect("a formatted message"), "one on purpose");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(next.result().unwrap(), 2);
}

fn a_future_tells_its_state<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let first = pool.call(pass, (place.path(), 1));
    let second = pool.call(add, (1, 1));
    place.wait_for("began 1");
    assert!(first.is_running() && !first.is_done() && !first.is_cancelled());
    assert!(!second.is_done() && !second.is_cancelled());
    assert!(format!("{first:?}").contains("running"), "{first:?}");
    place.open();
    assert!(first.wait_timeout(Duration::MAX));
    assert!(first.is_done() && !first.is_running() && !first.is_cancelled());
    assert!(format!("{first:?}").contains("done"), "{first:?}");
    assert_eq!(second.result().unwrap(), 2);
}

fn a_timeout_leaves_the_task_and_the_future_as_they_are<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let mut future = pool.call(pass, (place.path(), 7));
    let start = Instant::now();
    let limit = Duration::from_millis(30);
    assert!(matches!(
        future.result_timeout(limit),
        Err(TaskError::TimedOut)
    ));
    assert!(start.elapsed() >= limit);
    assert!(!future.wait_timeout(Duration::ZERO));
    place.open();
    assert_eq!(future.result_timeout(Duration::MAX).unwrap(), 7);
}

fn a_result_that_is_there_is_returned_without_time<K: Kind>() {
    let pool = K::make(1);
    let mut future = pool.call(add, (1, 2));
    assert!(future.wait_timeout(Duration::MAX));
    assert_eq!(future.result_timeout(Duration::ZERO).unwrap(), 3);
}

fn a_queued_task_can_be_cancelled_and_never_runs<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let first = pool.call(pass, (place.path(), 1));
    let second = pool.call(note, (place.path(), "second".to_owned()));
    let third = pool.call(note, (place.path(), "third".to_owned()));
    place.wait_for("began 1");
    assert!(second.cancel());
    assert!(second.is_cancelled() && second.is_done() && !second.is_running());
    assert!(second.cancel(), "a second time says the same");
    assert!(matches!(second.result(), Err(TaskError::Cancelled)));
    place.open();
    assert_eq!(first.result().unwrap(), 1);
    third.result().unwrap();
    pool.shutdown(forkful::Shutdown::Wait);
    assert_eq!(place.lines(), ["began 1", "passed 1", "third"]);
}

fn a_task_that_runs_cannot_be_cancelled<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let future = pool.call(pass, (place.path(), 1));
    place.wait_for("began 1");
    assert!(!future.cancel());
    assert!(!future.is_cancelled() && !future.is_done());
    place.open();
    assert_eq!(future.result().unwrap(), 1);
}

fn what_is_done_cannot_be_cancelled<K: Kind>() {
    let pool = K::make(1);
    let future = pool.call(add, (1, 2));
    assert!(future.wait_timeout(Duration::MAX));
    assert!(!future.cancel());
    assert_eq!(future.result().unwrap(), 3);
}

fn killing_what_has_not_begun_cancels_it<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let first = pool.call(pass, (place.path(), 1));
    let second = pool.call(note, (place.path(), "second".to_owned()));
    place.wait_for("began 1");
    assert!(second.kill());
    assert!(matches!(second.result(), Err(TaskError::Cancelled)));
    place.open();
    assert_eq!(first.result().unwrap(), 1);
}

fn a_dropped_future_lets_its_task_run<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    drop(pool.call(pass, (place.path(), 1)));
    drop(pool.call(note, (place.path(), "next".to_owned())));
    drop(pool.call(pass_and_fail, (place.path(),)));
    place.open();
    drop(pool);
    assert_eq!(
        place.lines(),
        ["began 1", "passed 1", "next", "began -1", "passed -1"]
    );
}

fn a_future_outlives_its_executor<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let done = pool.call(add, (1, 2));
    let failed = pool.call(fail, ("late".to_owned(),));
    let cancelled = {
        drop(pool.call(pass, (place.path(), 1)));
        place.wait_for("began 1");
        pool.call(add, (3, 4))
    };
    assert!(cancelled.cancel());
    place.open();
    drop(pool);
    assert_eq!(done.result().unwrap(), 3);
    assert!(matches!(failed.result(), Err(TaskError::Panicked(_))));
    assert!(matches!(cancelled.result(), Err(TaskError::Cancelled)));
}

fn smaller_priorities_run_first_and_equals_in_order<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let gate = pool.call(pass, (place.path(), 1));
    place.wait_for("began 1");
    // A worker process may have some tasks before it already, which nothing overtakes: these, then.
    for _ in 0..8 {
        drop(K::call_as(
            &pool,
            -9,
            "early",
            note,
            (place.path(), "early".to_owned()),
        ));
    }
    let priorities = [5, -1, 0, 5, -1, 0, 3];
    let futures: Vec<_> = (0..)
        .zip(priorities)
        .map(|(nth, priority)| {
            K::call_as(
                &pool,
                priority,
                "noted",
                note,
                (place.path(), format!("{nth}")),
            )
        })
        .collect();
    place.open();
    gate.result().unwrap();
    for future in futures {
        future.result().unwrap();
    }
    let lines = place.lines();
    let late = lines.iter().filter(|line| line.len() == 1);
    assert!(late.eq(["1", "4", "2", "5", "6", "0", "3"]), "{lines:?}");
}

fn a_full_executor_makes_submitters_wait<K: Kind>() {
    let (pool, place) = (K::bounded(1, 4), Place::new());
    let gate = pool.call(pass, (place.path(), 1));
    place.wait_for("began 1");
    thread::scope(|scope| {
        let submitter = scope.spawn(|| {
            let futures: Vec<_> = (0..20).map(|n| pool.call(square, (n,))).collect();
            futures
                .into_iter()
                .map(|future| future.result().unwrap())
                .sum::<u64>()
        });
        // The gate is shut, so no time is enough for the twenty.
        thread::sleep(Duration::from_millis(30));
        assert!(!submitter.is_finished());
        place.open();
        assert_eq!(
            submitter.join().unwrap(),
            (0..20).map(|n| n * n).sum::<u64>()
        );
    });
    gate.result().unwrap();
}

fn work_runs_elsewhere<K: Kind>() {
    let pool = K::make(2);
    let here = thread_and_process();
    for _ in 0..20 {
        let there = pool.call(thread_and_process, ()).result().unwrap();
        assert_ne!(there, here);
        assert_eq!(there.1 == here.1, K::NAME == "threads");
    }
}

fn many_threads_submit_at_once<K: Kind>() {
    let pool = K::make(2);
    thread::scope(|scope| {
        for thread in 0..8 {
            let pool = &pool;
            scope.spawn(move || {
                for n in 0..200 {
                    let future = pool.call(add, (thread, n));
                    assert_eq!(future.result().unwrap(), thread + n);
                }
            });
        }
    });
}

fn executors_come_and_go<K: Kind>() {
    for round in 0..10 {
        let pool = K::make(1 + round % 2);
        let future = pool.call(add, (round as i64, 1));
        drop(pool);
        assert_eq!(future.result().unwrap(), round as i64 + 1);
    }
    // Those that never had a task.
    for _ in 0..10 {
        drop(K::make(3));
    }
}

fn the_numbers_add_up<K: Kind>() {
    let (pool, place) = (K::make(2), Place::new());
    for n in 0..10 {
        K::call_as(&pool, 0, "squares", square, (n,))
            .result()
            .unwrap();
    }
    let failing: Vec<_> = (0..3)
        .map(|_| pool.call(fail, ("three".to_owned(),)))
        .collect();
    for future in failing {
        future.result().unwrap_err();
    }
    let gates = [1, 2].map(|n| pool.call(pass, (place.path(), n)));
    place.wait_for("began 1");
    place.wait_for("began 2");
    let cancelled = pool.call(add, (1, 1));
    assert!(cancelled.cancel());
    place.open();
    for gate in gates {
        gate.result().unwrap();
    }
    pool.shutdown(forkful::Shutdown::Wait);
    let stats = pool.stats();
    assert_eq!(stats.submitted, 16, "{stats:?}");
    assert_eq!((stats.done, stats.failed), (12, 3), "{stats:?}");
    assert_eq!(stats.cancelled, 1, "{stats:?}");
    assert_eq!(stats.tasks["squares"].calls, 10, "{stats:?}");
    assert_eq!((stats.pending, stats.running), (0, 0), "{stats:?}");
    assert_eq!(stats.run_time.count(), 15, "{stats:?}");
}

/// What all refusals have in common.
pub fn is_shut_down<T>(result: Result<T, TaskError>) -> bool {
    matches!(result, Err(TaskError::Refused(Refusal::ShutDown)))
}
