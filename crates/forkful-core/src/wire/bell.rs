//! The bell of a parent process, for all of its pools: by it workers reach the thread that serves what has no waiter.

use crate::deadline::Deadline;
use crate::prim::Ordering;
use crate::shm::{BellWords, Region};
use crate::sys::Slept;
use std::io;
use std::os::fd::BorrowedFd;

const PAGE: u64 = 4096;

/// One page with a number that rises.
#[derive(Debug)]
pub struct Bell {
    region: Region,
}

impl Bell {
    /// Makes one, in the parent.
    pub fn create() -> io::Result<Bell> {
        let mut region = Region::create("forkful-bell", PAGE)?;
        region.place::<BellWords>(0, 1);
        Ok(Bell { region })
    }

    /// Maps one that another process made. The descriptor may be closed then.
    pub fn open(fd: BorrowedFd<'_>) -> io::Result<Bell> {
        let region = Region::open(fd)?;
        if region.len() as u64 != PAGE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Bell { region })
    }

    /// The descriptor, in the process that made the bell.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.region.fd()
    }

    /// Rings. Whoever has read [`Bell::now`] before does not fall asleep, and whoever sleeps wakes; one ring of many pays for it.
    #[inline]
    pub fn ring(&self) {
        let words = self.words();
        // SYNC(bell.sequence): release
        words.sequence.fetch_add(1, Ordering::SeqCst);
        // SYNC(bell.armed): acquire
        if words.armed.load(Ordering::SeqCst) != 0 && words.armed.swap(0, Ordering::SeqCst) != 0 {
            // Once more: the flag may have been that of a later sleep, whose sleeper knows of this ring already, is not asleep
            // yet, and would now sleep without a flag, so that the next ring would pass him by.
            words.sequence.fetch_add(1, Ordering::SeqCst);
            words.sequence.wake(u32::MAX);
        }
    }

    /// Rings and wakes, whatever the words say: a worker may have died half way through a ring.
    pub fn kick(&self) {
        let words = self.words();
        words.sequence.fetch_add(1, Ordering::SeqCst);
        words.sequence.wake(u32::MAX);
    }

    /// A number that has changed if it has rung. Read it, look at what it is rung for, then sleep with it.
    pub fn now(&self) -> u32 {
        // SYNC(bell.sequence): acquire
        self.words().sequence.load(Ordering::SeqCst)
    }

    /// Sleeps until it has rung since it was `seen`, a signal arrives or the deadline passes.
    pub fn sleep(&self, seen: u32, deadline: Deadline) -> Slept {
        let words = self.words();
        // Never cleared by a sleeper, who might not be the only one.
        // SYNC(bell.armed): release
        words.armed.store(1, Ordering::SeqCst);
        words.sequence.sleep(seen, deadline)
    }

    #[inline]
    fn words(&self) -> &BellWords {
        self.region.at(0)
    }
}
