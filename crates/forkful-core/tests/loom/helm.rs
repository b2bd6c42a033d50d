//! The leader, when his word in shared memory is lost: whoever finds his outcome wakes him.

use super::explore_deeper;
use forkful_core::deadline::Deadline;
use forkful_core::prim::{AtomicBool, AtomicU32, Ordering::SeqCst, fence};
use forkful_core::procs::helm::Helm;
use forkful_core::sys::Lock;
use forkful_core::wire::{Bell, Link, OutcomeHead, OutcomeReader, Shape};
use loom::thread;
use std::sync::Arc;

/// A pool of one worker, as far as outcomes go.
struct House {
    link: Arc<Link>,
    bell: Bell,
    helm: Helm,
    readers: Lock<OutcomeReader>,
    again: AtomicBool,
    done: AtomicU32,
}

impl House {
    fn new() -> Arc<House> {
        let shape = Shape {
            workers: 1,
            slots: 2,
            ring: 128,
            library: 0,
            area: 0,
            arena: 0,
        };
        let link = Arc::new(Link::create(shape).unwrap());
        link.bells().arm_background(true);
        Arc::new(House {
            bell: Bell::create().unwrap(),
            helm: Helm::default(),
            readers: Lock::new(link.reader(0)),
            again: AtomicBool::new(false),
            done: AtomicU32::new(0),
            link,
        })
    }

    /// As a worker sends, whose task has written over the leader's word.
    fn send(&self, scribbles: bool) {
        let mut writer = self.link.writer(0);
        if scribbles {
            self.link.bells().unlisten();
        }
        assert!(writer.try_push(&OutcomeHead::default(), b""));
        self.link.bells().ring(&self.bell);
    }

    /// As whoever drains, the leader or not.
    fn drain(&self) {
        let mut found = false;
        loop {
            self.again.store(true, SeqCst);
            let Some(mut reader) = self.readers.try_lock().or_else(|| {
                fence(SeqCst);
                self.readers.try_lock()
            }) else {
                break;
            };
            while self.again.swap(false, SeqCst) {
                while reader.next(&mut Vec::new()).unwrap().is_some() {
                    self.done.fetch_add(1, SeqCst);
                    found = true;
                }
            }
            drop(reader);
            if !self.is_wanted_again() {
                break;
            }
        }
        if found {
            self.helm.rouse(self.link.bells());
        }
    }

    fn is_wanted_again(&self) -> bool {
        fence(SeqCst);
        self.again.load(SeqCst)
    }

    /// Leads until so many are done.
    fn lead(&self, count: u32) {
        let bells = self.link.bells();
        let ready = || self.done.load(SeqCst) >= count;
        assert!(self.helm.take());
        loop {
            self.drain();
            if ready() {
                break;
            }
            let seen = self.helm.listen(bells);
            let quiet = self
                .readers
                .try_lock()
                .is_some_and(|reader| reader.is_empty());
            if !quiet || self.is_wanted_again() || ready() {
                self.helm.rise(bells);
                thread::yield_now();
                continue;
            }
            self.helm.sleep(bells, seen, Deadline::NEVER);
        }
        self.helm.leave();
    }

    /// As the completer serves, until so many are done.
    fn serve(&self, count: u32) {
        loop {
            let seen = self.bell.now();
            self.drain();
            if self.done.load(SeqCst) >= count {
                return;
            }
            self.bell.sleep(seen, Deadline::NEVER);
        }
    }
}

#[test]
fn a_leader_whose_word_was_written_over_is_woken_by_whoever_drains() {
    explore_deeper(|| {
        let house = House::new();
        let other = house.clone();
        // One thread for both: the stray write comes before the outcome, and the completer after it, as the bell has rung.
        let worker = thread::spawn(move || {
            other.send(true);
            other.drain();
        });
        house.lead(1);
        worker.join().unwrap();
        assert!(!house.helm.is_held());
    });
}

#[test]
fn a_follower_s_drain_and_the_completer_s_leave_no_leader_asleep() {
    explore_deeper(|| {
        let house = House::new();
        let (other, background) = (house.clone(), house.clone());
        let worker = thread::spawn(move || other.send(true));
        let completer = thread::spawn(move || background.serve(1));
        house.lead(1);
        // He leaves, and the background goes on.
        house.bell.kick();
        worker.join().unwrap();
        completer.join().unwrap();
    });
}

#[test]
fn the_flag_of_a_later_sleep_is_not_taken_for_nothing() {
    explore_deeper(|| {
        let house = House::new();
        let other = house.clone();
        let worker = thread::spawn(move || {
            // Two outcomes, each found by this drain or by the leader, and no ring that he can hear.
            let mut writer = other.link.writer(0);
            for _ in 0..2 {
                assert!(writer.try_push(&OutcomeHead::default(), b""));
                other.drain();
            }
        });
        house.lead(2);
        worker.join().unwrap();
    });
}
