//! The way back: outcomes are read by whoever waits, one thread at a time, and the others are served by it.

use super::arena::Loan;
use super::pool::Pool;
use super::record::{End, Job, Payload, SMALL};
use super::strays::LOOK;
use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::sys::{Slept, Stamp, spin_until};
use crate::wire::{
    Garbage, LENT, Look, MORE, NO_TASK, OutcomeHead, OutcomeReader, SAID_FAILURE, SAID_HATCH,
    SAID_RETURNED, SAID_SEGMENT, WITH_BUFFERS,
};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

/// What reading a ring has come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// Whether a task's outcome was there.
    found: bool,
    /// Whether it was left before its end.
    more: bool,
}

/// Words of eight bytes.
fn numbers(bytes: &[u8]) -> Option<Vec<u64>> {
    let (words, rest) = bytes.as_chunks();
    rest.is_empty()
        .then(|| words.iter().map(|word| u64::from_le_bytes(*word)).collect())
}

/// How often one drain looks at all rings at most. What comes faster is left to the background, as whoever drains may have a
/// deadline, or the interpreter's lock.
const TURNS: u32 = 16;

/// How long after a task was submitted another one may be expected.
const FED: Duration = Duration::from_millis(1);

/// How long a leader who can't get at the rings, or finds them never empty, goes on before he asks for signals.
const ASK_NANOS: u64 = 1_000_000;

/// How long he then sleeps at a time while somebody else reads.
const ASIDE: Duration = Duration::from_micros(100);

impl<J: Job> Pool<J> {
    /// Whether an outcome lies in a ring; unknown while somebody reads them.
    fn has_outcomes(&self) -> Option<bool> {
        let readers = self.readers.try_lock()?;
        let found = readers.iter().any(|reader| !reader.is_empty());
        drop(readers);
        // Whoever could not drain because of this look has left it to us.
        Some(found || self.is_wanted_again())
    }

    /// Reads the outcomes that there are, finishes their jobs, and fills the ring again; says whether there was something. Any
    /// thread may call it.
    pub fn drain(&self) -> bool {
        let (found, more) = self.drain_some();
        if self.awaits_stowing() {
            // Whoever calls this may hold the interpreter's lock, and a copy takes long.
            self.bell.ring();
        }
        if more {
            // Whoever stops early sends somebody else.
            self.bell.ring();
        }
        found
    }

    /// The same, and copies what tasks take along whose turn has come: not for whoever holds the interpreter's lock.
    pub fn drain_and_stow(&self) -> bool {
        let (found, more) = self.drain_some();
        if more {
            self.bell.ring();
        }
        self.stow();
        found
    }

    /// The same as [`Pool::drain`], and whether there may be more, for which the caller has to come again.
    fn drain_some(&self) -> (bool, bool) {
        let (mut found, mut more, mut turns) = (false, false, 0);
        loop {
            self.again.store(true, Ordering::SeqCst);
            let Some(mut readers) = self.readers.try_lock().or_else(|| {
                // Whoever holds them now sees that they are wanted when he gives them back.
                // SYNC(drain.again): release
                fence(Ordering::SeqCst);
                self.readers.try_lock()
            }) else {
                if !found {
                    return (false, false);
                }
                break;
            };
            while turns < TURNS && self.again.swap(false, Ordering::SeqCst) {
                turns += 1;
                for (worker, reader) in readers.iter_mut().enumerate() {
                    let read = self.read(worker as u32, reader);
                    found |= read.found;
                    if read.more {
                        self.again.store(true, Ordering::SeqCst);
                    }
                }
            }
            drop(readers);
            more = self.is_wanted_again();
            if !more || turns == TURNS {
                break;
            }
        }
        if found {
            self.helm.rouse(self.link.bells());
        }
        let suspects = std::mem::take(&mut *self.suspects.lock());
        for worker in suspects {
            self.doom_garbage(worker);
            // That held the rings, too.
            more |= self.is_wanted_again();
        }
        self.refill();
        (found, more)
    }

    /// Background: until when it leaves the rings to whoever is submitting, if something was submitted a moment ago and nobody relies
    /// on the background, nor large arguments wait to be let go. Whoever submits reads and fills the ring by himself; two at it are in
    /// each other's way, and workers, whose ring runs empty then, ring for more of it.
    pub fn fed_until(&self) -> Option<Deadline> {
        let (now, light) = (Stamp::now().nanos(), self.light.get());
        if self.looked_at.swap(light, Ordering::Relaxed) != light {
            self.fed_until
                .store(now + FED.as_nanos() as u64, Ordering::Relaxed);
        }
        let left = self
            .fed_until
            .load(Ordering::Relaxed)
            .checked_sub(now)
            .filter(|left| *left > 0)?;
        (self.interest.load(Ordering::SeqCst) == 0)
            .then(|| Deadline::after(Duration::from_nanos(left)))
    }

    /// Whoever has just given the rings back: whether somebody has come meanwhile, and could not get at them. He relies on it.
    fn is_wanted_again(&self) -> bool {
        // Without it the look may come before the lock is seen to be free: then neither of the two would see the other.
        // SYNC(drain.again): acquire
        fence(Ordering::SeqCst);
        self.again.load(Ordering::SeqCst)
    }

