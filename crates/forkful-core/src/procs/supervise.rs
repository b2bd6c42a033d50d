//! The policy carried out: births, deaths, deadlines, limits, the pool's end. Runs in the watcher's thread.

use super::nursery::{Message, Nursery};
use super::policy::{Doom, Exit};
use super::pool::{Pool, UP};
use super::record::{Breakage, Job};
use super::roster::{Seat, Sitter};
use super::watcher::{CONTROL, Supervised, Watch};
use crate::fork::Inherited;
use crate::sys::{SIGKILL, Stamp, pidfd_exited, pidfd_signal};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How long the nursery's report of a death is waited for, in nanoseconds. It takes half a millisecond; with 200 ms, on a machine
/// whose CPUs others had, the nursery's imports came first now and then, and a death stayed without its signal.
const REPORT_NANOS: u64 = 1_000_000_000;

impl<J: Job> Pool<J> {
    /// Workers are made there from now on.
    pub fn set_nursery(&self, nursery: Nursery, watch: &Watch) {
        let nursery = Arc::new(nursery);
        watch.add(nursery.control(), watch.token(CONTROL));
        let asked = {
            let mut table = self.table.lock();
            if table.finished {
                drop(table);
                watch.remove(nursery.control());
                nursery.quit();
                nursery.reap();
                return;
            }
            table.nursery = Some(nursery);
            self.orphaned.store(false, Ordering::SeqCst);
            self.want_worker(&mut table)
        };
        if let Some((asked, nursery)) = asked {
            self.ask(asked, &nursery);
        }
        self.refill();
        // It may have been broken while this one was being made.
        self.end_if_empty();
    }

    /// Whether a nursery must be made before anything runs.
    pub fn wants_nursery(&self) -> bool {
        self.orphaned.load(Ordering::SeqCst) && !self.is_inherited() && {
            let table = self.table.lock();
            table.broken.is_none() && !table.finished && table.count + table.backlog.len() > 0
        }
    }

    /// No nursery could be made, or no worker on this seat.
    pub(super) fn not_started(&self, worker: u32, generation: u64, text: &str) {
        let broken = {
            let mut table = self.table.lock();
            let seat = &mut table.roster.seats[worker as usize];
            if !seat.is_asked(generation) {
                return;
            }
            *seat = Seat::Empty;
            table.roster.stillborn += 1;
            table.roster.stillborn >= super::policy::STILLBORN
        };
        if broken {
            let text = format!("workers could not be started: {text}");
            self.break_down(Breakage {
                text,
                cause: None,
                death: None,
            });
        } else {
            // Once more, as nobody else will ask for it.
            self.replace();
            self.end_if_empty();
            (self.wake_watcher)();
        }
    }

    fn hear(&self, message: Message, watch: &Watch) {
        match message {
            Message::Started {
                worker,
                generation,
                pid,
                pidfd,
            } => {
                let pidfd = Arc::new(pidfd);
                let mut table = self.table.lock();
                let broken = table.broken.is_some();
                let early = table
                    .roster
                    .early
                    .iter()
                    .position(|(early, ..)| *early == pid);
                let report = early
                    .map(|at| table.roster.early.swap_remove(at))
                    .map(|(_, exit, peak)| (exit, peak));
                match table.roster.seats.get_mut(worker as usize) {
                    Some(Seat::Asked(asked)) if asked.generation == generation => {
                        let wanted = asked.wanted;
                        table.roster.seats[worker as usize] = Seat::Taken(Box::new(Sitter {
                            pid,
                            pidfd: pidfd.clone(),
                            since: Stamp::now(),
                            gone: None,
                            report,
                            doom: broken.then_some(Doom::End),
                            stack: None,
                            garbage: false,
                            bereft: false,
                            wanted,
                        }));
                        let strike = table.strike;
                        drop(table);
                        watch.add(&*pidfd, watch.token(worker));
                        if broken {
                            let _ = pidfd_signal(&*pidfd, SIGKILL);
                        } else if let Some(signal) = strike {
                            self.hit(worker, &pidfd, signal);
                        }
                    }
                    _ => {
                        let _ = pidfd_signal(&*pidfd, SIGKILL);
                    }
                }
            }
            Message::Failed {
                worker,
                generation,
                text,
            } => self.not_started(worker, generation, &text),
            Message::Exited { pid, status, peak } => {
                let mut table = self.table.lock();
                let report = (Exit::of_status(status), peak * 1024);
                if let Some(sitter) = table.roster.find(pid) {
                    sitter.report = Some(report);
                } else if table.roster.early.len() < 64 {
                    table.roster.early.push((pid, report.0, report.1));
                }
            }
            Message::Note(text) => self.say(text),
            Message::Ready => (self.said)(UP, Vec::new()),
            Message::Unknown => {}
        }
    }

    /// The nursery is gone, and its workers with it.
    fn lose_nursery(&self, watch: &Watch) {
        let mut table = self.table.lock();
        let Some(nursery) = table.nursery.take() else {
            return;
        };
        watch.remove(nursery.control());
        for (_, sitter) in table.roster.sitters() {
            sitter.bereft = true;
        }
        for seat in &mut table.roster.seats {
            if matches!(seat, Seat::Asked(..)) {
                *seat = Seat::Empty;
            }
        }
        drop(table);
        // Before the pool is over: nothing of it is left behind then.
        nursery.reap();
        let mut table = self.table.lock();
        if table.quitting.is_some() {
            self.finish(&mut table);
        } else {
            self.orphaned.store(true, Ordering::SeqCst);
        }
        drop(table);
        self.end_if_empty();
        self.kick();
    }
}

impl<J: Job> Supervised for Pool<J> {
    fn event(&self, seat: u32, watch: &Watch) {
        if seat == CONTROL {
            loop {
                let Some(nursery) = self.table.lock().nursery.clone() else {
                    return;
                };
                match nursery.receive() {
                    Ok(Some(message)) => self.hear(message, watch),
                    Ok(None) => return,
                    Err(_) => {
                        self.lose_nursery(watch);
                        return;
                    }
                }
            }
        }
        self.sitter_of(seat, |sitter| {
            if sitter.gone.is_none() && pidfd_exited(&*sitter.pidfd) {
                sitter.gone = Some(Stamp::now());
                watch.remove(&*sitter.pidfd);
            }
        });
    }

    fn tick(&self) -> Option<u64> {
        if self.is_inherited() {
            return None;
        }
        let now = Stamp::now();
        let (mut dead, mut waiting) = (Vec::new(), false);
        {
            let mut table = self.table.lock();
            let alone = table.nursery.is_none();
            for (worker, sitter) in table.roster.sitters() {
                let Some(gone) = sitter.gone else { continue };
                if sitter.report.is_some() || alone || now.since(gone) > REPORT_NANOS {
                    dead.push(worker);
                } else {
                    waiting = true;
                }
            }
        }
        for worker in dead {
            self.bury(worker);
        }
        if self.table.lock().roster.stillborn > 0 {
            // One could not be started, and nobody else may come to ask for another.
            self.replace();
        }
        self.end_if_empty();
        let mut next = self.look_at_limits(now.nanos());
        let failing = self.break_if_failed(1_000_000_000);
        for at in [failing, self.quit_by_force(now)].into_iter().flatten() {
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        if waiting {
            let soon = now.nanos() + REPORT_NANOS / 4;
            next = Some(next.map_or(soon, |next| next.min(soon)));
        }
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
