//! How a pool ends: closed, cancelled, broken, killed.

use super::hands::Kept;
use super::hold::Hold;
use super::policy::Doom;
use super::pool::{Pool, Table};
use super::record::{Breakage, End, Job};
use crate::sys::{SIGINT, SIGKILL, Stamp};
use crate::wire::{Look, Status};
use std::sync::Arc;

/// Where a task was found that is to be stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Struck {
    /// With a worker, which will be killed if it runs the task.
    Asked,
    /// With nobody: it can be cancelled.
    Waiting,
    /// Out of the table: its attempt has ended, and its owner is being told.
    Out,
}

impl<J: Job> Pool<J> {
    /// Fails everything, now and later, and ends the workers.
    pub fn break_down(&self, breakage: Breakage) {
        let breakage = Arc::new(breakage);
        let (lost, nurseries, hand) = {
            let mut table = self.whole_table();
            if table.broken.is_some() {
                return;
            }
            self.hands.end();
            let hand = self.hand();
            table.broken = Some(breakage.clone());
            let mut lost = table.backlog.take();
            for index in 0..table.inflight.len() {
                let position = table.inflight[index].as_ref().map(|record| record.position);
                lost.extend(position.and_then(|position| self.take(&mut table, position)));
            }
            table.broken_at = Some(Stamp::now());
            for (worker, sitter) in table.roster.sitters() {
                sitter.doom.get_or_insert(Doom::End);
                // One that has just said why it can't begin may have more to do on its way out, and others say the same.
                let failing = breakage.cause.is_some()
                    && self.link.page(worker).status() == Some(Status::Starting);
                if !failing {
                    sitter.hold.kill();
                }
            }
            self.link.close();
            (lost, table.nurseries.clone(), hand)
        };
        for mut record in lost {
            self.unload(&mut record);
            if record.job.is_cancelled() {
                record.job.dismiss();
            } else {
                self.settle(record, End::Broken(breakage.clone()));
            }
        }
        for nursery in nurseries {
            nursery.quit();
        }
        drop(hand);
        self.end_if_empty();
        self.kick();
    }

    /// A worker has said that it can't begin. It is given `patience` to end, with what it wants to write down.
    pub(super) fn break_if_failed(&self, patience: u64) -> Option<u64> {
        let failure = {
            let mut failure = self.failure.lock();
            let since = failure.as_ref()?.1;
            if Stamp::now().since(since) < patience {
                return Some(since.nanos() + patience);
            }
            failure.take()
        };
        if let Some((cause, _)) = failure {
            let text = "a worker's initializer failed".into();
            self.break_down(Breakage {
                text,
                cause: Some(cause),
                death: None,
            });
        }
        None
    }

    /// Takes no more tasks, and ends the workers when the last one is done.
    pub fn close(&self) {
        {
            let mut table = self.table.lock();
            if table.closed {
                return;
            }
            table.closed = true;
            self.hands.end();
            let _ = self.close_if_idle(&mut table);
        }
        // From now on somebody must notice the last outcome.
        self.interest_on();
        self.end_if_empty();
        (self.wake_watcher)();
    }

    /// Takes out everything that no worker has. Its owners are to be told that it is cancelled while the pool is kept.
    pub fn cancel_pending(self: &Arc<Self>) -> (Vec<J>, Kept<J>) {
        let (lost, kept) = {
            let mut table = self.whole_table();
            let kept = self.keep();
            let mut lost = table.backlog.take();
            table.dead = 0;
            for index in 0..table.inflight.len() {
                let position = table.inflight[index].as_ref().map(|record| record.position);
                if let Some(position) = position
                    && self.link.tasks().cancel(position)
                {
                    lost.extend(self.take(&mut table, position));
                }
            }
            (lost, kept)
        };
        let mut jobs = Vec::new();
        for mut record in lost {
            self.unload(&mut record);
            if record.job.is_cancelled() {
                record.job.dismiss();
            } else {
                self.cancelled.add(1);
                jobs.push(record.job);
            }
        }
        (jobs, kept)
    }

    /// Its owner ends it, in a hurry: no more tasks, and none again; what no worker has is cancelled, as by `cancel_pending`.
    pub fn end(self: &Arc<Self>) -> (Vec<J>, Kept<J>) {
        self.table.lock().ended = true;
        self.close();
        self.cancel_pending()
    }

