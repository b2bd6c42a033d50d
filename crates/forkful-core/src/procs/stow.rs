//! What a task takes along is copied when its turn comes: into a segment, or behind its payload where there is none to be had.
//!
//! Not before, so that a thousand tasks over one array take no more memory than the few that have a worker soon. One thread copies at
//! a time, without the table's lock, and nothing else enters the ring until it is done: tasks enter in their order.

use super::pool::{Pool, Table};
use super::record::{End, Job, Record};
use super::submit::Aside;
use crate::shm::{Cargo, append};
use crate::sys::{LockGuard, Stamp, crash_point};
use std::collections::TryReserveError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Tasks with a segment per worker: one that runs, and one that is next.
const PER_WORKER: u32 = 2;

/// How long is waited between two looks at whether a copy is done.
const PAUSE: Duration = Duration::from_micros(100);

/// How long is waited at least between two looks for memory while nothing gives any back.
const HUNGER_NANOS: u64 = 100_000_000;

/// What the pool has to do besides.
#[derive(Clone, Copy, Debug)]
struct Load {
    /// A worker has nothing to do until this task comes: whatever is under way may take for ever.
    idle: bool,
    /// Nothing is under way that would give memory back.
    alone: bool,
}

/// What became of a cargo.
enum Stowed<J> {
    Yes(Record<J>),
    /// Not now: what is under way gives memory back when it is done.
    Later(Record<J>),
    Never(Record<J>, End),
}

impl<J: Job> Pool<J> {
    /// Copies what the next tasks take along, as many as have their turn, and lets them enter the ring. May take long: not for whoever
    /// holds the interpreter's lock.
    pub fn stow(&self) {
        while self.stow_next() {}
    }

    /// Whether there is something for [`Pool::stow`].
    pub(super) fn awaits_stowing(&self) -> bool {
        let table = self.table.lock();
        self.has_turn(&table)
            && table
                .backlog
                .peek()
                .is_some_and(|record| record.is_to_be_stowed())
    }

    fn has_turn(&self, table: &Table<J>) -> bool {
        self.has_room(table) && !self.waits_for_an_end(table)
    }

    /// Whether a cargo has no turn before a task ends, or gives memory back.
    pub(super) fn waits_for_an_end(&self, table: &Table<J>) -> bool {
        table.heavy >= PER_WORKER * self.settings.workers || self.is_starved(table)
    }

    /// Whether there was no memory when it was looked for last, and nothing has changed since. The rest of the machine tells nobody,
    /// so it is looked at again after a while, when somebody comes by.
    fn is_starved(&self, table: &Table<J>) -> bool {
        table.starved.is_some_and(|(ends, frees, since)| {
            ends == table.ends
                && frees == self.arena.frees()
                && Stamp::now().since(since) < HUNGER_NANOS
        })
    }

    fn stow_next(&self) -> bool {
        let mut aside = Aside::new(self);
        let (record, load, before, _hand) = {
            let mut table = self.table.lock();
            if !self.has_turn(&table) || table.broken.is_some() {
                return false;
            }
            let Some(record) = table.backlog.pop() else {
                return false;
            };
            if record.job.is_cancelled() {
                table.dead = table.dead.saturating_sub(1);
                drop(table);
                self.dismiss(record);
                return true;
            }
            if !record.is_to_be_stowed() {
                let priority = record.priority();
                table.backlog.push_front(priority, record);
                self.refill_locked(&mut table, &mut aside);
                let next = table.backlog.peek();
                let more = next.is_some_and(|record| record.is_to_be_stowed());
                drop(table);
                aside.settle();
                return more;
            }
            table.stowing = true;
            let load = Load {
                idle: table.count < self.settings.workers as usize,
                alone: table.count == 0,
            };
            let before = (table.ends, self.arena.frees());
            (record, load, before, self.hand())
        };
        let stowed = self.copy(record, load);
        crash_point("cargo.stowed");
        let mut table = self.table.lock();
        table.stowing = false;
        let (mut more, mut lost) = (true, None);
        match stowed {
            Stowed::Yes(record) | Stowed::Later(record) if record.job.is_cancelled() => {
                table.dead = table.dead.saturating_sub(1);
                aside.put_cancelled(record);
            }
            Stowed::Yes(record) => {
                let priority = record.priority();
                if let Err(record) = self.enter(&mut table, record, &mut aside) {
                    table.backlog.push_front(priority, record);
                    more = false;
                }
                self.refill_locked(&mut table, &mut aside);
            }
            Stowed::Later(record) => {
                let priority = record.priority();
                table.backlog.push_front(priority, record);
                // What has ended meanwhile found nobody to tell.
                let (ends, frees) = before;
                table.starved = Some((ends, frees, Stamp::now()));
                more = self.has_turn(&table);
            }
            Stowed::Never(record, end) => lost = Some((record, end)),
        }
        let over = self.close_if_idle(&mut table);
        let asked = self.want_worker(&mut table);
        drop(table);
        aside.settle();
        if let Some((record, end)) = lost {
            self.settle(record, end);
        }
        if let Some((asked, nursery)) = asked
            && self.ask(asked, &nursery)
        {
            self.bell.kick();
        }
        if over {
            self.end_if_empty();
        }
        more
    }

