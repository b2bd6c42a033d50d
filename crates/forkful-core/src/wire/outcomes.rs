//! What workers send back: a ring of bytes per worker, one writer, one reader.
//!
//! A frame is a head of five words and a payload, rounded up to whole words; it may run over the ring's end. The first word
//! is not 0 and is stored last, over a 0 that the frame before left there: a frame is there as a whole or not at all, wherever
//! its writer died. The reader tells how far it is; the writer needs no word for that.

use super::{Bell, Garbage, Link};
use crate::deadline::Deadline;
use crate::prim::{AtomicU64, Ordering, fence};
use crate::sys::{Slept, crash_point};
use std::sync::Arc;

/// A flag: the outcome goes on in the next frame.
pub const MORE: u16 = 1;
/// A flag: the payload begins with a word, how many segments are handed over with it and in the high half how many of them were
/// copied into, and so many words, where each begins.
pub const LENT: u16 = 2;

const WORD: u64 = 8;
const HEAD: u64 = 5 * WORD;

/// All of an outcome but its payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutcomeHead {
    /// The task's.
    pub position: u64,
    /// What came of it, in words of those who write and read it.
    pub kind: u16,
    /// [`MORE`], and what else the two agree on.
    pub flags: u16,
    /// Bytes of this frame's payload. The writer sets it.
    pub len: u32,
    /// How long it ran, in nanoseconds.
    pub wall: u64,
    /// CPU time of that.
    pub cpu: u64,
    /// How long it waited for the worker.
    pub waited: u64,
}

/// One side's view of a ring.
#[derive(Debug)]
struct Ring {
    link: Arc<Link>,
    worker: u32,
    base: usize,
    len: u64,
}

impl Ring {
    fn new(link: Arc<Link>, worker: u32) -> Ring {
        let base = link.ring_offset(worker);
        let len = link.shape().ring.into();
        Ring {
            link,
            worker,
            base,
            len,
        }
    }

    fn max_frame(&self) -> usize {
        (self.len / 2 - HEAD) as usize
    }

    #[inline]
    fn offset(&self, at: u64) -> usize {
        self.base + (at & (self.len - 1)) as usize
    }

    #[inline]
    fn word(&self, at: u64) -> &AtomicU64 {
        self.link.region().at(self.offset(at))
    }

    #[inline]
    fn consumed(&self) -> &AtomicU64 {
        &self.link.bed(self.worker).consumed
    }

    /// How much of `len` bytes at `at` lies before the ring's end.
    #[inline]
    fn first_part(&self, at: u64, len: usize) -> usize {
        len.min((self.len - (at & (self.len - 1))) as usize)
    }
}

#[inline]
fn frame_of(len: usize) -> u64 {
    HEAD + (len as u64).next_multiple_of(WORD)
}

/// The worker's end.
#[derive(Debug)]
pub struct OutcomeWriter {
    ring: Ring,
    written: u64,
    /// How far the reader is, as last seen.
    consumed: u64,
}

impl OutcomeWriter {
    pub(super) fn new(link: Arc<Link>, worker: u32) -> OutcomeWriter {
        OutcomeWriter {
            ring: Ring::new(link, worker),
            written: 0,
            consumed: 0,
        }
    }

    /// Bytes of payload that one frame carries at most.
    pub fn max_frame(&self) -> usize {
        self.ring.max_frame()
    }

    /// Whether the reader has read everything.
    pub fn is_read(&self) -> bool {
        self.ring.consumed().load(Ordering::Relaxed) == self.written
    }

    /// Whether a payload of so many bytes fits now.
    #[inline]
    pub fn has_room(&mut self, len: usize) -> bool {
        if len > self.max_frame() {
            return false;
        }
        // One word more, for the 0 that marks the end.
        let need = frame_of(len) + WORD;
        if need <= self.ring.len - (self.written - self.consumed) {
            return true;
        }
        // Sequentially consistent, as a writer without room says that it sleeps, looks again, and sleeps.
        // SYNC(outcomes.room): acquire
        let consumed = self.ring.consumed().load(Ordering::SeqCst);
        // A reader never goes back, nor past what was written.
        if !(self.consumed..=self.written).contains(&consumed) {
            return false;
        }
        self.consumed = consumed;
        need <= self.ring.len - (self.written - consumed)
    }

