//! The slots for tasks: a ring that one parent fills and every idle worker claims from.
//!
//! ```text
//! position 0, 1, 2, ... lies in slot position % N; lap = position / N + 1; state = lap << 20 | worker << 4 | phase
//!
//!         publish             claim (CAS)            free
//! FREE ------------> READY ---------------> TAKEN ---------> FREE of the same lap
//!                      |     cancel (CAS)            free      ^
//!                      +-----------------> CANCELLED ----------+
//! ```
//!
//! A claim is one exchange that names the claimer, so a death between any two instructions leaves no hole. The hint says where
//! to begin to look: below it nothing is READY, or its writer died before it moved it, which costs a longer look. Positions
//! below the tail never become READY again, and the parent never laps a READY slot, so `max(hint, tail - N)` is always right.
//! There is no phase for done: the outcome says so, and the parent frees the slot.

use super::Link;
use super::shape::SLOT;
use crate::prim::Ordering;
use crate::shm::{Control, Header, SlotHead};
use crate::sys::crash_point;
use thiserror::Error;

/// Bytes of payload that lie in the slot itself.
pub const INLINE: usize = SLOT - 56;

/// A task's loan when its cargo lies behind its payload: there was no segment.
pub const CARGO_INSIDE: u64 = u64::MAX;

/// The function's number when the payload holds the function.
pub const NO_FUNCTION: u32 = u32::MAX;

const FREE: u64 = 0;
const READY: u64 = 1;
const TAKEN: u64 = 2;
const CANCELLED: u64 = 3;

const PHASE: u64 = 0xf;
const WORKER_SHIFT: u32 = 4;
const WORKER: u64 = 0xffff;
const LAP_SHIFT: u32 = 20;

/// Shared memory holds what no well-behaved peer has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("shared memory holds garbage")]
pub struct Garbage;

/// All of a task but its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TaskHead {
    /// Where it stands in the order of all tasks.
    pub position: u64,
    /// The function's entry in the library, or [`NO_FUNCTION`].
    pub function: u32,
    /// Library entries that the worker must know before.
    pub definitions: u32,
    /// The sender's, for the reader of the payload.
    pub flags: u32,
    /// Bytes of payload.
    pub len: u32,
    /// Where in the area the payload lies, if it is longer than [`INLINE`].
    pub place: u64,
    /// When it was submitted, in nanoseconds.
    pub submitted: u64,
    /// Where in the arena the segment begins that is lent with it, plus one; 0 for none, or [`CARGO_INSIDE`].
    pub loan: u64,
}

/// What became of a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nobody has claimed it.
    Ready,
    /// This worker has.
    Taken(u32),
    /// It was withdrawn.
    Cancelled,
    /// It was freed, or not published yet.
    Free,
    /// Nothing that could have come of it.
    Garbage,
}

/// The slots of a link.
#[derive(Clone, Copy, Debug)]
pub struct Tasks<'a> {
    link: &'a Link,
    header: &'a Header,
    control: &'a Control,
    slots: u32,
}

