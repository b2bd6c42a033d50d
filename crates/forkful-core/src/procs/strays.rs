//! Tasks that garbage has made nobody's, while no worker has given any: how they are found, by whoever waits and hears nothing.
//!
//! A slot that a stray write has hit is passed over by all workers; one below a hint that was written over is not come upon; one
//! that names a worker is left to it. None of that is heard of. What is found is settled by the watcher, as at a death.

use super::pool::{Pool, Table};
use super::record::Job;
use crate::deadline::Deadline;
use crate::sys::Stamp;
use crate::wire::Look;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long whoever waits for a pool sleeps at a time, and how far apart its slots are looked at.
pub(super) const LOOK: Duration = Duration::from_millis(500);

impl<J: Job> Pool<J> {
    /// Until when the background sleeps at most: it looks after the tasks of those who wait for it, and for nobody else.
    pub fn patience(&self) -> Deadline {
        let waited_for = self.interest.load(Ordering::SeqCst) > 0 && self.table.lock().count > 0;
        if waited_for {
            Deadline::after(LOOK)
        } else {
            Deadline::NEVER
        }
    }

    /// Looks whether all tasks of the ring are somebody's, or can be, unless that was done a moment ago. Cheap, and to be called
    /// after a drain that has found nothing.
    pub fn look_for_strays(&self) {
        let (now, last) = (Stamp::now().nanos(), self.looked.load(Ordering::Relaxed));
        let due = last.saturating_add(LOOK.as_nanos() as u64 * 9 / 10);
        let order = Ordering::Relaxed;
        if now < due
            || self
                .looked
                .compare_exchange(last, now, order, order)
                .is_err()
        {
            return;
        }
        let (tasks, bells) = (self.link.tasks(), self.link.bells());
        let mut table = self.table.lock();
        if table.count == 0 {
            return;
        }
        let tail = table.cursor.tail();
        let hint = tasks.hint(tail);
        let (mut ready, mut behind, mut lost) = (false, false, false);
        let mut doubtful: Option<(u64, u32)> = None;
        for record in table.inflight.iter().flatten() {
            let position = record.position;
            match tasks.look(position) {
                Look::Ready => {
                    ready = true;
                    behind |= position < hint;
                }
                Look::Taken(worker) => {
                    let running = self.link.page(worker).running();
                    // The oldest: later ones may have been taken just now.
                    if running.is_none_or(|(at, _)| at != position)
                        && doubtful.is_none_or(|(oldest, _)| position < oldest)
                    {
                        doubtful = Some((position, worker));
                    }
                }
                Look::Garbage | Look::Free | Look::Cancelled => lost = true,
            }
        }
        // A worker that has taken a task says so soon, or its outcome is read.
        lost |= doubtful.is_some() && doubtful == table.doubtful;
        table.doubtful = doubtful;
        if behind {
            tasks.rewind(tail);
        }
        // Who sleeps while there is something to do may have lost his bit.
        let rests = |worker: u32| self.link.page(worker).running().is_none();
        let rests = ready && table.roster.sitters().any(|(worker, _)| rests(worker));
        drop(table);
        if behind || rests {
            bells.wake_all();
        }
        if lost {
            self.call_for_strays();
        }
    }

    /// What keeps the ring from being filled, as its next slot has this task: none that a worker may still come upon?
    pub(super) fn look_at_block(&self, table: &Table<J>, position: u64) {
        let tail = table.cursor.tail();
        match self.link.tasks().look(position) {
            Look::Taken(_) => {}
            Look::Ready if position >= self.link.tasks().hint(tail) => {}
            Look::Ready => {
                self.link.tasks().rewind(tail);
                self.link.bells().wake_all();
            }
            Look::Garbage | Look::Free | Look::Cancelled => self.call_for_strays(),
        }
    }

    /// Has the watcher settle what is nobody's: it takes a while, and whoever has noticed may hold the interpreter's lock.
    pub(super) fn call_for_strays(&self) {
        if !self.strays.swap(true, Ordering::SeqCst) {
            (self.wake_watcher)();
        }
    }
}
