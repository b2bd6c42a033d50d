//! How a pool ends: closed, cancelled, broken, killed.

use super::policy::Doom;
use super::pool::{Pool, Table};
use super::record::{Breakage, End, Job};
use crate::sys::{SIGKILL, Stamp, pidfd_signal};
use crate::wire::{Look, Status};
use std::sync::Arc;

impl<J: Job> Pool<J> {
    /// Fails everything, now and later, and ends the workers.
    pub fn break_down(&self, breakage: Breakage) {
        let breakage = Arc::new(breakage);
        let (lost, nursery) = {
            let mut table = self.table.lock();
            if table.broken.is_some() {
                return;
            }
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
                    let _ = pidfd_signal(&*sitter.pidfd, SIGKILL);
                }
            }
            self.link.close();
            (lost, table.nursery.clone())
        };
        for record in lost {
            if record.job.is_cancelled() {
                record.job.dismiss();
            } else {
                self.failed.add(1);
                record.finish(End::Broken(breakage.clone()));
            }
        }
        if let Some(nursery) = nursery {
            nursery.quit();
        }
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
            self.close_if_idle(&mut table);
        }
        // From now on somebody must notice the last outcome.
        self.interest_on();
        self.end_if_empty();
        (self.wake_watcher)();
    }

    /// Hands everything that no worker has back to its owner as cancelled.
    pub fn cancel_pending(&self) {
        let lost = {
            let mut table = self.table.lock();
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
            self.close_if_idle(&mut table);
            lost
        };
        for record in lost {
            if record.job.is_cancelled() {
                record.job.dismiss();
            } else {
                self.cancelled.add(1);
                record.finish(End::Cancelled);
            }
        }
        self.kick();
    }

    /// Sends a signal to every worker, or to those that run something.
    pub fn signal(&self, signal: i32, only_busy: bool) {
        let mut table = self.table.lock();
        for (worker, sitter) in table.roster.sitters() {
            if !only_busy || self.link.page(worker).running().is_some() {
                let _ = pidfd_signal(&*sitter.pidfd, signal);
            }
        }
    }

    pub(super) fn close_if_idle(&self, table: &mut Table<J>) {
        if table.closed
            && table.count == 0
            && table.backlog.len() <= table.dead
            && !self.link.is_closing()
        {
            self.link.close();
            self.link.bells().wake_all();
        }
    }

    /// The pool is over when it is closed or broken and the last worker is gone.
    pub(super) fn end_if_empty(&self) {
        let nursery = {
            let mut table = self.table.lock();
            let over = table.broken.is_some() || table.closed && self.link.is_closing();
            if !over || table.roster.occupied() > 0 || table.finished || table.quitting.is_some() {
                return;
            }
            table.quitting = Some(Stamp::now());
            // It is over when the nursery is gone too: nothing is left behind.
            table.finished = table.nursery.is_none();
            table.nursery.clone()
        };
        match nursery {
            Some(nursery) => nursery.quit(),
            None => self.kick(),
        }
        (self.wake_watcher)();
    }

    /// Kills the worker that runs this task, if it still does; its owner hears of it as of a death. Asynchronous.
    pub fn kill(&self, place: u64) -> bool {
        let mut table = self.table.lock();
        let Some(position) = place.checked_sub(1) else {
            return false;
        };
        if !self.is_inflight(&table, position) {
            return false;
        }
        let Look::Taken(worker) = self.link.tasks().look(position) else {
            return false;
        };
        let Some(sitter) = table.roster.sitter(worker) else {
            return false;
        };
        sitter.wanted = Some((position, Doom::Killed));
        drop(table);
        (self.wake_watcher)();
        true
    }

    /// A worker has sent garbage.
    pub(super) fn doom_garbage(&self, worker: u32) {
        let mut table = self.table.lock();
        if let Some(sitter) = table.roster.sitter(worker) {
            sitter.garbage = true;
            sitter.doom.get_or_insert(Doom::Garbage);
            let _ = pidfd_signal(&*sitter.pidfd, SIGKILL);
        }
    }
}