    /// Reads one ring, no further than what can lie there at once: what its worker adds meanwhile is another turn's.
    pub(super) fn read(&self, worker: u32, reader: &mut OutcomeReader) -> Read {
        let end = reader.consumed() + u64::from(self.link.shape().ring);
        let (mut found, mut hand) = (false, None);
        let mut payload = Vec::new();
        // To the end if that comes before: it is then that a writer without room is told.
        while reader.consumed() < end {
            match reader.next(&mut payload) {
                Ok(None) => return Read { found, more: false },
                // Not with other words, as it may come between the parts of another thread's.
                Ok(Some(head)) if head.position == NO_TASK && head.kind == SAID_HATCH => {
                    self.open_hatch();
                }
                Ok(Some(head))
                    if head.position == NO_TASK
                        && matches!(head.kind, SAID_SEGMENT | SAID_RETURNED) =>
                {
                    if self.answer(worker, head.kind, &payload).is_err() {
                        reader.condemn(self.first_taken(worker).unwrap_or(NO_TASK));
                    }
                }
                Ok(Some(head)) if head.position == NO_TASK => {
                    if let Some(words) = reader.said(&mut payload, head.flags & MORE != 0) {
                        self.heed(head.kind, words);
                    }
                }
                Ok(Some(head)) => {
                    found = true;
                    let mut table = self.table.lock();
                    let ours = self.is_inflight(&table, head.position)
                        && self.link.tasks().look(head.position) == Look::Taken(worker);
                    if !ours {
                        drop(table);
                        reader.condemn(head.position);
                        continue;
                    }
                    let index = self.index(head.position);
                    if head.flags & MORE != 0 {
                        if let Some(record) = &mut table.inflight[index] {
                            record.large().keep(&payload);
                        }
                        continue;
                    }
                    table.flow.ran(head.wall);
                    // One for all of them, until the last one's owner knows.
                    hand.get_or_insert_with(|| self.hand());
                    let record = self.take_stowed(&mut table, head.position);
                    drop(table);
                    let Some(mut record) = record else { continue };
                    // It is the worker's from here on, whatever can be read of the outcome.
                    if let Some(offset) = record.loan() {
                        self.arena.leave(offset, head.position, worker);
                    }
                    let mut payload = match record.large.take() {
                        Some(mut large) if large.has_parts() => {
                            large.keep(&payload);
                            if large.lost > 0 {
                                let bytes = large.lost;
                                self.settle(record, End::NoMemory { bytes });
                                continue;
                            }
                            large.parts.into()
                        }
                        _ if payload.len() <= SMALL => Payload::from_slice(&payload),
                        _ => std::mem::take(&mut payload).into(),
                    };
                    let loans = match self.lent(worker, &head, &mut payload) {
                        Ok(loans) => loans,
                        Err(Garbage) => {
                            // Nobody can read it. Its worker ends, and this task with it.
                            let death = self.strange_death(worker);
                            self.settle(record, End::Died(Box::new(death)));
                            reader.condemn(head.position);
                            continue;
                        }
                    };
                    self.arena.glance(worker);
                    let end = End::Outcome {
                        kind: head.kind,
                        payload,
                        loans,
                        wall: head.wall,
                        cpu: head.cpu,
                    };
                    self.settle(record, end);
                }
                Err(_) => {
                    self.suspects.lock().push(worker);
                    return Read { found, more: false };
                }
            }
        }
        Read { found, more: true }
    }

    /// What a worker has said that is no outcome.
    fn heed(&self, kind: u16, words: Vec<u8>) {
        if kind == SAID_FAILURE {
            self.failure.lock().get_or_insert((words, Stamp::now()));
            (self.wake_watcher)();
        } else {
            (self.said)(kind, words);
        }
    }

    /// A worker wants a segment, or gives some back.
    fn answer(&self, worker: u32, kind: u16, words: &[u8]) -> Result<(), Garbage> {
        let words = numbers(words).ok_or(Garbage)?;
        if kind == SAID_SEGMENT {
            let [len] = words[..] else {
                return Err(Garbage);
            };
            self.arena.fill_purse(worker, len);
            self.link.purse(worker).answer();
            return Ok(());
        }
        for offset in words {
            let task = self.arena.task_of(offset);
            let running = task.filter(|at| self.runs(worker, *at));
            self.arena.returned(worker, offset, running)?;
        }
        Ok(())
    }

    /// Whether this worker has taken a task, and not said its end.
    fn runs(&self, worker: u32, position: u64) -> bool {
        let table = self.table.lock();
        self.is_inflight(&table, position)
            && self.link.tasks().look(position) == Look::Taken(worker)
    }

    /// What this worker has taken first, and not said the end of.
    fn first_taken(&self, worker: u32) -> Option<u64> {
        let table = self.table.lock();
        let positions = table
            .inflight
            .iter()
            .flatten()
            .map(|record| record.position);
        positions
            .filter(|at| self.link.tasks().look(*at) == Look::Taken(worker))
            .min()
    }

