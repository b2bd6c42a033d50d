//! Who wins a future: begin, cancel, finish, in two threads at once.

use super::explore;
use forkful_core::future::{Cancel, Core, Finish, Phase, State};
use loom::sync::Mutex;
use loom::thread;
use std::sync::Arc;

type Future = Core<u32, u32, u32>;

#[test]
fn either_begin_or_cancel_gets_the_task() {
    explore(|| {
        let future = Arc::new(Future::new(Some(7)));
        let other = future.clone();
        let beginner = thread::spawn(move || other.begin().flatten());
        let (verdict, cancelled) = future.cancel(false);
        let begun = beginner.join().unwrap();
        match verdict {
            Cancel::Now(_) => assert_eq!(
                (cancelled, begun, future.state().phase()),
                (Some(7), None, Phase::Cancelled)
            ),
            Cancel::TooLate => assert_eq!(
                (cancelled, begun, future.state().phase()),
                (None, Some(7), Phase::Running)
            ),
            Cancel::Already => unreachable!("nobody else cancels"),
        }
    });
}

#[test]
fn one_of_two_cancels_and_one_of_two_notifies() {
    explore(|| {
        let future = Arc::new(Future::new(Some(7)));
        let other = future.clone();
        let attempt = |future: &Future| {
            let won = matches!(future.cancel(false).0, Cancel::Now(_));
            (u32::from(won), u32::from(future.state().notify()))
        };
        let thread = thread::spawn(move || attempt(&other));
        let (mine, theirs) = (attempt(&future), thread.join().unwrap());
        assert_eq!((mine.0 + theirs.0, mine.1 + theirs.1), (1, 1));
        assert_eq!(future.state().phase(), Phase::CancelledAndNotified);
    });
}

#[test]
fn one_of_two_finishes_and_its_value_stays() {
    explore(|| {
        let future = Arc::new(Future::new(None));
        let other = future.clone();
        let thread = thread::spawn(move || other.finish(1, false).is_ok());
        let mine = future.finish(2, true).is_ok();
        let theirs = thread.join().unwrap();
        assert!(mine != theirs);
        assert_eq!(future.value(), Some(&if mine { 2 } else { 1 }));
        assert_eq!(future.state().raised(), mine);
    });
}

#[test]
fn a_cancellation_and_a_value_exclude_each_other() {
    explore(|| {
        let future = Arc::new(Future::new(Some(7)));
        let other = future.clone();
        let thread = thread::spawn(move || other.finish(1, false).is_ok());
        let (verdict, task) = future.cancel(true);
        let finished = thread.join().unwrap();
        assert!(finished != matches!(verdict, Cancel::Now(_)));
        assert_eq!(task.is_some(), !finished);
        assert_eq!(future.value(), finished.then_some(&1));
    });
}

#[test]
fn a_begun_future_that_somebody_else_finishes_keeps_one_value() {
    explore(|| {
        let future = Arc::new(Future::new(Some(7)));
        let other = future.clone();
        let worker = thread::spawn(move || match other.begin() {
            Some(task) => (task, other.finish(1, false).is_ok()),
            None => (None, false),
        });
        let seized = future.state().seize();
        let (mine, handed_back) = match seized {
            Ok(seized) => {
                let task = future.put(&seized, 2);
                let verdict = future.state().publish(seized, false, true);
                assert!(matches!(verdict, Ok(Finish::Quiet)));
                (true, task)
            }
            Err(_) => (false, None),
        };
        let (begun, theirs) = worker.join().unwrap();
        assert!(mine != theirs, "one finishes");
        assert!(
            begun.is_some() != handed_back.is_some(),
            "the task has one owner"
        );
        assert_eq!(future.value(), Some(&if mine { 2 } else { 1 }));
    });
}

/// Publishes as the binding does: without the condition first, and under it where the future turns out to be watched.
fn publish(state: &State, condition: &Mutex<()>) {
    let seized = state.seize().unwrap();
    if let Err(seized) = state.publish(seized, false, false) {
        let _held = condition.lock().unwrap();
        assert!(state.publish(seized, false, true).is_ok());
    }
}

#[test]
fn a_watched_phase_changes_under_the_condition_only() {
    explore(|| {
        let (state, condition) = (Arc::new(State::default()), Arc::new(Mutex::new(())));
        let (theirs, shared) = (state.clone(), condition.clone());
        let finisher = thread::spawn(move || publish(&theirs, &shared));
        {
            let _held = condition.lock().unwrap();
            state.watch();
            let seen = state.phase();
            thread::yield_now();
            assert_eq!(state.phase(), seen);
        }
        finisher.join().unwrap();
        assert_eq!(state.phase(), Phase::Finished);
        assert!(state.is_watched());
    });
}
