//! Who waits to be notified is, once for each notification, and nobody sleeps through one.

use super::explore;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::sync::{Flag, Line, Parker};
use forkful_core::sys::Lock;
use loom::thread;
use std::sync::Arc;
use std::time::Duration;

fn park(parker: &Parker) -> Result<(), WaitError<()>> {
    parker.wait(Deadline::NEVER, || Ok(()))
}

/// In a model a deadline has passed by the time that somebody looks.
fn park_a_moment(parker: &Parker) -> Result<(), WaitError<()>> {
    parker.wait(Deadline::after(Duration::from_secs(1)), || Ok(()))
}

/// A condition variable: a line beside a lock.
#[derive(Default)]
struct Condition {
    ready: Lock<u32>,
    line: Line,
}

impl Condition {
    fn take(&self) {
        loop {
            let parker = {
                let mut ready = self.ready.lock();
                if *ready > 0 {
                    *ready -= 1;
                    return;
                }
                let parker = Parker::take();
                self.line.join(&parker);
                parker
            };
            park(&parker).unwrap();
        }
    }

    fn give(&self) {
        let batch = {
            let mut ready = self.ready.lock();
            *ready += 1;
            self.line.notify(1)
        };
        batch.ring();
    }
}

#[test]
fn a_notification_is_slept_through_by_nobody() {
    explore(|| {
        let condition = Arc::new(Condition::default());
        let other = condition.clone();
        let taker = thread::spawn(move || (0..2).for_each(|_| other.take()));
        (0..2).for_each(|_| condition.give());
        taker.join().unwrap();
        assert_eq!(*condition.ready.lock(), 0);
        assert!(condition.line.is_empty());
    });
}

#[test]
fn two_notifications_reach_two_waiters() {
    explore(|| {
        let condition = Arc::new(Condition::default());
        let other = condition.clone();
        // Two threads only: of three, the model would let two yield to each other for ever at the lock.
        let taker = thread::spawn(move || {
            other.give();
            other.take();
        });
        condition.give();
        condition.take();
        taker.join().unwrap();
        assert_eq!(*condition.ready.lock(), 0);
    });
}

#[test]
fn who_leaves_was_notified_or_not() {
    explore(|| {
        let line = Arc::new(Line::default());
        let parker = Parker::take();
        line.join(&parker);
        let other = line.clone();
        let notifier = thread::spawn(move || {
            let batch = other.notify(1);
            let notified = batch.len();
            batch.ring();
            notified
        });
        let waited = park_a_moment(&parker);
        let in_time = waited.is_ok() || !line.leave(&parker);
        assert_eq!(notifier.join().unwrap(), usize::from(in_time));
    });
}

#[test]
fn a_set_flag_lets_whoever_waits_go() {
    explore(|| {
        let flag = Arc::new(Flag::default());
        let other = flag.clone();
        let waiter = thread::spawn(move || other.wait(park));
        flag.set();
        waiter.join().unwrap().unwrap();
        flag.clear();
        assert!(!flag.is_set());
    });
}

#[test]
fn two_flags_are_passed_to_and_fro() {
    explore(|| {
        let flags = Arc::new([Flag::default(), Flag::default()]);
        let other = flags.clone();
        let thread = thread::spawn(move || {
            other[0].wait(park).unwrap();
            other[0].clear();
            other[1].set();
        });
        flags[0].set();
        flags[1].wait(park).unwrap();
        assert!(!flags[0].is_set());
        thread.join().unwrap();
    });
}
