//! The lock between processes: one holder at a time, who sees what the last one did, and no sleeper that nobody wakes.

use super::explore;
use forkful_core::deadline::Deadline;
use forkful_core::sync::{LockCell, Owner, Taken};
use loom::sync::atomic::{AtomicU32, Ordering::Relaxed};
use loom::thread;
use std::sync::Arc;

#[derive(Default)]
struct Guarded {
    lock: LockCell,
    count: CountCell,
}

struct CountCell(AtomicU32);

impl Default for CountCell {
    fn default() -> Self {
        CountCell(AtomicU32::new(0))
    }
}

impl Guarded {
    /// Counts in two relaxed steps, which only the lock makes one.
    fn count(&self, me: Owner) {
        let taken = self.lock.acquire::<()>(me, Deadline::NEVER, || Ok(()));
        assert_eq!(taken, Ok(Taken::Clean));
        let now = self.count.0.load(Relaxed);
        self.count.0.store(now + 1, Relaxed);
        assert_eq!(self.lock.owner(), Some(me));
        self.lock.release().unwrap();
    }
}

fn somebody(number: u64) -> Owner {
    Owner::from_word(number).unwrap()
}

#[test]
fn two_holders_exclude_each_other_and_both_are_woken() {
    explore(|| {
        let guarded = Arc::new(Guarded::default());
        let other = guarded.clone();
        let thread = thread::spawn(move || (0..2).for_each(|_| other.count(somebody(1))));
        (0..2).for_each(|_| guarded.count(somebody(2)));
        thread.join().unwrap();
        assert_eq!(guarded.count.0.load(Relaxed), 4);
    });
}

#[test]
fn three_holders_leave_no_sleeper_behind() {
    explore(|| {
        let guarded = Arc::new(Guarded::default());
        let threads = [1, 2].map(|number| {
            let other = guarded.clone();
            thread::spawn(move || other.count(somebody(number)))
        });
        guarded.count(somebody(3));
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(guarded.count.0.load(Relaxed), 3);
        assert_eq!(guarded.lock.owner(), None);
    });
}
