//! The way in: a task enters the ring or the backlog, a worker hears of it or is sent for; and the way back out, cancelled.

use super::hands::InHand;
use super::pool::{Pool, Table};
use super::record::{Call, End, Job, Payload, Record};
use crate::error::{Refusal, SubmitError};
use crate::sys::Stamp;
use crate::wire::{CARGO_INSIDE, INLINE, Look, Standing, TaskHead};
use std::sync::atomic::Ordering;

/// Bytes from which on a payload is looked at twice where memory is limited.
const LARGE: usize = 4 << 20;

/// Bytes of arguments that are to be let go as soon as their task is done.
const HEAVY: usize = 64 << 10;

/// Outcomes that may lie unread before a submitter reads them: enough of them that reading pays, few enough to lie in its cache.
const CROWD: u64 = 32;

/// What leaves the table without having run; to be settled when its lock is free.
#[must_use]
pub(super) struct Aside<'a, J: Job> {
    pool: &'a Pool<J>,
    hand: Option<InHand<'a, J>>,
    /// What can't be sent, and why.
    lost: Vec<(Record<J>, End)>,
    cancelled: Vec<Record<J>>,
}

impl<'a, J: Job> Aside<'a, J> {
    pub(super) fn new(pool: &'a Pool<J>) -> Aside<'a, J> {
        Aside {
            pool,
            hand: None,
            lost: Vec::new(),
            cancelled: Vec::new(),
        }
    }

    pub(super) fn put_lost(&mut self, record: Record<J>, end: End) {
        self.hand.get_or_insert_with(|| self.pool.hand());
        self.lost.push((record, end));
    }

    /// Not in its hand, as its owner knows. But the owner may be the last one who holds the pool, and would close it.
    pub(super) fn put_cancelled(&mut self, record: Record<J>) {
        self.cancelled.push(record);
    }

    pub(super) fn settle(self) {
        for record in self.cancelled {
            self.pool.dismiss(record);
        }
        for (record, end) in self.lost {
            self.pool.settle(record, end);
        }
    }
}

impl<J: Job> Pool<J> {
    /// Takes a task. `attempts` is 0 but for one that is handed in again.
    pub fn submit(&self, job: J, call: Call, attempts: u32) -> Result<(), SubmitError<J>> {
        self.accept(job, call, attempts, false)
    }

    /// Takes a part of something that was submitted before the pool was closed. The caller keeps the pool meanwhile.
    pub fn submit_rest(&self, job: J, call: Call) -> Result<(), SubmitError<J>> {
        self.accept(job, call, 0, true)
    }

    fn accept(&self, job: J, call: Call, attempts: u32, rest: bool) -> Result<(), SubmitError<J>> {
        if self.inherited.load(Ordering::Relaxed) {
            return Err(SubmitError {
                job,
                refusal: Refusal::Inherited,
            });
        }
        let record = Record {
            job,
            call,
            submitted: Stamp::now().nanos(),
            attempts,
            position: 0,
            large: None,
        };
        let heavy = record.call.cargo.is_some();
        let mut aside = Aside::new(self);
        let (asked, crowded) = {
            let mut table = self.table.lock();
            if table.broken.is_some() || table.ended || table.closed && attempts == 0 && !rest {
                let refusal = if table.broken.is_some() {
                    Refusal::Broken
                } else {
                    Refusal::Closed
                };
                return Err(SubmitError {
                    job: record.job,
                    refusal,
                });
            }
            if attempts == 0 {
                self.submitted.add(1);
                if !heavy && record.call.payload.len() < HEAVY {
                    self.light.add(1);
                }
            } else {
                self.retried.add(1);
                // Until it is in the ring it can be cancelled as any other.
                record.job.placed(0);
            }
            let priority = record.priority();
            if heavy {
                table.backlog.push(priority, record);
            } else if table.backlog.is_empty() && priority == 0 && self.has_room(&table) {
                if let Err(record) = self.enter(&mut table, record, &mut aside) {
                    table.backlog.push(priority, record);
                    self.mark_refill(&table);
                }
            } else {
                table.backlog.push(priority, record);
                self.refill_locked(&mut table, &mut aside);
            }
            (self.want_worker(&mut table), self.is_crowded(&table))
        };
        aside.settle();
        if let Some((asked, nursery)) = asked {
            self.ask(asked, &nursery);
        }
        if self.orphaned.load(Ordering::Relaxed) {
            // Its nursery was lost since the caller has seen one, when there was no work for another.
            self.bell.kick();
        }
        if heavy {
            self.stow();
        }
        if crowded {
            self.drain();
        }
        Ok(())
    }

