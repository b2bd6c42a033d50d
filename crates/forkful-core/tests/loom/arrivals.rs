//! Whoever waits for several futures misses none that arrives.

use super::explore;
use forkful_core::deadline::Deadline;
use forkful_core::future::{Arrivals, Core, Hook};
use loom::thread;
use std::sync::Arc;

fn next(arrivals: &Arrivals) -> usize {
    arrivals.next::<()>(Deadline::NEVER, || Ok(())).unwrap()
}

#[test]
fn one_arriver_keeps_the_order() {
    explore(|| {
        let arrivals = Arc::new(Arrivals::default());
        let theirs = arrivals.clone();
        let arriver = thread::spawn(move || (0..2).for_each(|token| theirs.arrive(token)));
        assert_eq!([next(&arrivals), next(&arrivals)], [0, 1]);
        arriver.join().unwrap();
        assert_eq!(arrivals.pop(), None);
    });
}

#[test]
fn two_arrivers_are_both_seen() {
    explore(|| {
        let arrivals = Arc::new(Arrivals::default());
        let arrivers = [1, 2].map(|token| {
            let arrivals = arrivals.clone();
            thread::spawn(move || arrivals.arrive(token))
        });
        assert_eq!(next(&arrivals) + next(&arrivals), 3);
        for arriver in arrivers {
            arriver.join().unwrap();
        }
    });
}

#[test]
fn a_finished_future_arrives_at_its_waiter() {
    explore(|| {
        let (future, arrivals) = (
            Arc::new(Core::<(), u32, ()>::default()),
            Arc::new(Arrivals::default()),
        );
        let other = future.clone();
        let finisher = thread::spawn(move || {
            let _ = other.finish(9, false).unwrap();
            other.fire(|()| unreachable!());
        });
        future.add_hook(Hook::Arrive(arrivals.clone(), 4), |()| unreachable!());
        assert_eq!(next(&arrivals), 4);
        assert_eq!(future.value(), Some(&9));
        finisher.join().unwrap();
    });
}
