//! What the nurseries and the kernel tell, and what is done about it at once. Runs in the watcher's thread.

use super::hold::Hold;
use super::nursery::{Message, Nursery};
use super::policy::{Doom, Exit};
use super::pool::{Pool, UP};
use super::record::Job;
use super::roster::{Seat, Sitter};
use super::watcher::{CONTROL, Supervised, Watch};
use crate::fork::Inherited;
use crate::sys::{Stamp, advice};
use crate::wire::Report;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long the nursery's report of a death is waited for, in nanoseconds. It takes half a millisecond; with 200 ms, on a machine
/// whose CPUs others had, the nursery's imports came first now and then, and a death stayed without its signal.
const REPORT_NANOS: u64 = 1_000_000_000;

impl<J: Job> Pool<J> {
    /// A worker has been born, or the nursery has told of it once more, or late.
    pub(super) fn seat(&self, pid: i32, hold: Hold, watch: &Watch) {
        let mut table = self.table.lock();
        let broken = table.broken.is_some();
        let early = table.roster.early.iter();
        let early = early.clone().position(|(early, ..)| *early == pid);
        let report = early
            .map(|at| table.roster.early.swap_remove(at))
            .map(|(_, exit, peak)| (exit, peak));
        let unwatched = hold.pidfd.is_none();
        match table.roster.seats.get_mut(hold.worker as usize) {
            Some(seat) if seat.is_asked(hold.generation) => {
                let wanted = match seat {
                    Seat::Asked(asked) => asked.wanted,
                    _ => None,
                };
                *seat = Seat::Taken(Box::new(Sitter {
                    // Its end was told before its birth, and nobody will tell again.
                    gone: report.filter(|_| unwatched).map(|_| Stamp::now()),
                    report,
                    doom: broken.then_some(Doom::End),
                    wanted,
                    ..Sitter::new(pid, hold.clone())
                }));
                if broken {
                    hold.kill();
                } else if let Some(signal) = table.strike {
                    self.hit(hold.worker, &hold, signal);
                }
            }
            Some(Seat::Taken(sitter)) if sitter.hold.is_on_same(&hold) => {
                // Told of once more. Nobody else's descriptor is needed by one that has been taken in without a word.
                if sitter.hold.pidfd.is_none() {
                    sitter.hold.pidfd = hold.pidfd;
                } else if let Some(pidfd) = &hold.pidfd {
                    watch.remove(&**pidfd);
                }
            }
            _ => {
                // Nobody waits for it any more.
                if let Some(pidfd) = &hold.pidfd {
                    watch.remove(&**pidfd);
                }
                hold.kill();
            }
        }
    }

    fn hear(&self, nursery: &Arc<Nursery>, message: Message, watch: &Watch) {
        let Message::Report(report, pidfd) = message else {
            return;
        };
        match report {
            Report::Started {
                worker,
                generation,
                pid,
            } => {
                let pidfd = pidfd.map(Arc::new).filter(|pidfd| {
                    // One that can't be watched is reported by its nursery only.
                    watch.add(&**pidfd, watch.token(worker)).is_ok()
                });
                let hold = Hold {
                    pidfd,
                    nursery: nursery.clone(),
                    worker,
                    generation,
                };
                self.seat(pid, hold, watch);
                // It may have been at work for a while, and what was submitted since was left to it: it seemed to be coming.
                self.replace();
            }
            Report::Failed {
                worker,
                generation,
                text,
                code,
            } => {
                let text = match code.and_then(advice) {
                    Some(advice) => format!("{text}; {advice}"),
                    None => text,
                };
                self.refused((worker, generation), &text);
            }
            Report::Exited { pid, status, peak } => {
                let mut table = self.table.lock();
                let report = (Exit::of_status(status), peak * 1024);
                if let Some(sitter) = table.roster.find(pid) {
                    sitter.report = Some(report);
                    if sitter.hold.pidfd.is_none() {
                        sitter.gone = Some(Stamp::now());
                    }
                } else {
                    // Of those who never got a seat nobody asks: the oldest make room.
                    if table.roster.early.len() >= 64 {
                        table.roster.early.remove(0);
                    }
                    table.roster.early.push((pid, report.0, report.1));
                }
            }
            Report::Note(text) => self.say(text),
            Report::Ready => {
                nursery.set_ready();
                (self.said)(UP, Vec::new());
            }
        }
    }
}

impl<J: Job> Supervised for Pool<J> {
    fn event(&self, seat: u32, watch: &Watch) {
        if seat >= CONTROL {
            let found = {
                let table = self.table.lock();
                let mut nurseries = table.nurseries.iter();
                nurseries.find(|nursery| nursery.token == seat).cloned()
            };
            let Some(nursery) = found else { return };
            loop {
                match nursery.receive() {
                    Ok(Some(message)) => self.hear(&nursery, message, watch),
                    Ok(None) => return,
                    Err(_) => {
                        self.lose_nursery(&nursery, watch);
                        return;
                    }
                }
            }
        }
        self.sitter_of(seat, |sitter| {
            if sitter.gone.is_none() && sitter.hold.has_ended() {
                sitter.gone = Some(Stamp::now());
                if let Some(pidfd) = &sitter.hold.pidfd {
                    watch.remove(&**pidfd);
                }
            }
        });
    }

    fn tick(&self, watch: &Watch) -> Option<u64> {
        if self.is_inherited() {
            return None;
        }
        let now = Stamp::now();
        let (mut dead, mut waiting) = (Vec::new(), false);
        {
            let mut table = self.table.lock();
            for (worker, sitter) in table.roster.sitters() {
                let Some(gone) = sitter.gone else { continue };
                // The next nursery knows nothing of those whose own one is gone.
                if sitter.report.is_some() || sitter.bereft || now.since(gone) > REPORT_NANOS {
                    dead.push(worker);
                } else {
                    waiting = true;
                }
            }
        }
        for worker in dead {
            self.bury(worker);
        }
        self.settle_strays();
        let now = now.nanos();
        let resume = self.resume(now);
        // Before the limits, which are theirs too.
        let unheard = self.look_for_unheard(now, watch);
        self.end_if_empty();
        let next = [
            resume,
            unheard,
            self.look_at_starts(now),
            self.look_at_limits(now),
            self.look_at_leavers(now),
            self.arena.cool(now),
            self.break_if_failed(1_000_000_000),
            self.quit_by_force(now, watch),
            waiting.then_some(now + REPORT_NANOS / 4),
        ];
        let next = next.into_iter().flatten().min();
        self.armed_until
            .store(next.unwrap_or(u64::MAX), Ordering::SeqCst);
        next
    }

    fn is_over(&self) -> bool {
        let table = self.table.lock();
        table.finished || self.is_inherited()
    }
}

impl<J: Job> Inherited for Pool<J> {
    fn disown(&self) {
        self.inherited.store(true, Ordering::SeqCst);
        self.disown_locks();
    }
}
