//! What a pool tells of itself: its load, its workers, its sums.

use super::arena::Standing;
use super::policy::Exit;
use super::pool::Pool;
use super::record::Job;
use super::roster::Seat;
use crate::sys::Stamp;
use crate::wire::{Look, PageSnapshot};
use std::collections::HashMap;

/// A pool's numbers.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Tasks accepted.
    pub submitted: u64,
    /// That no worker has.
    pub pending: u64,
    /// That one has.
    pub running: u64,
    /// That returned.
    pub done: u64,
    /// That raised, or died with their worker.
    pub failed: u64,
    /// That were cancelled.
    pub cancelled: u64,
    /// Workers that died out of order.
    pub deaths: u64,
    /// Tasks that were run again.
    pub retried: u64,
    /// Its segments.
    pub buffers: Standing,
    /// What workers did that are gone.
    pub past: PageSnapshot,
    /// Seat, process, and what it did.
    pub workers: Vec<(u32, i32, PageSnapshot)>,
}

impl<J: Job> Pool<J> {
    /// How many tasks wait, and how many are with workers.
    pub fn load(&self) -> (usize, usize) {
        let table = self.table.lock();
        let tasks = self.link.tasks();
        let taken = table.inflight.iter().flatten();
        let taken = taken
            .filter(|record| matches!(tasks.look(record.position), Look::Taken(_)))
            .count();
        (
            (table.backlog.len() - table.dead.min(table.backlog.len())) + table.count - taken,
            taken,
        )
    }

    /// Looks at a task that is in the ring.
    pub fn look_at<R>(&self, position: u64, look: impl FnOnce(&J) -> R) -> Option<R> {
        let table = self.table.lock();
        let record = table.inflight.get(self.index(position))?.as_ref()?;
        (record.position == position).then(|| look(&record.job))
    }

    /// The numbers at this moment.
    pub fn snapshot(&self) -> Snapshot {
        let (pending, running) = self.load();
        let mut pids: Vec<_> = self.pids().into_iter().collect();
        pids.sort_by_key(|(_, worker)| *worker);
        let pages = pids
            .into_iter()
            .map(|(pid, worker)| (worker, pid, self.link.page(worker).snapshot()));
        Snapshot {
            submitted: self.submitted.get(),
            pending: pending as u64,
            running: running as u64,
            done: self.done.get(),
            failed: self.failed.get(),
            cancelled: self.cancelled.get(),
            deaths: self.deaths.get(),
            retried: self.retried.get(),
            buffers: self.arena.standing(),
            past: self.past.lock().clone(),
            workers: pages.collect(),
        }
    }

    /// How many workers were sent for and have not come.
    pub fn expected(&self) -> usize {
        let asked = |seat: &&Seat| matches!(seat, Seat::Asked(..));
        self.table.lock().roster.seats.iter().filter(asked).count()
    }

    /// How a worker ended; `None` if it lives, or is long gone.
    pub fn exit_of(&self, pid: i32) -> Option<Exit> {
        let table = self.table.lock();
        let mut ends = table.roster.ends.iter().rev();
        ends.find(|(ended, _)| *ended == pid).map(|(_, exit)| *exit)
    }

    /// Seat, process number and birth of each worker, by seat.
    pub fn births(&self) -> Vec<(u32, i32, Stamp)> {
        let mut table = self.table.lock();
        let sitters = table.roster.sitters();
        sitters
            .map(|(worker, sitter)| (worker, sitter.pid, sitter.since))
            .collect()
    }

    /// Workers by process number: seat, alive or not.
    pub fn pids(&self) -> HashMap<i32, u32> {
        self.table
            .lock()
            .roster
            .sitters()
            .map(|(worker, sitter)| (sitter.pid, worker))
            .collect()
    }
}