    fn copy(&self, mut record: Record<J>, load: Load) -> Stowed<J> {
        let Load { idle, alone } = load;
        let Some(cargo) = record.call.cargo.take() else {
            return Stowed::Yes(record);
        };
        let bytes = cargo.room();
        if let Some(room) = self.lacks_room(usize::try_from(bytes).unwrap_or(usize::MAX)) {
            self.arena.trim();
            self.arena.empty_purses();
            self.arena.trim();
            let room = self
                .lacks_room(usize::try_from(bytes).unwrap_or(usize::MAX))
                .map(|now| now.max(room));
            if let Some(room) = room {
                if !alone {
                    record.call.cargo = Some(cargo);
                    return Stowed::Later(record);
                }
                return Stowed::Never(record, End::NoRoom { bytes, room });
            }
        }
        let whole = bytes + record.call.payload.len() as u64;
        let fits_behind = whole <= self.link.shape().area.min(u32::MAX.into());
        let segment = self.arena.alloc(bytes, !fits_behind && idle);
        let Some(segment) = segment else {
            if !(alone || idle && fits_behind) {
                record.call.cargo = Some(cargo);
                return Stowed::Later(record);
            }
            if !fits_behind {
                let limit = self.link.shape().arena;
                return Stowed::Never(record, End::TooLong { bytes, limit });
            }
            self.arena.inside.add(1);
            return match copy_behind(&mut record, &*cargo) {
                Ok(()) => Stowed::Yes(record),
                Err(_) => Stowed::Never(record, End::NoMemory { bytes: whole }),
            };
        };
        self.link.stow(segment.offset, &*cargo);
        self.arena.copied.add(1);
        record.large().loan = Some(segment.offset);
        if record.keeps_payload() {
            record.call.cargo = Some(cargo);
        }
        Stowed::Yes(record)
    }

    /// Gives the segment of a task back that does not enter the ring.
    pub(super) fn unload(&self, record: &mut Record<J>) {
        if let Some(large) = &mut record.large
            && let Some(offset) = large.loan.take()
        {
            self.arena.withdraw(offset, None);
        }
    }

    /// Lets go of a task that was cancelled, and whose owner knows.
    pub(super) fn dismiss(&self, mut record: Record<J>) {
        self.unload(&mut record);
        record.job.dismiss();
    }

    /// The table while nobody has one of its tasks in his hands to copy what that takes along. Not for whoever copies.
    pub(super) fn whole_table(&self) -> LockGuard<'_, Table<J>> {
        loop {
            let table = self.table.lock();
            if !table.stowing || self.inherited.load(Ordering::Relaxed) {
                return table;
            }
            drop(table);
            std::thread::sleep(PAUSE);
        }
    }
}

fn copy_behind<J: Job>(record: &mut Record<J>, cargo: &dyn Cargo) -> Result<(), TryReserveError> {
    let mut bytes = std::mem::take(&mut record.call.payload).into_vec();
    let copied = append(cargo, &mut bytes);
    record.call.inside = copied.is_ok();
    record.call.payload = bytes.into();
    copied
}