    /// Whether so many outcomes lie unread that the walk to the next free slot becomes long: a submitter that never waits would
    /// pass over all of them, each time.
    fn is_crowded(&self, table: &Table<J>) -> bool {
        let taken = table.count as u64 - self.ready(table);
        taken > u64::from(self.settings.workers) + CROWD
    }

    /// Lets the watcher know of a limit that it might sleep past.
    pub(super) fn wake_for_limits(&self, record: &Record<J>) {
        let times = [record.timeout(), self.settings.patience];
        let soon = match times.into_iter().flatten().min() {
            Some(time) => {
                let time = time.as_nanos().min(1 << 62) as u64;
                Stamp::now().nanos().saturating_add(time)
            }
            None if self.settings.memory_limit.is_some() => u64::MAX - 1,
            None => return,
        };
        if self.armed_until.load(Ordering::SeqCst) > soon {
            (self.wake_watcher)();
        }
    }

    /// How many tasks of the ring nobody has, at most: after a death the hint says nothing for a while.
    pub(super) fn ready(&self, table: &Table<J>) -> u64 {
        let tail = table.cursor.tail();
        (tail - self.link.tasks().hint(tail)).min(table.count as u64)
    }

    /// Whether the ring should get another task.
    pub(super) fn has_room(&self, table: &Table<J>) -> bool {
        !table.stowing
            && self.ready(table)
                < u64::from(
                    table
                        .flow
                        .window(self.settings.workers, self.link.shape().slots * 3 / 4),
                )
    }

    /// The memory there is, if it is too little for a copy of so many bytes. Whoever makes it in spite of that has the kernel
    /// kill the largest process, which may be this one. (What a worker needs besides may be memory that it has already.)
    pub fn lacks_room(&self, len: usize) -> Option<u64> {
        // Smaller ones don't decide over life and death, and the look costs as much as copying them.
        if len < LARGE {
            return None;
        }
        let room = self.memory.room()?;
        (room < len as u64).then_some(room)
    }

    /// Puts a record into the ring and lets a worker know; it comes back where there is no room.
    pub(super) fn enter(
        &self,
        table: &mut Table<J>,
        mut record: Record<J>,
        aside: &mut Aside<'_, J>,
    ) -> Result<(), Record<J>> {
        let len = record.call.payload.len();
        let tasks = self.link.tasks();
        if len > INLINE && record.extent().is_none() {
            let limit = self.link.shape().area;
            if len as u64 > limit || len > u32::MAX as usize {
                let end = End::TooLong {
                    bytes: len as u64,
                    limit: limit.min(u32::MAX.into()),
                };
                aside.put_lost(record, end);
                return Ok(());
            }
            if let Some(room) = self.lacks_room(len) {
                if table.count > 0 {
                    // What is under way gives memory back when it is done.
                    return Err(record);
                }
                let bytes = len as u64;
                aside.put_lost(record, End::NoRoom { bytes, room });
                return Ok(());
            }
            match table.area.alloc(len) {
                Some(extent) => {
                    self.link.write_area(extent.offset, &record.call.payload);
                    let large = record.large();
                    (large.extent, large.len) = (Some(extent), len as u64);
                }
                None => return Err(record),
            }
        }
        let (inflight, mut block) = (&table.inflight, None);
        let standing = |index: u32| match inflight.get(index as usize) {
            None | Some(None) => Standing::Free,
            Some(Some(record)) => match tasks.look(record.position) {
                Look::Taken(_) => Standing::Taken,
                _ => {
                    block = Some(record.position);
                    Standing::Ready
                }
            },
        };
        let Some(position) = table.cursor.next_position(standing) else {
            if let Some(block) = block {
                self.look_at_block(table, block);
            }
            return Err(record);
        };
        let index = (position & u64::from(self.link.shape().slots - 1)) as usize;
        if table.inflight.len() <= index {
            table.inflight.resize_with(index + 1, || None);
        }
        record.position = position;
        record.attempts += 1;
        let loan = record.loan();
        let head = TaskHead {
            position,
            function: record.call.function,
            definitions: record.call.definitions,
            flags: record.call.flags,
            len: len as u32,
            place: record.extent().map_or(0, |extent| extent.offset),
            submitted: record.submitted,
            loan: match loan {
                Some(offset) => offset + 1,
                None if record.call.inside => CARGO_INSIDE,
                None => 0,
            },
        };
        tasks.write(&head, &record.call.payload);
        record.job.placed(position + 1);
        // A slot's bytes are any worker's to overwrite, so they are kept; those of the area are not.
        if len > INLINE && !record.keeps_payload() {
            record.call.payload = Payload::new();
        }
        self.wake_for_limits(&record);
        table.timeouts.add(record.timeout());
        table.inflight[index] = Some(record);
        table.count += 1;
        if let Some(offset) = loan {
            table.heavy += 1;
            self.arena.place(offset, Some(position));
        }
        tasks.publish(position);
        self.link.bells().wake_one();
        Ok(())
    }

