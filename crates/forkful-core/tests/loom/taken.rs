//! A value is taken out once, and a task that is begun for good is finished by nobody else.

use super::explore;
use forkful_core::deadline::Deadline;
use forkful_core::future::{Cancel, Core, Finish, TakeOnce, sleep_until};
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use std::sync::Arc;

#[test]
fn of_two_takers_one_gets_it() {
    explore(|| {
        let cell = Arc::new(TakeOnce::new(Box::new(7u32)));
        let other = cell.clone();
        let taker = thread::spawn(move || other.take());
        let mine = cell.take();
        let theirs = taker.join().unwrap();
        assert!(mine.is_some() != theirs.is_some());
        assert_eq!(mine.or(theirs).as_deref(), Some(&7));
    });
}

type Future = Core<u32, TakeOnce<Arc<AtomicU32>>, u32>;

/// What a pool of threads does with a task.
fn run(future: &Future) {
    let Some((task, seized)) = future.begin_seized() else {
        return;
    };
    assert_eq!(task, Some(5));
    let value = Arc::new(AtomicU32::new(0));
    assert!(future.put(&seized, TakeOnce::new(value.clone())).is_none());
    value.store(7, Relaxed);
    if let Finish::Tell = future.state().publish(seized, false, true).unwrap() {
        future.state().tell();
    }
}

#[test]
fn a_task_is_run_or_cancelled_and_its_waiter_wakes() {
    explore(|| {
        let future = Arc::new(Future::new(Some(5)));
        let (runs, cancels) = (future.clone(), future.clone());
        let runner = thread::spawn(move || run(&runs));
        let canceller = thread::spawn(move || match cancels.cancel(true) {
            (Cancel::Now(_), task) => {
                assert_eq!(task, Some(5));
                true
            }
            _ => false,
        });
        sleep_until(future.state(), Deadline::NEVER, || Ok::<(), ()>(())).unwrap();
        let value = future.value().and_then(TakeOnce::take);
        runner.join().unwrap();
        if canceller.join().unwrap() {
            assert!(value.is_none() && future.state().phase().is_cancelled());
        } else {
            assert_eq!(value.map(|value| value.load(Relaxed)), Some(7));
        }
    });
}

#[test]
fn one_of_two_runs_it() {
    explore(|| {
        let future = Arc::new(Future::new(Some(5)));
        let other = future.clone();
        let runner = thread::spawn(move || run(&other));
        run(&future);
        sleep_until(future.state(), Deadline::NEVER, || Ok::<(), ()>(())).unwrap();
        runner.join().unwrap();
        let value = future.value().and_then(TakeOnce::take).unwrap();
        assert_eq!(value.load(Relaxed), 7);
        assert!(future.value().and_then(TakeOnce::take).is_none());
    });
}
