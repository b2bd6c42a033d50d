//! Memory that a queue needs no more is given back: by producers as they advance, and by consumers, so that an empty queue is a small one.

use super::place::Place;
use super::words::PRODUCER_LOCK;
use super::{Queue, QueueError};

/// Surplus segments that are given back under one taking of the lock, as it is others' too.
const PORTION: u32 = 16;

impl Queue {
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
