//! The segments of a queue: a circle through which producers and consumers go, and those that are in it no more.
//!
//! The circle leads from the consumers' segment through what waits to the producers' segment, and from there through free ones back.
//! Only who holds the producers' lock changes it, each time by one store to one word, so it is a circle whoever was killed when:
//!
//! - a segment comes in behind the producers' one when the next there is the consumers': `next[new] = following`, then
//!   `next[here] = new`;
//! - a surplus one leaves: `next[here] = next[surplus]`.
//!
//! What a kill between two stores does leave behind is a segment that is neither in the circle nor in the stack of the others, and
//! a wrong count. The lock's next holder hears of the death and goes round once ([`Chain::rebuild`]).
//!
//! Consumers read the links of segments in which something waits; nobody changes those but the last one's, before what lies behind
//! it is committed.

use super::place::{Place, SEGMENT};
use super::{Damaged, QueueError};
use crate::prim::{AtomicU32, AtomicU64, Ordering};
use crate::shm::{Piece, Windows};
use crate::sys::crash_point;

/// Free segments that stay in the circle, pages and all: a queue in steady use goes through the same ones again and again.
pub const KEPT: u32 = 64;

// Where the words lie in the first window; all of them change under the producers' lock.
/// Segments that were ever in use.
pub const MADE: usize = super::words::PRODUCERS + 16;
/// Those that are in the circle.
pub const CIRCLE: usize = super::words::PRODUCERS + 20;
/// The uppermost of the others, plus one.
pub const SPARE: usize = super::words::PRODUCERS + 24;
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
        let spare = self.word(SPARE).load(Ordering::Relaxed);
        let made = self.word(MADE).load(Ordering::Relaxed);
        let new = if spare == 0 { made } else { spare - 1 };
        if new >= self.segments {
            return Err(std::io::Error::from(std::io::ErrorKind::StorageFull).into());
        }
        // Before anything has changed.
        self.piece(Place::new(0, new, 0), SEGMENT)?.populate()?;
        if spare == 0 {
            self.word(MADE).store(made + 1, Ordering::Relaxed);
        } else {
            let under = self.link(new).load(Ordering::Relaxed);
            self.word(SPARE).store(under, Ordering::Relaxed);
        }
        crash_point("queue.taken");
        self.link(new).store(following, Ordering::Relaxed);
        crash_point("queue.before_link");
        // Consumers see it with the commit.
        self.link(here).store(new, Ordering::Release);
        crash_point("queue.linked");
        self.count(1);
        Ok(at.enter(new))
    }

    /// Whether more segments of the circle are free than may stay: a few, or as many as are in use.
    pub fn has_surplus(&self, head: Place, tail: Place) -> bool {
        let circle = self.word(CIRCLE).load(Ordering::Relaxed);
        let used = head.since(tail).saturating_add(1);
        circle.saturating_sub(used) > KEPT.max(used)
    }

    /// Takes a surplus segment out of the circle and gives its memory back, for who holds the producers' lock. `false` if there is
    /// none.
    pub fn shed(&self, head: Place, tail: Place) -> Result<bool, QueueError> {
        let (here, first) = (head.segment(), self.next(head.segment())?);
        if !self.has_surplus(head, tail) || first == tail.segment() || first == here {
            return Ok(false);
        }
        let after = self.next(first)?;
        self.link(here).store(after, Ordering::Release);
        crash_point("queue.unlinked");
        self.count(u32::MAX);
        self.put_away(first)?;
        Ok(true)
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
        self.word(SPARE).store(0, Ordering::Relaxed);
        for (at, inside) in inside.iter().enumerate() {
            if !inside {
                self.put_away(at as u32)?;
            }
        }
        Ok(())
    }

    fn put_away(&self, segment: u32) -> Result<(), QueueError> {
        self.piece(Place::new(0, segment, 0), SEGMENT)?.discard();
        let under = self.word(SPARE).load(Ordering::Relaxed);
        self.link(segment).store(under, Ordering::Relaxed);
        self.word(SPARE).store(segment + 1, Ordering::Relaxed);
        Ok(())
    }

    fn count(&self, change: u32) {
        let circle = self.word(CIRCLE);
        let changed = circle.load(Ordering::Relaxed).wrapping_add(change);
        circle.store(changed, Ordering::Relaxed);
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
