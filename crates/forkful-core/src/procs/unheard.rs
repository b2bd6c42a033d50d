//! Workers that are at work while nobody tells of their birth: their nursery is stopped, hangs, or is gone.
//!
//! A nursery tells of a worker after it has made it, and that may be at work by then. Stopped in between, the nursery would keep the
//! worker from being killed, for its task, for time or size, or with the pool, for as long as that lasts.

use super::hold::Hold;
use super::nursery::Nursery;
use super::pool::{Pool, Table};
use super::record::Job;
use super::roster::{Seat, Sitter};
use super::starts::LOOK_NANOS;
use super::watcher::Watch;
use crate::sys::{
    Stamp, file_identity, maps_file, parent_of, pidfd_exited, pidfd_open, process_state,
};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

impl<J: Job> Pool<J> {
    /// Who sits on this seat by his own word, which any worker may have written over.
    fn named(&self, worker: u32) -> Option<i32> {
        i32::try_from(self.link.page(worker).pid())
            .ok()
            .filter(|pid| *pid > 0)
    }

    /// Whether there is any worker, heard of or not.
    pub(super) fn has_come(&self, table: &Table<J>) -> bool {
        let mut seats = (0..).zip(&table.roster.seats);
        seats.any(|(worker, seat)| match seat {
            Seat::Empty => false,
            // One that has died unheard keeps nobody waiting.
            Seat::Asked(_) => self.named(worker).is_some_and(is_there),
            Seat::Taken(_) => true,
        })
    }

    /// Takes in those of whom nobody has told for a while; when to look again.
    pub(super) fn look_for_unheard(&self, now: u64, watch: &Watch) -> Option<u64> {
        let (mut next, mut found): (Option<u64>, Vec<(i32, Hold)>) = (None, Vec::new());
        {
            let mut table = self.table.lock();
            for worker in 0..self.settings.workers {
                let Some(Seat::Asked(asked)) = table.roster.seats.get(worker as usize) else {
                    continue;
                };
                let (generation, token) = (asked.generation, asked.nursery);
                let first = asked.since.nanos() + LOOK_NANOS;
                let at = if now < first { first } else { now + LOOK_NANOS };
                next = Some(next.map_or(at, |next| next.min(at)));
                let mut nurseries = table.nurseries.iter();
                if now >= first
                    && let Some(nursery) = nurseries.find(|one| one.token == token).cloned()
                    && let Some(pid) = self.named(worker)
                    && table.roster.find(pid).is_none()
                {
                    let hold = Hold {
                        pidfd: None,
                        nursery,
                        worker,
                        generation,
                    };
                    found.push((pid, hold));
                }
            }
        }
        for (pid, hold) in found {
            let Some(pidfd) = self.proven(pid, &hold.nursery).map(Arc::new) else {
                continue;
            };
            if watch.add(&*pidfd, watch.token(hold.worker)).is_ok() {
                let pidfd = Some(pidfd);
                self.seat(pid, Hold { pidfd, ..hold }, watch);
            }
        }
        next
    }

    /// A process of which only the shared memory says that it is a worker, if the kernel says so too: this nursery's child, and one
    /// that has this pool's memory. Nobody else's is to be killed for what a task has written there.
    fn proven(&self, pid: i32, nursery: &Nursery) -> Option<OwnedFd> {
        let pidfd = pidfd_open(pid).ok()?;
        let link = file_identity(self.link.fd()?).ok()?;
        let ours = parent_of(pid) == Some(nursery.pid)
            && maps_file(pid, link)
            && !pidfd_exited(&nursery.pidfd);
        // Seen last, so that all of this was said of the process behind the descriptor.
        (ours && !pidfd_exited(&pidfd)).then_some(pidfd)
    }

    /// Waits until workers of a dead nursery that came up before it could tell of their birth are gone too.
    pub(super) fn await_unheard(&self, nursery: &Nursery) {
        let asked: Vec<u32> = {
            let table = self.table.lock();
            let seats = (0..).zip(&table.roster.seats);
            seats
                .filter(|(_, seat)| seat.is_asked_of(nursery.token))
                .map(|(worker, _)| worker)
                .collect()
        };
        if !asked.is_empty() {
            // Its socket closes before the kernel tells its children.
            soon(|| pidfd_exited(&nursery.pidfd));
        }
        for pid in asked.into_iter().filter_map(|worker| self.named(worker)) {
            soon(|| !is_there(pid));
        }
    }

    /// This nursery answers no more. Seats that were asked of it are free; one whose worker has come up may have begun a task, which is
    /// to be told of: as a sitter it is buried like others.
    pub(super) fn vacate(&self, table: &mut Table<J>, nursery: &Arc<Nursery>) {
        for (worker, seat) in (0..).zip(&mut table.roster.seats) {
            let generation = match seat {
                Seat::Asked(asked) if asked.nursery == nursery.token => asked.generation,
                _ => continue,
            };
            *seat = self.named(worker).map_or(Seat::Empty, |pid| {
                let hold = Hold {
                    pidfd: None,
                    nursery: nursery.clone(),
                    worker,
                    generation,
                };
                let mut sitter = Sitter::new(pid, hold);
                sitter.gone = Some(Stamp::now());
                sitter.bereft = true;
                Seat::Taken(Box::new(sitter))
            });
        }
    }
}

/// Whether a process has not ended.
fn is_there(pid: i32) -> bool {
    !matches!(process_state(pid), None | Some('Z' | 'X'))
}

/// Waits a little until something is so.
fn soon(is_so: impl Fn() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}
