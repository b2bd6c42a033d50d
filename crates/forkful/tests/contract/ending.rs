//! How an executor ends: three ways of shutdown, dropping, refusals, initializers that fail.

use crate::contract;
use crate::kinds::Kind;
use crate::submitting::is_shut_down;
use crate::tasks::{ON_PURPOSE, Place, add, note, pass};
use forkful::{Executor, Refusal, Shutdown, TaskError, as_completed};
use forkful_core::sys::{fork, leave, reap};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

contract! {
    waiting_runs_all_that_was_accepted
    cancelling_ends_what_has_not_begun
    detaching_returns_at_once_and_runs_all
    dropping_waits
    nothing_is_taken_afterwards
    it_can_be_said_twice
    a_detached_one_can_be_waited_for
    it_can_be_said_in_another_thread
    an_initializer_runs_before_the_first_task_of_each_worker
    a_failing_initializer_breaks_what_waits_and_what_comes
    whoever_waits_for_room_is_let_go
    a_forked_child_waits_for_nothing
}

fn waiting_runs_all_that_was_accepted<K: Kind>() {
    let (pool, place) = (K::make(2), Place::new());
    for nth in 0..20 {
        drop(pool.call(note, (place.path(), format!("{nth}"))));
    }
    pool.shutdown(Shutdown::Wait);
    assert_eq!(place.lines().len(), 20);
}

fn cancelling_ends_what_has_not_begun<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let runs = pool.call(pass, (place.path(), 1));
    place.wait_for("began 1");
    let waits: Vec<_> = (0..50)
        .map(|_| pool.call(note, (place.path(), "no".to_owned())))
        .collect();
    thread::scope(|scope| {
        let ending = scope.spawn(|| pool.shutdown(Shutdown::Cancel));
        for future in waits {
            assert!(matches!(future.result(), Err(TaskError::Cancelled)));
        }
        assert!(!ending.is_finished(), "what runs is waited for");
        place.open();
    });
    assert_eq!(runs.result().unwrap(), 1);
    assert_eq!(place.lines(), ["began 1", "passed 1"]);
}

fn detaching_returns_at_once_and_runs_all<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let gate = pool.call(pass, (place.path(), 1));
    let next = pool.call(add, (1, 1));
    pool.shutdown(Shutdown::Detach);
    assert!(!gate.is_done(), "the gate is shut");
    assert!(is_shut_down(pool.call(add, (1, 1)).result()));
    place.open();
    assert_eq!((gate.result().unwrap(), next.result().unwrap()), (1, 2));
}

fn dropping_waits<K: Kind>() {
    let place = Place::new();
    let pool = K::make(1);
    let future = pool.call(pass, (place.path(), 1));
    thread::scope(|scope| {
        let dropping = scope.spawn(move || drop(pool));
        place.wait_for("began 1");
        assert!(!dropping.is_finished());
        place.open();
    });
    assert!(future.is_done());
}

fn nothing_is_taken_afterwards<K: Kind>() {
    for how in [Shutdown::Wait, Shutdown::Cancel, Shutdown::Detach] {
        let pool = K::make(1);
        pool.call(add, (1, 1)).result().unwrap();
        pool.shutdown(how);
        let refused = pool.call(add, (1, 1));
        assert!(refused.is_done() && !refused.is_cancelled() && !refused.cancel());
        let error = refused.result().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the executor was shut down and takes no more tasks"
        );
    }
}

fn it_can_be_said_twice<K: Kind>() {
    for second in [Shutdown::Wait, Shutdown::Cancel, Shutdown::Detach] {
        let pool = K::make(1);
        let future = pool.call(add, (1, 1));
        pool.shutdown(Shutdown::Wait);
        pool.shutdown(second);
        assert_eq!(future.result().unwrap(), 2);
    }
}

fn a_detached_one_can_be_waited_for<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    drop(pool.call(pass, (place.path(), 1)));
    pool.shutdown(Shutdown::Detach);
    place.open();
    pool.shutdown(Shutdown::Wait);
    assert_eq!(place.lines(), ["began 1", "passed 1"]);
}

