//! Every hook fires exactly once, whoever comes first.

use super::explore;
use forkful_core::future::{Arrivals, Core, Hook};
use loom::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Wake, Waker};

type Future = Core<(), u32, u32>;

/// Adds a call, and returns what fired at once.
fn add(future: &Future, call: u32) -> Vec<u32> {
    let mut fired = Vec::new();
    future.add_hook(Hook::Call(call), |call| fired.push(call));
    fired
}

fn fire(future: &Future) -> Vec<u32> {
    let mut fired = Vec::new();
    future.fire(|call| fired.push(call));
    fired
}

fn finish(future: &Future) -> Vec<u32> {
    let _ = future.finish(1, false).unwrap();
    fire(future)
}

/// Sweeps as the binding does, which looks at the phase afterwards.
fn sweep(future: &Future, arrivals: &Arc<Arrivals>) -> Vec<u32> {
    future.hooks().sweep(arrivals);
    fire(future)
}

fn drain(arrivals: &Arrivals) -> Vec<usize> {
    std::iter::from_fn(|| arrivals.pop()).collect()
}

fn sorted(mut calls: Vec<u32>) -> Vec<u32> {
    calls.sort_unstable();
    calls
}

#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_call_fires_once_and_in_order() {
    explore(|| {
        let future = Arc::new(Future::default());
        let other = future.clone();
        let finisher = thread::spawn(move || finish(&other));
        let mut mine = add(&future, 1);
        mine.extend(add(&future, 2));
        let theirs = finisher.join().unwrap();
        // Between the two threads there is no order: the second call may come too late while the first is just being made.
        assert!(mine.is_sorted() && theirs.is_sorted());
        assert_eq!(sorted([mine, theirs].concat()), [1, 2]);
    });
}

#[test]
fn two_adders_and_a_finisher() {
    explore(|| {
        let future = Arc::new(Future::default());
        let adders = [1, 2].map(|call| {
            let future = future.clone();
            thread::spawn(move || add(&future, call))
        });
        let mut fired = finish(&future);
        for adder in adders {
            fired.extend(adder.join().unwrap());
        }
        assert_eq!(sorted(fired), [1, 2]);
    });
}

#[test]
fn a_waker_wakes_once_and_an_arrival_comes_once() {
    explore(|| {
        let (future, count, arrivals) = (
            Arc::new(Future::default()),
            Arc::new(Count::default()),
            Arc::new(Arrivals::default()),
        );
        let other = future.clone();
        let finisher = thread::spawn(move || finish(&other));
        future.add_hook(Hook::Wake(Waker::from(count.clone())), |_| unreachable!());
        future.add_hook(Hook::Arrive(arrivals.clone(), 3), |_| unreachable!());
        finisher.join().unwrap();
        assert_eq!(
            (count.0.load(Ordering::Relaxed), drain(&arrivals)),
            (1, vec![3])
        );
        assert!(future.hooks().is_empty());
    });
}

#[test]
fn a_sweep_takes_its_own_and_loses_nothing() {
    explore(|| {
        let (future, swept, kept) = (
            Arc::new(Future::default()),
            Arc::new(Arrivals::default()),
            Arc::new(Arrivals::default()),
        );
        assert!(add(&future, 1).is_empty());
        future.add_hook(Hook::Arrive(swept.clone(), 5), |_| unreachable!());
        future.add_hook(Hook::Arrive(kept.clone(), 6), |_| unreachable!());
        let other = future.clone();
        let finisher = thread::spawn(move || finish(&other));
        let mine = sweep(&future, &swept);
        let theirs = finisher.join().unwrap();
        assert_eq!([mine, theirs].concat(), [1]);
        assert_eq!(drain(&kept), [6]);
        assert!(drain(&swept).len() <= 1);
        assert_eq!(Arc::strong_count(&swept), 1);
        assert!(future.hooks().is_empty());
    });
}

#[test]
fn a_notification_reaches_an_arrival_that_somebody_holds() {
    explore(|| {
        let (future, swept, kept) = (
            Arc::new(Future::default()),
            Arc::new(Arrivals::default()),
            Arc::new(Arrivals::default()),
        );
        future.add_hook(Hook::Arrive(swept.clone(), 5), |_| unreachable!());
        future.add_hook(Hook::Arrive(kept.clone(), 6), |_| unreachable!());
        let other = future.clone();
        let canceller = thread::spawn(move || {
            let _ = other.cancel(false);
            assert!(fire(&other).is_empty());
            assert!(other.state().notify());
            assert!(fire(&other).is_empty());
        });
        assert!(sweep(&future, &swept).is_empty());
        canceller.join().unwrap();
        assert_eq!(drain(&kept), [6]);
        assert!(future.hooks().is_empty());
    });
}

#[test]
fn one_cancels_while_another_notifies() {
    explore(|| {
        let (future, arrivals) = (Arc::new(Future::default()), Arc::new(Arrivals::default()));
        future.add_hook(Hook::Arrive(arrivals.clone(), 5), |_| unreachable!());
        assert!(add(&future, 1).is_empty());
        let other = future.clone();
        let notifier = thread::spawn(move || {
            let notified = other.state().notify();
            (notified, if notified { fire(&other) } else { Vec::new() })
        });
        let _ = future.cancel(false);
        let mut fired = fire(&future);
        let (notified, theirs) = notifier.join().unwrap();
        if !notified {
            assert!(drain(&arrivals).is_empty());
            assert!(future.state().notify());
            fired.extend(fire(&future));
        }
        assert_eq!([fired, theirs].concat(), [1]);
        assert_eq!(drain(&arrivals), [5]);
    });
}
