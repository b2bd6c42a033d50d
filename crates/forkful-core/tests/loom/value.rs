//! A waiter always wakes, and with the value.

use super::explore;
use forkful_core::deadline::Deadline;
use forkful_core::future::{Cancel, Core, Finish, Phase};
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use std::sync::Arc;

/// A value whose content is a relaxed atomic: whoever got at it without the handshake may read 0.
type Future = Core<(), Arc<AtomicU32>, u32>;

fn finish(future: &Future) {
    let value = Arc::new(AtomicU32::new(0));
    let seized = future.state().seize().unwrap();
    assert!(future.put(&seized, value.clone()).is_none());
    // After the seizure, for that is when a slot is written: publishing alone must make it visible.
    value.store(7, Relaxed);
    let verdict = future.state().publish(seized, false, true);
    if let Finish::Tell = verdict.unwrap() {
        future.state().tell();
    }
}

fn wait(future: &Future) {
    future.wait::<()>(Deadline::NEVER, || Ok(())).unwrap();
}

fn read(future: &Future) -> Option<u32> {
    future.value().map(|value| value.load(Relaxed))
}

#[test]
fn a_waiter_wakes_with_the_value() {
    explore(|| {
        let future = Arc::new(Future::default());
        let other = future.clone();
        let finisher = thread::spawn(move || finish(&other));
        wait(&future);
        assert_eq!(read(&future), Some(7));
        finisher.join().unwrap();
    });
}

#[test]
fn two_waiters_wake() {
    explore(|| {
        let future = Arc::new(Future::default());
        let waiters = [0, 1].map(|_| {
            let future = future.clone();
            thread::spawn(move || {
                wait(&future);
                assert_eq!(read(&future), Some(7));
            })
        });
        finish(&future);
        for waiter in waiters {
            waiter.join().unwrap();
        }
    });
}

#[test]
fn nobody_reads_half_a_value() {
    explore(|| {
        let future = Arc::new(Future::default());
        let other = future.clone();
        let finisher = thread::spawn(move || finish(&other));
        for _ in 0..2 {
            assert!(matches!(read(&future), None | Some(7)));
        }
        finisher.join().unwrap();
        assert_eq!(read(&future), Some(7));
    });
}

#[test]
fn a_waiter_of_a_late_teller_wakes() {
    explore(|| {
        let future = Arc::new(Future::default());
        let other = future.clone();
        // As a pool's worker does: it tells when the thread could go on, and when nobody waited it has nothing to tell.
        let finisher = thread::spawn(move || {
            let verdict = other.finish(Arc::new(AtomicU32::new(7)), true).unwrap();
            thread::yield_now();
            if verdict == Finish::Tell {
                other.state().tell();
            }
        });
        wait(&future);
        assert!(future.state().raised());
        finisher.join().unwrap();
    });
}

#[test]
fn a_waiter_goes_when_it_is_told_and_not_before() {
    explore(|| {
        let (future, telling) = (Arc::new(Future::default()), Arc::new(AtomicU32::new(0)));
        let (other, tells) = (future.clone(), telling.clone());
        let finisher = thread::spawn(move || {
            let verdict = other.finish(Arc::new(AtomicU32::new(7)), false).unwrap();
            if verdict == Finish::Tell {
                tells.store(1, Relaxed);
                other.state().tell();
            }
            verdict
        });
        wait(&future);
        let told = telling.load(Relaxed) == 1;
        assert!(finisher.join().unwrap() == Finish::Quiet || told);
    });
}

#[test]
fn a_waiter_wakes_from_a_cancellation() {
    explore(|| {
        let future = Arc::new(Future::default());
        let other = future.clone();
        let canceller = thread::spawn(move || matches!(other.cancel(false).0, Cancel::Now(_)));
        wait(&future);
        assert!(canceller.join().unwrap());
        assert_eq!(future.state().phase(), Phase::Cancelled);
    });
}

#[test]
fn a_waiter_wakes_whoever_wins() {
    explore(|| {
        let future = Arc::new(Future::default());
        let (first, second) = (future.clone(), future.clone());
        let canceller = thread::spawn(move || matches!(first.cancel(true).0, Cancel::Now(_)));
        let finisher =
            thread::spawn(
                move || match second.finish(Arc::new(AtomicU32::new(7)), false) {
                    Ok(verdict) => {
                        if verdict == Finish::Tell {
                            second.state().tell();
                        }
                        true
                    }
                    Err(_) => false,
                },
            );
        wait(&future);
        let (cancelled, finished) = (canceller.join().unwrap(), finisher.join().unwrap());
        assert!(cancelled != finished);
        assert_eq!(future.value().is_some(), finished);
    });
}
