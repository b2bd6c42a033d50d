//! What a dead worker leaves: its outcomes count, its tasks go back or fail, its seat is free.

use super::policy::{Action, Doom, Exit, Fate, Gone, after, fate};
use super::pool::{Pool, Table};
use super::record::{Breakage, Death, End, Job, Payload, Record};
use super::roster::Seat;
use crate::sys::{SIGKILL, Stamp, oom_kills, pidfd_exit_status, read_fd};
use crate::wire::{Look, PageSnapshot, Status};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A task that fails with its worker, or goes back to the front.
struct Lost<J> {
    failed: Vec<(Record<J>, Death)>,
    broken: Vec<Record<J>>,
}

impl<J: Job> Pool<J> {
    /// Settles everything that a dead worker leaves.
    pub(super) fn bury(&self, worker: u32) {
        // 1. What it has committed counts.
        {
            let mut readers = self.readers.lock();
            let Some(reader) = readers.get_mut(worker as usize) else {
                return;
            };
            self.read(worker, reader);
            reader.reset();
        }
        self.break_if_failed(0);
        let page = self.link.page(worker).snapshot();
        let kills = oom_kills().unwrap_or(0);
        let more_kills = self.oom_seen.swap(kills, Ordering::Relaxed) < kills;
        let dump = self.dumps.lock()[worker as usize].clone();
        let mut lost = Lost {
            failed: Vec::new(),
            broken: Vec::new(),
        };
        let (action, death, hand) = {
            let mut table = self.table.lock();
            let hand = self.hand();
            let Some(seat) = table.roster.seats.get_mut(worker as usize) else {
                return;
            };
            let Seat::Taken(sitter) = std::mem::take(seat) else {
                return;
            };
            let doom = sitter.doom.or(table.ended.then_some(Doom::End));
            let (exit, peak) = match sitter.report {
                Some((exit, peak)) => (exit, Some(peak)),
                None => (
                    pidfd_exit_status(&*sitter.pidfd).map_or(Exit::Unknown, Exit::of_status),
                    None,
                ),
            };
            let fatal = matches!(exit, Exit::Signal(4 | 6 | 7 | 8 | 11));
            let stack = sitter.stack.clone().or_else(|| {
                let text = read_fd(&*dump?)
                    .ok()
                    .filter(|text| fatal && !text.is_empty())?;
                Some(String::from_utf8_lossy(&text).into_owned())
            });
            let death = Death {
                pid: sitter.pid,
                worker,
                exit,
                doom,
                ran: None,
                peak,
                stack,
                out_of_memory: more_kills && exit == Exit::Signal(SIGKILL) && sitter.doom.is_none(),
                garbage: sitter.garbage,
            };
            // 2. What it had taken goes back, or fails; and so does what its garbage has hit.
            for index in 0..table.inflight.len() {
                let Some(record) = &table.inflight[index] else {
                    continue;
                };
                let position = record.position;
                let begun = match self.link.tasks().look(position) {
                    Look::Taken(taker) if taker == worker => {
                        page.running.is_some_and(|(now, _)| now == position)
                    }
                    Look::Garbage | Look::Free | Look::Cancelled => true,
                    Look::Taken(_) | Look::Ready => continue,
                };
                let limits = record.call.limits.clone();
                let ended = table.ended;
                let fate = fate(begun, ended, doom, limits.as_deref(), record.attempts);
                let bytes = self.copy_payload(&table, position);
                let Some(mut record) = self.take(&mut table, position) else {
                    continue;
                };
                record.large = None;
                match (fate, bytes) {
                    (Fate::Requeue | Fate::Retry, Some(bytes)) => {
                        record.call.payload = bytes;
                        record.attempts -= u32::from(fate == Fate::Requeue);
                        if fate == Fate::Retry {
                            self.retried.add(1);
                        }
                        record.job.placed(0);
                        let priority = record.priority();
                        table.backlog.push_front(priority, record);
                    }
                    _ => {
                        let since = page
                            .running
                            .map_or(0, |(_, since)| Stamp::now().nanos().saturating_sub(since));
                        let death = Death {
                            ran: Some(Duration::from_nanos(since)),
                            ..death.clone()
                        };
                        lost.failed.push((record, death));
                    }
                }
            }
            let gone = Gone {
                exit,
                doom,
                orderly: page.status == Some(Status::Leaving),
                worked: page.done > 0 || page.running.is_some(),
                lost_task: !lost.failed.is_empty(),
                stillborn_before: table.roster.stillborn,
                wanted: !table.closed || table.count + table.backlog.len() > 0,
            };
            table.roster.stillborn = if gone.worked || gone.orderly {
                0
            } else {
                table.roster.stillborn + 1
            };
            let action = after(&gone, self.settings.on_crash);
            if !gone.orderly && doom != Some(Doom::End) {
                self.deaths.add(1);
            }
            let tail = table.cursor.tail();
            self.link.tasks().rewind(tail);
            (action, death, hand)
        };
        merge(&mut self.past.lock(), &page);
        // 3. It sleeps no more, and a wake that it owed is made good.
        let bells = self.link.bells();
        bells.forget(worker);
        for (record, death) in lost.failed {
            self.failed.add(1);
            record.finish(End::Died(Box::new(death)));
        }
        for record in lost.broken {
            record.finish(End::Died(Box::new(death.clone())));
        }
        match action {
            Action::BreakStillborn => self.break_down(Breakage {
                text: "three workers in a row died before their first task".into(),
                cause: None,
                death: Some(death),
            }),
            Action::BreakCrashed => self.break_down(Breakage {
                text: "a worker died".into(),
                cause: None,
                death: Some(death),
            }),
            Action::Replace => self.replace(),
            Action::Nothing => {}
        }
        bells.wake_all();
        drop(hand);
        self.end_if_empty();
        self.kick();
    }

    /// Starts workers as long as there is work that nobody will do.
    pub(super) fn replace(&self) {
        self.refill();
        loop {
            let asked = self.want_worker(&mut self.table.lock());
            let Some((asked, nursery)) = asked else { break };
            self.ask(asked, &nursery);
        }
        if self.orphaned.load(Ordering::SeqCst) {
            self.bell.kick();
        }
    }

    /// A task's bytes: kept, or still in its slot. Those of a slot may have been written over: then its owner is told so.
    pub(super) fn copy_payload(&self, table: &Table<J>, position: u64) -> Option<Payload> {
        let index = (position & u64::from(self.link.shape().slots - 1)) as usize;
        let record = table.inflight.get(index)?.as_ref()?;
        if record.keeps_payload() {
            return Some(record.call.payload.clone());
        }
        let mut bytes = Vec::new();
        self.link.tasks().read(position, &mut bytes).ok()?;
        Some(bytes.into())
    }
}

fn merge(past: &mut PageSnapshot, page: &PageSnapshot) {
    past.done += page.done;
    past.failed += page.failed;
    past.busy += page.busy;
    past.idle += page.idle;
    past.waits.merge(&page.waits);
    past.runs.merge(&page.runs);
}