    pub(super) fn refill_locked(&self, table: &mut Table<J>, aside: &mut Aside<'_, J>) {
        while !table.backlog.is_empty() && self.has_room(table) {
            let Some(record) = table.backlog.pop() else {
                break;
            };
            if record.job.is_cancelled() {
                table.dead = table.dead.saturating_sub(1);
                aside.put_cancelled(record);
                continue;
            }
            let priority = record.priority();
            if record.is_to_be_stowed() {
                table.backlog.push_front(priority, record);
                break;
            }
            if let Err(record) = self.enter(table, record, aside) {
                table.backlog.push_front(priority, record);
                break;
            }
        }
        self.mark_refill(table);
    }

    /// Fills the ring from the backlog.
    pub fn refill(&self) {
        let mut aside = Aside::new(self);
        let (over, asked) = {
            let mut table = self.table.lock();
            if table.backlog.is_empty() && !table.closed {
                return;
            }
            self.refill_locked(&mut table, &mut aside);
            let over = self.close_if_idle(&mut table);
            (over, self.want_worker(&mut table))
        };
        aside.settle();
        if let Some((asked, nursery)) = asked
            && self.ask(asked, &nursery)
        {
            self.bell.kick();
        }
        if over {
            self.end_if_empty();
        }
    }

    /// Lets a worker tell when half of what is ready has been taken, if there is more.
    pub(super) fn mark_refill(&self, table: &Table<J>) {
        if table.backlog.is_empty() {
            return;
        }
        let tail = table.cursor.tail();
        let hint = self.link.tasks().hint(tail);
        let at = hint + (tail - hint) / 2;
        self.link.set_refill(at);
        let next = table.backlog.peek();
        if next.is_some_and(|record| record.is_to_be_stowed()) && self.waits_for_an_end(table) {
            // No claim gives it its turn.
            return;
        }
        // Claimed just before, and nobody would tell.
        if tail == 0 || self.link.tasks().hint(tail) > at || hint == tail {
            self.bell.ring();
        }
    }

    /// Withdraws a task that no worker has; exact: after yes, no worker runs it. `place` says what [`Job::placed`] was told last,
    /// `decide` cancels the owner, and both are called under the table's lock.
    pub fn cancel(&self, place: impl FnOnce() -> u64, decide: impl FnOnce() -> bool) -> bool {
        let mut gone = Vec::new();
        let mut record = None;
        let over = {
            let mut table = self.table.lock();
            match place().checked_sub(1) {
                None => {
                    if !decide() {
                        return false;
                    }
                    table.dead += 1;
                    // Half of it at least, so that each entry is looked at twice at most.
                    if table.dead >= 1024 && table.dead * 2 >= table.backlog.len() {
                        table.dead = 0;
                        gone = table.backlog.retain(|record| !record.job.is_cancelled());
                    }
                }
                Some(position) => {
                    if !self.is_inflight(&table, position) || !self.link.tasks().cancel(position) {
                        return false;
                    }
                    decide();
                    record = self.take(&mut table, position);
                }
            }
            self.close_if_idle(&mut table)
        };
        self.cancelled.add(1);
        for record in gone.into_iter().chain(record) {
            self.dismiss(record);
        }
        if over {
            self.end_if_empty();
        }
        true
    }
}
