//! Memory that a queue needs no more is given back: by producers as they advance, and by consumers, so that an empty queue is a small one.

use super::place::Place;
use super::words::{LAST_GETS, PRODUCER_LOCK};
use super::{Message, Queue, QueueError};
use crate::prim::{AtomicU32, Ordering, yield_now};
use crate::sys::spin_for;

/// Surplus segments that are given back under one taking of the lock, as it is others' too.
const PORTION: u32 = 16;

/// How long a producer that is about to take more memory lets consumers go first, who are at work.
const COURTESY_NANOS: u64 = 100_000;

impl Queue {
    /// Whether a message does not fit into the segment that is being written, nor is there a free one behind it; for who holds the
    /// producers' lock.
    #[inline]
    pub(super) fn outgrows(&self, message: &Message<'_>) -> bool {
        // Where there is garbage, the writing will say so.
        self.head()
            .is_ok_and(|head| head.room() < message.len() + 8 && !self.has_room_ahead(head))
    }

    fn has_room_ahead(&self, head: Place) -> bool {
        self.tail()
            .is_ok_and(|tail| self.chain.has_room_ahead(head, tail))
    }

    /// Waits a moment for a segment to become free. A producer that is a little faster than its consumers would get further and further
    /// ahead of them, into memory that has to be found first and is in nobody's cache: with messages of 4 KiB all went on at less than
    /// half the speed. Not where nobody has taken anything since the last time: then this would only cost time.
    #[cold]
    pub(super) fn let_others_take(&self) {
        let last = self.chain.memory.at::<AtomicU32>(LAST_GETS);
        let gets = self.gets().number();
        if last.swap(gets, Ordering::Relaxed) != gets {
            let free = || self.head().is_ok_and(|head| self.has_room_ahead(head));
            if !spin_for(COURTESY_NANOS, free) {
                yield_now();
            }
        }
    }

    /// Gives surplus segments back after consumers have left some, if no producer is at work, who would do it. Memory that can't be
    /// given back is no error of the message that was taken.
    #[cold]
    pub(super) fn tidy(&self) {
        while let (Ok(head), Ok(tail)) = (self.head(), self.tail())
            && self.chain.has_surplus(head, tail)
            && let Some(_held) = self.try_hold(PRODUCER_LOCK)
            // Now nobody moves it.
            && let Ok(head) = self.head()
            && let Ok(true) = self.shed_some(head)
        {}
    }

    /// Gives back what is left of a message that came to nothing.
    #[cold]
    pub(super) fn shed_all(&self, head: Place) {
        while let Ok(true) = self.shed_some(head) {}
    }

    /// Whether a portion of surplus segments was given back, and there may be more.
    pub(super) fn shed_some(&self, head: Place) -> Result<bool, QueueError> {
        let tail = self.tail()?;
        for _ in 0..PORTION {
            if !self.chain.shed(head, tail)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