    /// Sends a frame; `false` when there is no room now, and for ever if it is longer than [`OutcomeWriter::max_frame`].
    #[inline]
    pub fn try_push(&mut self, head: &OutcomeHead, payload: &[u8]) -> bool {
        if !self.has_room(payload.len()) {
            return false;
        }
        let (ring, at) = (&self.ring, self.written);
        let next = at + frame_of(payload.len());
        let words = [head.position, head.wall, head.cpu, head.waited];
        for (nth, word) in (1..).zip(words) {
            ring.word(at + nth * WORD).store(word, Ordering::Relaxed);
        }
        if !payload.is_empty() {
            let (first, rest) = payload.split_at(ring.first_part(at + HEAD, payload.len()));
            ring.link.region().write(ring.offset(at + HEAD), first);
            ring.link.region().write(ring.base, rest);
        }
        ring.word(next).store(0, Ordering::Relaxed);
        crash_point("outcome.written");
        // One more than the length, so that it is never 0.
        let first =
            u64::from(head.flags) << 48 | u64::from(head.kind) << 32 | (payload.len() as u64 + 1);
        // Sequentially consistent, as the writer looks for somebody to wake next.
        // SYNC(outcomes.head): release
        ring.word(at).store(first, Ordering::SeqCst);
        self.written = next;
        crash_point("outcome.committed");
        true
    }

    /// Sleeps unless there is room for so many bytes or `stop` says so, until the parent has read some, a signal arrives or the
    /// deadline passes. Rings the bell first: if nobody waits for outcomes, somebody has to read them now.
    ///
    /// No bit among the sleepers is set, or a new task would wake this worker instead of one that can take it.
    pub fn wait_for_room(
        &mut self,
        len: usize,
        bell: &Bell,
        mut stop: impl FnMut() -> bool,
        deadline: Deadline,
    ) -> Slept {
        match self.lack_room(len) {
            Some(lack) if !stop() => lack.sleep(bell, deadline),
            lack => {
                drop(lack);
                Slept::Woken
            }
        }
    }

    /// How to wait for room for so many bytes, if there is none: for several threads, who must not sleep with the writer.
    pub fn lack_room(&mut self, len: usize) -> Option<RoomLack> {
        let link = self.ring.link.clone();
        let bed = link.bed(self.ring.worker);
        let seen = bed.word.load(Ordering::SeqCst);
        // SYNC(outcomes.full): release
        bed.full.store(1, Ordering::SeqCst);
        let worker = self.ring.worker;
        let lack = RoomLack { link, worker, seen };
        (!self.has_room(len)).then_some(lack)
    }

    /// Back to the start: in a new process on this place, after the parent has reset its end.
    pub fn reset(&mut self) {
        (self.written, self.consumed) = (0, 0);
    }
}

/// A ring was full.
#[derive(Debug)]
pub struct RoomLack {
    link: Arc<Link>,
    worker: u32,
    seen: u32,
}

impl RoomLack {
    /// Sleeps until the parent has read some.
    pub fn sleep(self, bell: &Bell, deadline: Deadline) -> Slept {
        bell.ring();
        self.link.bed(self.worker).word.sleep(self.seen, deadline)
    }
}

impl Drop for RoomLack {
    fn drop(&mut self) {
        self.link.bed(self.worker).full.store(0, Ordering::Relaxed);
    }
}

/// The longest log record, or other thing that is no outcome.
const MOST_SAID: usize = 64 << 20;

/// The parent's end.
#[derive(Debug)]
pub struct OutcomeReader {
    ring: Ring,
    consumed: u64,
    /// How far it was when it last looked for a writer without room.
    told: u64,
    /// Garbage was read, or what makes no sense: nothing behind it means anything.
    broken: bool,
    claimed: Option<u64>,
    /// The first parts of something that takes several frames and is no outcome.
    said: Vec<u8>,
}

impl OutcomeReader {
    pub(super) fn new(link: Arc<Link>, worker: u32) -> OutcomeReader {
        OutcomeReader {
            ring: Ring::new(link, worker),
            consumed: 0,
            told: 0,
            broken: false,
            claimed: None,
            said: Vec::new(),
        }
    }

