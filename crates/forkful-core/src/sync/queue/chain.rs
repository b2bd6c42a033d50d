//! The segments of a queue: a circle through which producers and consumers go, and those that are in it no more.
//!
//! The circle leads from the consumers' segment through what waits to the producers' segment, and from there through free ones back.
//! Only who holds the producers' lock changes it, each time by one store to one word, so it is a circle whoever was killed when:
//!
//! - a segment comes in behind the producers' one when the next there is the consumers': `next[new] = following`, then
//!   `next[here] = new`;
//! - a surplus one leaves: `next[here] = next[surplus]`.
//!
//! What a kill between two stores does leave behind is a segment that is neither in the circle nor in a stack of the others, and a
//! wrong count. The lock's next holder hears of the death and goes round once ([`Chain::rebuild`]).
//!
//! Outside of the circle are two stacks, of segments that keep their pages and of those that have given them back. A queue whose length
//! goes up and down takes segments from the first one, the last used first.
//!
//! Consumers read the links of segments in which something waits; nobody changes those but the last one's, before what lies behind
//! it is committed.

use super::place::{Place, SEGMENT};
use super::{Damaged, QueueError};
use crate::prim::{AtomicU32, AtomicU64, Ordering};
use crate::shm::{Piece, Windows};
use crate::sys::crash_point;

/// Free segments that stay in the circle. Few: a queue that mostly is nearly empty goes through the same ones again and again, which
/// the processors still have in their caches.
const AHEAD: u32 = 2;

/// Others that keep their pages, for the next time that more has to wait.
pub const KEPT: u32 = 64;

// Where the words lie in the first window; all of them change under the producers' lock.
/// Segments that were ever in use.
pub const MADE: usize = super::words::PRODUCERS + 16;
/// Those that are in the circle.
pub const CIRCLE: usize = super::words::PRODUCERS + 20;
/// The uppermost of the others that have no pages, plus one.
pub const SPARE: usize = super::words::PRODUCERS + 24;
/// The uppermost of those that have, plus one; and how many these are.
pub const WARM: usize = super::words::PRODUCERS + 28;
pub const WARM_COUNT: usize = super::words::PRODUCERS + 32;
/// The word of the first segment.
pub const LINKS: usize = 4096;

/// The memory of a queue, as segments.
#[derive(Debug)]
pub struct Chain {
    pub memory: Windows,
    /// How many the file has room for.
    segments: u32,
}

impl Chain {
    pub fn new(memory: Windows) -> Chain {
        let segments = (memory.len() / SEGMENT) as u32;
        Chain { memory, segments }
    }

    /// Makes the circle of a new queue: one segment, which follows itself, as all words are zero.
    pub fn begin(&self) {
        self.word(MADE).store(1, Ordering::Relaxed);
        self.word(CIRCLE).store(1, Ordering::Relaxed);
    }

    /// A position that was read from shared memory.
    #[inline]
    pub fn place(&self, word: &AtomicU64) -> Result<Place, Damaged> {
        Place::read(word.load(Ordering::Acquire), self.segments).ok_or(Damaged)
    }

