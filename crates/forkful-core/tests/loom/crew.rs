//! The crew's sleep: no wake is lost, none is stolen, and none is left over. The argument is in `threads/sleep.md`.

use super::explore;
use forkful_core::prim::{AtomicBool, AtomicU32, Ordering::SeqCst};
use forkful_core::threads::Sleep;
use loom::thread;
use std::sync::Arc;

/// The pool as far as sleeping goes: a count for the queue, no spin.
struct House {
    crew: Sleep,
    queued: AtomicU32,
    left: AtomicU32,
    closed: AtomicBool,
}

impl House {
    /// A house that closes itself with the last of `jobs`.
    fn new(jobs: u32) -> Arc<House> {
        Arc::new(House {
            crew: Sleep::default(),
            queued: AtomicU32::new(0),
            left: AtomicU32::new(jobs),
            closed: AtomicBool::new(false),
        })
    }

    fn submit(&self) {
        self.queued.fetch_add(1, SeqCst);
        if self.crew.anybody() {
            self.crew.wake_one();
        }
    }

    fn close(&self) {
        self.closed.store(true, SeqCst);
        self.crew.wake_all();
    }

    fn has_news(&self) -> bool {
        self.queued.load(SeqCst) != 0 || self.closed.load(SeqCst)
    }

    fn take(&self) -> bool {
        let mut queued = self.queued.load(SeqCst);
        while queued != 0 {
            match self
                .queued
                .compare_exchange(queued, queued - 1, SeqCst, SeqCst)
            {
                Ok(_) => return true,
                Err(now) => queued = now,
            }
        }
        false
    }

    /// A worker's whole life; returns how many jobs it took.
    fn work(&self) -> u32 {
        let mut taken = 0;
        loop {
            while self.take() {
                taken += 1;
                if self.left.fetch_sub(1, SeqCst) == 1 {
                    self.close();
                }
            }
            if self.closed.load(SeqCst) && self.queued.load(SeqCst) == 0 {
                return taken;
            }
            self.crew.enrol();
            if self.has_news() {
                self.crew.withdraw();
            } else {
                self.crew.sleep();
            }
        }
    }

    /// After everybody left: nobody is counted, and no token lies about that would end the next sleep for nothing.
    fn assert_left_tidy(house: &Arc<House>) {
        assert!(!house.crew.anybody());
        house.closed.store(false, SeqCst);
        let sleeper = {
            let house = house.clone();
            thread::spawn(move || {
                house.crew.sleep();
                assert!(
                    house.closed.load(SeqCst),
                    "woken by a token that was left over"
                );
            })
        };
        house.crew.enrol();
        house.closed.store(true, SeqCst);
        house.crew.wake_one();
        sleeper.join().unwrap();
        assert!(!house.crew.anybody());
    }
}

#[test]
fn one_worker_takes_what_one_submits() {
    explore(|| {
        let house = House::new(2);
        let worker = {
            let house = house.clone();
            thread::spawn(move || house.work())
        };
        house.submit();
        house.submit();
        assert_eq!(worker.join().unwrap(), 2);
        assert!(!house.crew.anybody());
    });
}

#[test]
fn one_worker_takes_what_two_submit() {
    explore(|| {
        let house = House::new(2);
        let worker = {
            let house = house.clone();
            thread::spawn(move || house.work())
        };
        let submitter = {
            let house = house.clone();
            thread::spawn(move || house.submit())
        };
        house.submit();
        assert_eq!(worker.join().unwrap(), 2);
        submitter.join().unwrap();
        assert!(!house.crew.anybody());
    });
}

#[test]
fn two_workers_take_what_one_submits() {
    explore(|| {
        let house = House::new(2);
        let workers = [0, 1].map(|_| {
            let house = house.clone();
            thread::spawn(move || house.work())
        });
        house.submit();
        house.submit();
        let taken: u32 = workers.map(|worker| worker.join().unwrap()).iter().sum();
        assert_eq!(taken, 2);
        assert!(!house.crew.anybody());
    });
}

#[test]
fn nothing_is_left_over_when_a_worker_withdraws() {
    explore(|| {
        let house = House::new(1);
        let worker = {
            let house = house.clone();
            thread::spawn(move || house.work())
        };
        house.submit();
        assert_eq!(worker.join().unwrap(), 1);
        House::assert_left_tidy(&house);
    });
}

#[test]
fn everybody_ends_at_a_shutdown() {
    explore(|| {
        let house = House::new(u32::MAX);
        let workers = [0, 1].map(|_| {
            let house = house.clone();
            thread::spawn(move || house.work())
        });
        house.close();
        for worker in workers {
            assert_eq!(worker.join().unwrap(), 0);
        }
        assert!(!house.crew.anybody());
    });
}

#[test]
fn a_wake_and_a_shutdown_at_once_leave_as_many_tokens_as_sleepers() {
    explore(|| {
        let house = House::new(u32::MAX);
        house.crew.enrol();
        house.crew.enrol();
        let waker = {
            let house = house.clone();
            thread::spawn(move || house.crew.wake_one())
        };
        house.crew.wake_all();
        waker.join().unwrap();
        assert!(!house.crew.anybody());
        // Both tokens are there, and no third: each of the enrolled leaves by one of the two doors.
        house.crew.sleep();
        house.crew.withdraw();
        House::assert_left_tidy(&house);
    });
}

#[test]
fn one_withdraws_while_another_sleeps_and_one_is_meant() {
    explore(|| {
        let house = House::new(u32::MAX);
        house.crew.enrol();
        house.crew.enrol();
        let sleeper = {
            let house = house.clone();
            thread::spawn(move || house.crew.sleep())
        };
        let waker = {
            let house = house.clone();
            thread::spawn(move || house.crew.wake_one())
        };
        house.crew.withdraw();
        waker.join().unwrap();
        // The token went to the one who withdrew, or it ends the sleep. Then the first is still to be woken.
        house.crew.wake_one();
        sleeper.join().unwrap();
        House::assert_left_tidy(&house);
    });
}