    /// How far it has read, in bytes since the last reset.
    #[inline]
    pub fn consumed(&self) -> u64 {
        self.consumed
    }

    /// Whether there is nothing to read.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.broken || self.ring.word(self.consumed).load(Ordering::SeqCst) == 0
    }

    /// The next frame, its payload in place of what `payload` held. After garbage there is nothing but garbage until a reset.
    ///
    /// Each call that returns a frame also wipes a word that was not 0, so whatever a dead writer left comes to an end.
    #[inline]
    pub fn next(&mut self, payload: &mut Vec<u8>) -> Result<Option<OutcomeHead>, Garbage> {
        payload.clear();
        if self.broken {
            return Err(Garbage);
        }
        let (ring, at) = (&self.ring, self.consumed);
        // SYNC(outcomes.head): acquire
        let first = ring.word(at).load(Ordering::SeqCst);
        if first == 0 {
            if self.told != at {
                self.tell();
            }
            return Ok(None);
        }
        let len = (first as u32).checked_sub(1).map(|len| len as usize);
        let Some(len) = len.filter(|len| *len <= ring.max_frame()) else {
            self.broken = true;
            return Err(Garbage);
        };
        let word = |nth: u64| ring.word(at + nth * WORD).load(Ordering::Relaxed);
        let head = OutcomeHead {
            position: word(1),
            kind: (first >> 32) as u16,
            flags: (first >> 48) as u16,
            len: len as u32,
            wall: word(2),
            cpu: word(3),
            waited: word(4),
        };
        if len > 0 {
            let part = ring.first_part(at + HEAD, len);
            let region = ring.link.region();
            region.read(ring.offset(at + HEAD), part, payload);
            region.read(ring.base, len - part, payload);
        }
        ring.word(at).store(0, Ordering::Relaxed);
        self.consumed = at + frame_of(len);
        // SYNC(outcomes.room): release
        ring.consumed().store(self.consumed, Ordering::Release);
        if self.consumed - self.told > self.ring.len / 4 {
            self.tell();
        }
        Ok(Some(head))
    }

    /// Wakes the writer if it waits for room. The fence is worth some frames, so not all of them pay for one.
    fn tell(&mut self) {
        self.told = self.consumed;
        fence(Ordering::SeqCst);
        let bed = self.ring.link.bed(self.ring.worker);
        // SYNC(outcomes.full): acquire
        if bed.full.load(Ordering::SeqCst) != 0 && bed.full.swap(0, Ordering::SeqCst) != 0 {
            self.ring.link.bells().poke(self.ring.worker);
        }
    }

    /// What this worker says is believed no more, until a reset; it has said that it ran this.
    pub fn condemn(&mut self, position: u64) {
        self.broken = true;
        self.claimed = Some(position);
    }

    /// Whether it is so.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// What it said last that it ran, of what could not be believed.
    pub fn claimed(&self) -> Option<u64> {
        self.claimed
    }

    /// Adds a part of something that is no outcome; all of it once `more` is false.
    pub fn said(&mut self, part: &mut Vec<u8>, more: bool) -> Option<Vec<u8>> {
        if more || !self.said.is_empty() {
            // A worker that never comes to an end must not fill the parent's memory. What is cut off can't be read.
            let room = MOST_SAID - self.said.len();
            self.said.extend_from_slice(&part[..part.len().min(room)]);
        }
        match (more, self.said.is_empty()) {
            (true, _) => None,
            (false, true) => Some(std::mem::take(part)),
            (false, false) => Some(std::mem::take(&mut self.said)),
        }
    }

    /// Says once more how far it is, after garbage was found.
    pub fn restore(&self) {
        self.ring.consumed().store(self.consumed, Ordering::SeqCst);
    }

    /// Empties the ring, for a new process on this place: after the old one has ended, before the new one starts.
    pub fn reset(&mut self) {
        (self.consumed, self.told) = (0, 0);
        (self.broken, self.claimed) = (false, None);
        self.said.clear();
        self.ring.word(0).store(0, Ordering::Relaxed);
        self.ring.consumed().store(0, Ordering::SeqCst);
        let bed = self.ring.link.bed(self.ring.worker);
        bed.full.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests;