    /// A range within a segment.
    #[inline]
    pub fn piece(&self, at: Place, len: usize) -> Result<Piece<'_>, QueueError> {
        Ok(self.memory.piece(at.address(), len)?)
    }

    /// The start of the segment that follows, for consumers.
    pub fn follow(&self, at: Place) -> Result<Place, Damaged> {
        // Whoever has committed what lies there has stored the link before.
        Ok(at.enter(self.next(at.segment())?))
    }

    /// The start of a free segment that follows, for who holds the producers' lock; `tail` is where consumers are, or were since it
    /// was taken.
    pub fn advance(&self, at: Place, tail: Place) -> Result<Place, QueueError> {
        let here = at.segment();
        let following = self.next(here)?;
        if following != tail.segment() {
            return Ok(at.enter(following));
        }
        let new = match self.take_warm()? {
            Some(warm) => warm,
            None => self.take_cold()?,
        };
        crash_point("queue.taken");
        self.link(new).store(following, Ordering::Relaxed);
        crash_point("queue.before_link");
        // Consumers see it with the commit.
        self.link(here).store(new, Ordering::Release);
        crash_point("queue.linked");
        self.change(CIRCLE, 1);
        Ok(at.enter(new))
    }

    /// Whether what follows is free, so that nothing has to be found for [`Chain::advance`].
    pub fn has_room_ahead(&self, at: Place, tail: Place) -> bool {
        self.next(at.segment())
            .is_ok_and(|next| next != tail.segment())
    }

    /// One that has its pages, if there is any.
    fn take_warm(&self) -> Result<Option<u32>, Damaged> {
        let top = self.word(WARM);
        let Some(warm) = top.load(Ordering::Relaxed).checked_sub(1) else {
            return Ok(None);
        };
        if warm >= self.segments {
            return Err(Damaged);
        }
        top.store(self.link(warm).load(Ordering::Relaxed), Ordering::Relaxed);
        self.change(WARM_COUNT, u32::MAX);
        Ok(Some(warm))
    }

    /// One that gets its pages now: a lack of memory is an error before anything has changed.
    fn take_cold(&self) -> Result<u32, QueueError> {
        let spare = self.word(SPARE).load(Ordering::Relaxed);
        let made = self.word(MADE).load(Ordering::Relaxed);
        let new = if spare == 0 { made } else { spare - 1 };
        if new >= self.segments {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into());
        }
        self.piece(Place::new(0, new, 0), SEGMENT)?.populate()?;
        if spare == 0 {
            self.word(MADE).store(made + 1, Ordering::Relaxed);
        } else {
            let under = self.link(new).load(Ordering::Relaxed);
            self.word(SPARE).store(under, Ordering::Relaxed);
        }
        Ok(new)
    }

    /// Whether more segments are free than may stay in the circle, or keep their pages: as many as are in use, or a few.
    pub fn has_surplus(&self, head: Place, tail: Place) -> bool {
        let used = head.since(tail).saturating_add(1);
        self.has_more_than(AHEAD, used) || self.is_too_warm(used)
    }

    fn has_more_than(&self, free: u32, used: u32) -> bool {
        let circle = self.word(CIRCLE).load(Ordering::Relaxed);
        circle.saturating_sub(used) > free
    }

    fn is_too_warm(&self, used: u32) -> bool {
        self.word(WARM_COUNT).load(Ordering::Relaxed) > KEPT.max(used)
    }

    /// Takes a surplus segment out of the circle, or gives the pages of one back that is out of it, for who holds the producers' lock.
    /// `false` if there is none.
    pub fn shed(&self, head: Place, tail: Place) -> Result<bool, QueueError> {
        let used = head.since(tail).saturating_add(1);
        let (here, first) = (head.segment(), self.next(head.segment())?);
        if self.has_more_than(AHEAD, used) && first != tail.segment() && first != here {
            let after = self.next(first)?;
            self.link(here).store(after, Ordering::Release);
            crash_point("queue.unlinked");
            self.change(CIRCLE, u32::MAX);
            self.push(WARM, first);
            self.change(WARM_COUNT, 1);
            return Ok(true);
        }
        if self.is_too_warm(used)
            && let Some(warm) = self.take_warm()?
        {
            crash_point("queue.cooling");
            self.put_away(warm)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Puts right what a holder of the producers' lock has left behind who died.
    pub fn rebuild(&self, head: Place) -> Result<(), QueueError> {
        let made = self.word(MADE).load(Ordering::Relaxed).min(self.segments) as usize;
        let mut inside = Vec::new();
        let lack = |_| std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        inside.try_reserve_exact(made).map_err(lack)?;
        inside.resize(made, false);
        let (mut at, mut circle) = (head.segment(), 0);
        loop {
            match inside.get_mut(at as usize) {
                // Not the circle's beginning: somebody has written over it.
                Some(seen) if *seen => return Err(Damaged.into()),
                Some(seen) => *seen = true,
                None => return Err(Damaged.into()),
            }
            circle += 1;
            at = self.next(at)?;
            if at == head.segment() {
                break;
            }
        }
        self.word(CIRCLE).store(circle, Ordering::Relaxed);
        for word in [SPARE, WARM, WARM_COUNT] {
            self.word(word).store(0, Ordering::Relaxed);
        }
        for (at, inside) in inside.iter().enumerate() {
            if !inside {
                self.put_away(at as u32)?;
            }
        }
        Ok(())
    }

    fn put_away(&self, segment: u32) -> Result<(), QueueError> {
        self.piece(Place::new(0, segment, 0), SEGMENT)?.discard();
        self.push(SPARE, segment);
        Ok(())
    }

    fn push(&self, stack: usize, segment: u32) {
        let under = self.word(stack).load(Ordering::Relaxed);
        self.link(segment).store(under, Ordering::Relaxed);
        self.word(stack).store(segment + 1, Ordering::Relaxed);
    }

    fn change(&self, count: usize, by: u32) {
        let count = self.word(count);
        let changed = count.load(Ordering::Relaxed).wrapping_add(by);
        count.store(changed, Ordering::Relaxed);
    }

    fn next(&self, segment: u32) -> Result<u32, Damaged> {
        let next = self.link(segment).load(Ordering::Acquire);
        if next < self.segments {
            Ok(next)
        } else {
            Err(Damaged)
        }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        self.memory.at(offset)
    }

    /// Of a segment that there is: what follows it.
    fn link(&self, segment: u32) -> &AtomicU32 {
        self.memory.at(LINKS + 4 * segment as usize)
    }
}