    /// The segments that an outcome hands over; the words that name them are taken off its payload.
    fn lent(
        &self,
        worker: u32,
        head: &OutcomeHead,
        payload: &mut Payload,
    ) -> Result<Vec<Loan>, Garbage> {
        if head.flags & LENT == 0 {
            if head.kind & WITH_BUFFERS != 0 {
                self.arena.inside.add(1);
            }
            return Ok(Vec::new());
        }
        let (count, _) = payload.split_first_chunk().ok_or(Garbage)?;
        let count = u64::from_le_bytes(*count);
        let (count, copied) = (count as u32 as usize, count >> 32);
        let end = count
            .checked_add(1)
            .and_then(|words| words.checked_mul(8))
            .filter(|end| *end <= payload.len())
            .ok_or(Garbage)?;
        let offsets = numbers(&payload[8..end]).ok_or(Garbage)?;
        let loans = self.arena.accept(worker, head.position, &offsets)?;
        self.arena.copied.add(copied);
        self.arena
            .handed
            .add((loans.len() as u64).saturating_sub(copied));
        // In place: there may be no memory for a copy.
        payload.drain(..end);
        if let Some(last) = loans.last() {
            // Its next result is likely to be as large.
            self.arena.fill_purse(worker, last.len());
        }
        Ok(loans)
    }

    /// Blocks until `ready`, draining for everybody meanwhile if nobody else does; `false`: somebody else does.
    ///
    /// Whoever gets `false` waits in a way of his own, under an [`Interest`].
    pub fn lead<E>(
        &self,
        ready: impl Fn() -> bool,
        deadline: Deadline,
        mut interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<bool, WaitError<E>> {
        self.drain();
        if ready() {
            return Ok(true);
        }
        if !self.helm.take() {
            return Ok(false);
        }
        let result = self.lead_on(ready, deadline, &mut interrupt);
        self.helm.leave();
        if self.interest.load(Ordering::SeqCst) > 0 || self.awaits_stowing() {
            // Others wait still: the background goes on.
            self.bell.kick();
        }
        result
    }

    fn lead_on<E>(
        &self,
        ready: impl Fn() -> bool,
        deadline: Deadline,
        interrupt: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<bool, WaitError<E>> {
        let bells = self.link.bells();
        // Since when he has not slept, and when he asked for signals last.
        let mut awake: Option<(Stamp, Stamp)> = None;
        loop {
            spin_until(|| self.has_outcomes() == Some(true) || ready());
            self.drain_some();
            if ready() {
                return Ok(true);
            }
            self.stow();
            if ready() {
                return Ok(true);
            }
            self.look_for_strays();
            let seen = self.helm.listen(bells);
            let found = self.has_outcomes();
            if found != Some(false) || ready() {
                self.helm.rise(bells);
                // A ring that is never empty, or a long outcome that somebody else reads, holds up no deadline and no signal.
                let now = Stamp::now();
                let (since, asked) = *awake.get_or_insert((now, now));
                if now.since(asked) > ASK_NANOS {
                    awake = Some((since, now));
                    interrupt().map_err(WaitError::Interrupted)?;
                    if deadline.passed() && !ready() {
                        return Err(WaitError::TimedOut);
                    }
                }
                match found {
                    None if now.since(since) > ASK_NANOS => std::thread::sleep(ASIDE),
                    None => std::thread::yield_now(),
                    Some(_) => {}
                }
                continue;
            }
            awake = None;
            interrupt().map_err(|error| {
                self.helm.rise(bells);
                WaitError::Interrupted(error)
            })?;
            let patience = deadline.earlier(Deadline::after(LOOK));
            match self.helm.sleep(bells, seen, patience) {
                Slept::Woken => {}
                Slept::Interrupted => interrupt().map_err(WaitError::Interrupted)?,
                // Nothing was heard for a while.
                Slept::TimedOut if !deadline.passed() => {}
                Slept::TimedOut => {
                    self.drain();
                    return if ready() {
                        Ok(true)
                    } else {
                        Err(WaitError::TimedOut)
                    };
                }
            }
        }
    }

    /// Has the background drain as long as this is alive.
    pub fn interest(self: &Arc<Self>) -> Interest<J> {
        self.interest_on();
        Interest(self.clone())
    }

    /// The same without an end.
    pub fn interest_on(&self) {
        self.interest.fetch_add(1, Ordering::SeqCst);
        self.link.bells().arm_background(true);
        if !self.helm.is_held() {
            self.bell.ring();
        }
    }

    pub(super) fn interest_off(&self) {
        if self.interest.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.link.bells().arm_background(false);
            // Somebody may have come in between.
            if self.interest.load(Ordering::SeqCst) > 0 {
                self.link.bells().arm_background(true);
                self.bell.ring();
            }
        }
    }
}

/// Somebody waits whom the background must serve.
#[derive(Debug)]
pub struct Interest<J: Job>(Arc<Pool<J>>);

impl<J: Job> Drop for Interest<J> {
    fn drop(&mut self) {
        self.0.interest_off();
    }
}