fn it_can_be_said_in_another_thread<K: Kind>() {
    let (pool, place) = (Arc::new(K::make(1)), Place::new());
    let future = pool.call(pass, (place.path(), 1));
    let enders: Vec<_> = [Shutdown::Wait, Shutdown::Cancel, Shutdown::Detach]
        .into_iter()
        .map(|how| {
            let pool = pool.clone();
            thread::spawn(move || pool.shutdown(how))
        })
        .collect();
    place.open();
    for ender in enders {
        ender.join().unwrap();
    }
    assert!(matches!(future.result(), Ok(1) | Err(TaskError::Cancelled)));
    assert!(is_shut_down(pool.call(add, (1, 1)).result()));
}

#[forkful::task]
fn prepare(place: PathBuf) {
    note(place, "prepared".to_owned());
}

fn an_initializer_runs_before_the_first_task_of_each_worker<K: Kind>() {
    let place = Place::new();
    let pool = K::initialized(2, prepare, place.path());
    let gates = [1, 2].map(|n| pool.call(pass, (place.path(), n)));
    place.wait_for("began 1");
    place.wait_for("began 2");
    place.open();
    for gate in gates {
        gate.result().unwrap();
    }
    pool.shutdown(Shutdown::Wait);
    let lines = place.lines();
    assert_eq!(lines[0], "prepared", "{lines:?}");
    assert_eq!(
        lines.iter().filter(|line| *line == "prepared").count(),
        2,
        "{lines:?}"
    );
}

#[forkful::task]
fn refuse(place: PathBuf) {
    pass(place, 0);
    panic!("no start today {ON_PURPOSE}");
}

fn a_failing_initializer_breaks_what_waits_and_what_comes<K: Kind>() {
    let place = Place::new();
    let pool = K::initialized(1, refuse, place.path());
    let futures: Vec<_> = (0..5).map(|n| pool.call(add, (n, 1))).collect();
    place.open();
    for future in futures {
        match future.result() {
            Err(TaskError::Broken(why)) => assert!(why.contains("no start today"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    let late = pool.call(add, (1, 1)).result().unwrap_err();
    assert!(late.to_string().contains("broken"), "{late}");
    pool.shutdown(Shutdown::Wait);
}

fn whoever_waits_for_room_is_let_go<K: Kind>() {
    let (pool, place) = (K::bounded(1, 1), Place::new());
    let gate = pool.call(pass, (place.path(), 1));
    place.wait_for("began 1");
    thread::scope(|scope| {
        let submitter = scope.spawn(|| {
            let futures: Vec<_> = (0..10).map(|n| pool.call(add, (n, 1))).collect();
            futures
                .into_iter()
                .map(|future| future.result())
                .filter(|result| result.is_err())
                .count()
        });
        thread::sleep(Duration::from_millis(20));
        pool.shutdown(Shutdown::Detach);
        place.open();
        assert!(submitter.join().unwrap() > 0, "some come too late");
    });
    assert_eq!(gate.result().unwrap(), 1);
}

/// What a child finds of a future that its parent waits for.
fn is_lost(result: Result<i64, TaskError>) -> bool {
    matches!(result, Err(TaskError::Refused(Refusal::Inherited)))
}

fn a_forked_child_waits_for_nothing<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let mut future = pool.call(pass, (place.path(), 1));
    place.wait_for("began 1");
    let others: Vec<_> = (0..4).map(|n| pool.call(add, (n, 0))).collect();
    let Some(child) = fork().unwrap() else {
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(polled) = Pin::new(&mut future).poll(&mut context) else {
            leave(2)
        };
        let told = is_lost(polled)
            && is_lost(future.result_timeout(Duration::from_secs(60)))
            && is_lost(future.result())
            && as_completed(others).all(|future| is_lost(future.result()))
            && is_lost(pool.call(add, (1, 1)).result());
        leave(i32::from(!told))
    };
    let ended = loop {
        if let Some(ended) = reap(child).unwrap() {
            break ended;
        }
        thread::sleep(Duration::from_millis(1));
    };
    assert_eq!(ended.status, 0);
    place.open();
    assert_eq!(future.result().unwrap(), 1);
    for (n, future) in (0..).zip(others) {
        assert_eq!(future.result().unwrap(), n);
    }
}
