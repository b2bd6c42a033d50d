//! Permits are neither lost nor made, and nobody sleeps beside one.

use super::explore;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::sync::permits::{MOST, TooMany};
use forkful_core::sync::{Parker, Permits};
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use std::sync::Arc;
use std::time::Duration;

fn park(parker: &Parker) -> Result<(), WaitError<()>> {
    parker.wait(Deadline::NEVER, || Ok(()))
}

fn park_a_moment(parker: &Parker) -> Result<(), WaitError<()>> {
    parker.wait(Deadline::after(Duration::from_secs(1)), || Ok(()))
}

#[test]
fn one_permit_excludes() {
    explore(|| {
        let shared = Arc::new((Permits::new(1), AtomicU32::new(0)));
        let count = |shared: &(Permits, AtomicU32)| {
            shared.0.acquire(park).unwrap();
            let now = shared.1.load(Relaxed);
            shared.1.store(now + 1, Relaxed);
            shared.0.release(1, 1).unwrap();
        };
        let other = shared.clone();
        let thread = thread::spawn(move || (0..2).for_each(|_| count(&other)));
        (0..2).for_each(|_| count(&shared));
        thread.join().unwrap();
        assert_eq!(shared.1.load(Relaxed), 4);
        assert_eq!(shared.0.available(), 1);
    });
}

#[test]
fn three_threads_take_turns() {
    explore(|| {
        let permits = Arc::new(Permits::new(1));
        let turn = |permits: &Permits| {
            permits.acquire(park).unwrap();
            permits.release(1, 1).unwrap();
        };
        let others = [(); 2].map(|()| {
            let permits = permits.clone();
            thread::spawn(move || turn(&permits))
        });
        turn(&permits);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(permits.available(), 1);
    });
}

#[test]
fn two_permits_given_at_once_reach_two_waiters() {
    explore(|| {
        let permits = Arc::new(Permits::new(0));
        let takers = [(); 2].map(|()| {
            let permits = permits.clone();
            thread::spawn(move || permits.acquire(park).unwrap())
        });
        permits.release(2, MOST).unwrap();
        for taker in takers {
            taker.join().unwrap();
        }
        assert_eq!(permits.available(), 0);
    });
}

#[test]
fn who_is_too_late_passes_its_call_on() {
    explore(|| {
        let permits = Arc::new(Permits::new(0));
        let (hasty, patient) = (permits.clone(), permits.clone());
        let hasty = thread::spawn(move || hasty.acquire(park_a_moment).is_ok());
        let patient = thread::spawn(move || patient.acquire(park).unwrap());
        permits.release(1, MOST).unwrap();
        if hasty.join().unwrap() {
            permits.release(1, MOST).unwrap();
        }
        patient.join().unwrap();
        assert_eq!(permits.available(), 0);
    });
}

#[test]
fn who_is_interrupted_takes_nothing_along() {
    explore(|| {
        let permits = Arc::new(Permits::new(0));
        let (interrupted, patient) = (permits.clone(), permits.clone());
        let interrupted = thread::spawn(move || {
            interrupted.acquire(|parker| {
                let _ = park_a_moment(parker);
                Err(WaitError::Interrupted(()))
            })
        });
        let patient = thread::spawn(move || patient.acquire(park).unwrap());
        permits.release(1, MOST).unwrap();
        if interrupted.join().unwrap().is_ok() {
            permits.release(1, MOST).unwrap();
        }
        patient.join().unwrap();
        assert_eq!(permits.available(), 0);
    });
}

#[test]
fn a_bound_holds_though_two_give() {
    explore(|| {
        let permits = Arc::new(Permits::new(0));
        let (giver, taker) = (permits.clone(), permits.clone());
        let taker = thread::spawn(move || taker.acquire(park).unwrap());
        let giver = thread::spawn(move || giver.release(1, 1));
        let mine = permits.release(1, 1);
        let theirs = giver.join().unwrap();
        taker.join().unwrap();
        let refused = [mine, theirs]
            .iter()
            .filter(|given| **given == Err(TooMany))
            .count();
        // Both find room if the taker has gone in between.
        assert_eq!(permits.available() as usize, 1 - refused);
    });
}