    /// Interrupts the workers that run something, their initializer included.
    pub fn interrupt(&self) {
        let mut table = self.table.lock();
        for (worker, sitter) in table.roster.sitters() {
            let page = self.link.page(worker);
            let starts = page.pid() != 0 && page.status() == Some(Status::Starting);
            if starts || page.running().is_some() {
                sitter.hold.signal(SIGINT);
            }
        }
    }

    /// Sends a signal that ends them to all workers, of a pool that [`Pool::end`] has ended; to those that are being born when
    /// they are heard of.
    pub fn strike(&self, signal: i32) {
        {
            let mut table = self.table.lock();
            // From the first one on, or from the kill on that follows it.
            if table.struck_at.is_none() || signal == SIGKILL && table.strike != Some(SIGKILL) {
                table.struck_at = Some(Stamp::now());
            }
            table.strike = Some(signal);
            for (worker, sitter) in table.roster.sitters() {
                self.hit(worker, &sitter.hold, signal);
            }
        }
        (self.wake_watcher)();
    }

    /// A signal that ends a worker. One that has not come up yet might lose it: a template ignores what its parent handles.
    pub(super) fn hit(&self, worker: u32, hold: &Hold, signal: i32) {
        let up = self.link.page(worker).pid() != 0;
        if !hold.signal(if up { signal } else { SIGKILL }) {
            hold.kill();
        }
    }

    /// Sends the workers away when nothing will come any more; if it has, [`Pool::end_if_empty`] is to be called without the lock.
    #[must_use]
    pub(super) fn close_if_idle(&self, table: &mut Table<J>) -> bool {
        let idle = table.closed
            && table.count == 0
            && table.backlog.len() <= table.dead
            && self.hands.are_empty()
            && !self.link.is_closed();
        if idle {
            self.link.close();
            self.link.bells().wake_all();
        }
        idle
    }

    /// The pool is over when it is closed or broken, every task's owner knows of its end, and the last worker is gone.
    pub(super) fn end_if_empty(&self) {
        let nurseries = {
            let mut table = self.table.lock();
            let over = table.broken.is_some() || table.closed && self.link.is_closed();
            if !over || table.roster.occupied() > 0 || table.finished || table.quitting.is_some() {
                return;
            }
            if !self.hands.are_empty() {
                // Whoever puts down the last one comes here.
                return;
            }
            table.quitting = Some(Stamp::now());
            // It is over when the nursery is gone too: nothing is left behind.
            if table.nurseries.is_empty() {
                self.finish(&mut table);
            }
            table.nurseries.clone()
        };
        for nursery in &nurseries {
            nursery.quit();
        }
        if nurseries.is_empty() {
            self.kick();
        }
        (self.wake_watcher)();
    }

    /// Nothing comes any more. What only workers need goes now, as the executor may be kept long.
    pub(super) fn finish(&self, table: &mut Table<J>) {
        table.finished = true;
        self.arena.retire();
        self.dumps.lock().fill(None);
    }

    /// Kills the worker that runs this task, if it still does; its owner hears of it as of a death. Asynchronous. `place` says
    /// what [`Job::placed`] was told last, and is called under the table's lock.
    pub fn kill(&self, place: impl FnOnce() -> u64) -> Struck {
        let mut table = self.table.lock();
        let Some(position) = place().checked_sub(1) else {
            return Struck::Waiting;
        };
        let index = self.index(position);
        let Some(Some(record)) = table.inflight.get(index) else {
            return Struck::Out;
        };
        if record.position != position {
            return Struck::Out;
        }
        let Look::Taken(worker) = self.link.tasks().look(position) else {
            return Struck::Waiting;
        };
        // First, so that nobody runs it again whatever its worker dies of.
        record.job.give_up();
        if !table.roster.want(worker, position, Doom::Killed) {
            return Struck::Waiting;
        }
        drop(table);
        (self.wake_watcher)();
        Struck::Asked
    }

    /// A worker has sent garbage, unless it is another one by now.
    pub(super) fn doom_garbage(&self, worker: u32) {
        let readers = self.readers.lock();
        if !readers
            .get(worker as usize)
            .is_some_and(|reader| reader.is_broken())
        {
            return;
        }
        let mut table = self.table.lock();
        if let Some(sitter) = table.roster.sitter(worker) {
            sitter.garbage = true;
            sitter.doom.get_or_insert(Doom::Garbage);
            sitter.hold.kill();
        }
    }
}
