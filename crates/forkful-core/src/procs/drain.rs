//! The way back: outcomes are read by whoever waits, one thread at a time, and the others are served by it.

use super::pool::Pool;
use super::record::{End, Job, Payload, SMALL};
use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::sys::{Slept, Stamp, spin_until};
use crate::wire::{Look, MORE, NO_TASK, OutcomeReader, RAISED, SAID_FAILURE, SAID_HATCH};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl<J: Job> Pool<J> {
    /// Whether an outcome lies in a ring.
    pub fn has_outcomes(&self) -> bool {
        // Whoever drains finds them himself.
        self.readers
            .try_lock()
            .is_none_or(|readers| readers.iter().any(|reader| !reader.is_empty()))
    }

    /// Reads all outcomes, finishes their jobs, and fills the ring again; says whether there was something. Any thread may call it.
    pub fn drain(&self) -> bool {
        let mut found = false;
        loop {
            self.again.store(true, Ordering::SeqCst);
            let Some(mut readers) = self.readers.try_lock() else {
                return found;
            };
            while self.again.swap(false, Ordering::SeqCst) {
                for (worker, reader) in readers.iter_mut().enumerate() {
                    found |= self.read(worker as u32, reader);
                }
            }
            drop(readers);
            if !self.again.load(Ordering::SeqCst) {
                break;
            }
        }
        let suspects = std::mem::take(&mut *self.suspects.lock());
        for worker in suspects {
            self.doom_garbage(worker);
        }
        self.refill();
        found
    }

    /// Reads one ring to its end.
    pub(super) fn read(&self, worker: u32, reader: &mut OutcomeReader) -> bool {
        let (mut found, mut hand) = (false, None);
        let mut payload = Vec::new();
        // To the very end: it is then that a writer without room is told.
        loop {
            match reader.next(&mut payload) {
                Ok(None) => break,
                // Not with other words, as it may come between the parts of another thread's.
                Ok(Some(head)) if head.position == NO_TASK && head.kind == SAID_HATCH => {
                    self.open_hatch();
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
                    let record = self.take(&mut table, head.position);
                    drop(table);
                    let Some(mut record) = record else { continue };
                    let payload = match record.large.take() {
                        Some(mut large) if large.has_parts() => {
                            large.keep(&payload);
                            if large.lost > 0 {
                                self.failed.add(1);
                                let bytes = large.lost;
                                record.finish(End::NoMemory { bytes });
                                continue;
                            }
                            large.parts.into()
                        }
                        _ if payload.len() <= SMALL => Payload::from_slice(&payload),
                        _ => std::mem::take(&mut payload).into(),
                    };
                    if head.kind & RAISED != 0 {
                        &self.failed
                    } else {
                        &self.done
                    }
                    .add(1);
                    record.finish(End::Outcome {
                        kind: head.kind,
                        payload,
                        wall: head.wall,
                        cpu: head.cpu,
                    });
                }
                Err(_) => {
                    self.suspects.lock().push(worker);
                    break;
                }
            }
        }
        found
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
        if self.leader.swap(true, Ordering::SeqCst) {
            return Ok(false);
        }
        let result = self.lead_on(ready, deadline, &mut interrupt);
        self.leader.store(false, Ordering::SeqCst);
        if self.interest.load(Ordering::SeqCst) > 0 {
            // Others wait still: the background goes on.
            self.bell.kick();
        }
        result
    }

    pub(super) fn lead_on<E>(
        &self,
        ready: impl Fn() -> bool,
        deadline: Deadline,
        interrupt: &mut impl FnMut() -> Result<(), E>,
    ) -> Result<bool, WaitError<E>> {
        let bells = self.link.bells();
        loop {
            spin_until(|| self.has_outcomes() || ready());
            self.drain();
            if ready() {
                return Ok(true);
            }
            let seen = bells.listen();
            if self.has_outcomes() || ready() {
                bells.unlisten();
                continue;
            }
            interrupt().map_err(|error| {
                bells.unlisten();
                WaitError::Interrupted(error)
            })?;
            let slept = bells.sleep(seen, deadline);
            bells.unlisten();
            match slept {
                Slept::Woken => {}
                Slept::Interrupted => interrupt().map_err(WaitError::Interrupted)?,
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
        if !self.leader.load(Ordering::SeqCst) {
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