impl<'a> Tasks<'a> {
    #[inline]
    pub(super) fn new(link: &'a Link) -> Tasks<'a> {
        Tasks {
            link,
            header: link.header(),
            control: link.control(),
            slots: link.shape().slots,
        }
    }

    /// Parent: writes a task into the slot of its position, which must be free. Nobody sees it yet. `inline` counts only for
    /// payloads of at most [`INLINE`] bytes; longer ones were written to the area.
    pub fn write(&self, head: &TaskHead, inline: &[u8]) {
        let (offset, words) = self.slot(head.position);
        words.position.store(head.position, Ordering::Relaxed);
        let function = pair(head.function, head.definitions);
        words.function.store(function, Ordering::Relaxed);
        words
            .size
            .store(pair(head.flags, head.len), Ordering::Relaxed);
        words.place.store(head.place, Ordering::Relaxed);
        words.submitted.store(head.submitted, Ordering::Relaxed);
        words.loan.store(head.loan, Ordering::Relaxed);
        if head.len as usize <= INLINE {
            let inline = &inline[..inline.len().min(INLINE)];
            self.link.region().write(offset + SLOT - INLINE, inline);
        }
    }

    /// Parent: lets workers claim a written position. Positions are published in rising order; those left out are passed over.
    #[inline]
    pub fn publish(&self, position: u64) {
        let state = self.state(position, 0, READY);
        // Relaxed: whoever looks at this slot has read a tail behind it.
        self.slot(position).1.state.store(state, Ordering::Relaxed);
        // Sequentially consistent, as the publisher looks for sleepers next, and a sleeper for the tail.
        // SYNC(slots.tail): release
        self.header
            .tail
            .store(position.wrapping_add(1), Ordering::SeqCst);
    }

    /// Parent: withdraws a published position unless a worker has it. Exact: after yes, no worker ever runs it.
    pub fn cancel(&self, position: u64) -> bool {
        let ready = self.state(position, 0, READY);
        let cancelled = self.state(position, 0, CANCELLED);
        let state = &self.slot(position).1.state;
        state
            .compare_exchange(ready, cancelled, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// Parent: what became of a position that it has published and not freed.
    pub fn look(&self, position: u64) -> Look {
        // Sequentially consistent: after `Link::set_refill` it must see every claim that saw the old value.
        let state = self.slot(position).1.state.load(Ordering::SeqCst);
        let worker = ((state >> WORKER_SHIFT) & WORKER) as u32;
        let same_lap = state >> LAP_SHIFT == self.state(position, 0, FREE) >> LAP_SHIFT;
        match state & PHASE {
            TAKEN if same_lap && worker < self.link.shape().workers => Look::Taken(worker),
            READY if same_lap && worker == 0 => Look::Ready,
            CANCELLED if same_lap && worker == 0 => Look::Cancelled,
            FREE if worker == 0 => Look::Free,
            _ => Look::Garbage,
        }
    }

    /// Parent: the slot may be written again, as its outcome was read, or its task was cancelled or lost.
    pub fn free(&self, position: u64) {
        let state = self.state(position, 0, FREE);
        self.slot(position).1.state.store(state, Ordering::Relaxed);
    }

    /// Parent, after garbage was found: this worker has this position, as its page says.
    pub fn give(&self, position: u64, worker: u32) {
        let state = self.state(position, worker, TAKEN);
        self.slot(position).1.state.store(state, Ordering::SeqCst);
    }

    /// Parent, after garbage was found: nothing lies in this slot. `position` is any that it can have.
    pub fn wipe(&self, position: u64) {
        self.slot(position).1.state.store(FREE, Ordering::Relaxed);
    }

    /// Parent: where consumers begin to look, as near to the truth as a private `tail` allows: how many wait is a guess.
    pub fn hint(&self, tail: u64) -> u64 {
        let hint = self.control.hint.load(Ordering::Relaxed);
        hint.clamp(tail.saturating_sub(self.slots.into()), tail)
    }

    /// Parent, after a worker died or wrote garbage: publishes the private `tail` again and lets consumers look at every slot.
    pub fn rewind(&self, tail: u64) {
        let start = tail.saturating_sub(self.slots.into());
        self.control.hint.store(start, Ordering::SeqCst);
        self.header.tail.store(tail, Ordering::SeqCst);
    }

    /// Worker: takes the first task that nobody has.
    #[inline]
    pub fn claim(&self, worker: u32) -> Option<u64> {
        let control = self.control;
        // Before the tail, which is then at least as new: only garbage is past it.
        // SYNC(slots.hint): acquire
        let start = control.hint.load(Ordering::Acquire);
        // SYNC(slots.tail): acquire
        let tail = self.header.tail.load(Ordering::SeqCst);
        let lowest = tail.saturating_sub(self.slots.into());
        let from = if start > tail {
            lowest
        } else {
            start.max(lowest)
        };
        for position in from..tail {
            let ready = self.state(position, 0, READY);
            let state = &self.slot(position).1.state;
            // Sequentially consistent, as the claimer looks at the refill mark next.
            if state.load(Ordering::Relaxed) == ready
                && state
                    .compare_exchange(
                        ready,
                        self.state(position, worker, TAKEN),
                        Ordering::SeqCst,
                        Ordering::Relaxed,
                    )
                    .is_ok()
            {
                crash_point("claim.before_hint");
                self.move_hint(start, position + 1);
                crash_point("claim.done");
                return Some(position);
            }
        }
        if start != tail {
            // Else `is_ready` would go on saying yes for what others have taken, and nobody could sleep.
            self.move_hint(start, tail);
        }
        None
    }

    /// Worker: whether there seems to be something to claim. No is certain, and after a yes a claim finds out.
    #[inline]
    pub fn is_ready(&self) -> bool {
        let start = self.control.hint.load(Ordering::Acquire);
        start != self.header.tail.load(Ordering::SeqCst)
    }

    /// Copies a task out, after its claim, and its payload over what `payload` held.
    pub fn read(&self, position: u64, payload: &mut Vec<u8>) -> Result<TaskHead, Garbage> {
        payload.clear();
        let (offset, words) = self.slot(position);
        let (function, definitions) = halves(words.function.load(Ordering::Relaxed));
        let (flags, len) = halves(words.size.load(Ordering::Relaxed));
        let head = TaskHead {
            position: words.position.load(Ordering::Relaxed),
            function,
            definitions,
            flags,
            len,
            place: words.place.load(Ordering::Relaxed),
            submitted: words.submitted.load(Ordering::Relaxed),
            loan: words.loan.load(Ordering::Relaxed),
        };
        if head.position != position {
            return Err(Garbage);
        }
        if len as usize <= INLINE {
            let start = offset + SLOT - INLINE;
            self.link.region().read(start, len as usize, payload);
        } else {
            self.link.read_area(head.place, len.into(), payload)?;
        }
        Ok(head)
    }

    /// One exchange, from the value that the look began with: if somebody else has moved it, his look is as good.
    #[inline]
    fn move_hint(&self, from: u64, to: u64) {
        // SYNC(slots.hint): release
        let _ = self
            .control
            .hint
            .compare_exchange(from, to, Ordering::Release, Ordering::Relaxed);
    }

    #[inline]
    fn slot(&self, position: u64) -> (usize, &'a SlotHead) {
        self.link.slot(position as u32 & (self.slots - 1))
    }

    #[inline]
    fn state(&self, position: u64, worker: u32, phase: u64) -> u64 {
        let lap = (position >> self.slots.trailing_zeros()) + 1;
        lap << LAP_SHIFT | u64::from(worker) << WORKER_SHIFT | phase
    }
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(high) << 32 | u64::from(low)
}

fn halves(pair: u64) -> (u32, u32) {
    (pair as u32, (pair >> 32) as u32)
}

#[cfg(test)]
mod tests;
