//! What a dead worker leaves: its outcomes count, its tasks go back or fail, its seat is free.

use super::garbage::Told;
use super::policy::{Action, Doom, Exit, Fate, Gone, after, fate};
use super::pool::{Pool, Table};
use super::record::{Breakage, Death, End, Job, Payload, Record};
use super::roster::Seat;
use super::watcher::Watcher;
use crate::sys::{SIGKILL, Stamp, oom_kills, read_text};
use crate::wire::{Look, PageSnapshot, Status};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// A worker that has been there for so long without a task has not died of its start.
const RESTED_NANOS: u64 = 100_000_000;

/// Whether it was ready for tasks and had none to do: a pool may have its workers before it has work.
fn has_rested(page: &PageSnapshot, end: Stamp) -> bool {
    page.status == Some(Status::Idle) && end.nanos().saturating_sub(page.idle_since) > RESTED_NANOS
}

/// Tasks that fail, each with the death that it is told.
pub(super) type Lost<J> = Vec<(Record<J>, Death)>;

impl<J: Job> Pool<J> {
    /// Settles everything that a dead worker leaves.
    pub(super) fn bury(&self, worker: u32) {
        // 1. What it has committed counts.
        let claimed = {
            let mut readers = self.readers.lock();
            let Some(reader) = readers.get_mut(worker as usize) else {
                return;
            };
            self.read(worker, reader);
            let claimed = reader.claimed();
            reader.reset();
            claimed
        };
        let delivery = self.delivery.lock().clone();
        if let Some(delivery) = delivery {
            // What it has brought in its last moment is taken in first.
            if let Ok(watcher) = Watcher::current() {
                watcher.serve_hatch();
            }
            delivery.bury(worker);
        }
        self.break_if_failed(0);
        let page = self.link.page(worker).snapshot();
        let kills = oom_kills().unwrap_or(0);
        let more_kills = self.oom_seen.swap(kills, Ordering::Relaxed) < kills;
        let dump = self.dumps.lock()[worker as usize].clone();
        let mut lost = Lost::new();
        let (action, death, garbage, hand) = {
            // Put down without the lock, on every way out of here.
            let hand;
            let mut table = self.table.lock();
            hand = self.hand();
            let Some(seat) = table.roster.seats.get_mut(worker as usize) else {
                return;
            };
            let sitter = match std::mem::take(seat) {
                Seat::Taken(sitter) => sitter,
                other => {
                    // Somebody was asked for, and still comes.
                    *seat = other;
                    return;
                }
            };
            // Under the lock: once it is free, the next one on this seat may have some.
            self.arena.bury(worker);
            let doom = sitter.doom.or(table.ended.then_some(Doom::End));
            let (exit, peak) = match sitter.report {
                Some((exit, peak)) => (exit, Some(peak)),
                None => (sitter.hold.exit(), None),
            };
            table.roster.remember(sitter.pid, exit);
            // Its burial comes later: it waits for the report, and perhaps for others.
            let end = sitter.gone.unwrap_or_else(Stamp::now);
            let fatal = matches!(exit, Exit::Signal(4 | 6 | 7 | 8 | 11));
            let stack = sitter.stack.clone().or_else(|| {
                let text = read_text(&*dump?).ok()?;
                (fatal && !text.is_empty()).then_some(text)
            });
            let death = Death {
                pid: sitter.pid,
                worker,
                exit,
                doom,
                ran: None,
                peak,
                stack,
                limit: self
                    .settings
                    .memory_limit
                    .map(|limit| (limit, self.settings.sampling)),
                out_of_memory: more_kills && exit == Exit::Signal(SIGKILL) && sitter.doom.is_none(),
                bereft: sitter.bereft && sitter.doom.is_none() && sitter.report.is_none(),
                known: true,
            };
            let told = Told::of(&page, sitter.pid, table.cursor.tail());
            let intact = told != Told::Garbage && !sitter.garbage;
            // Somebody has told the workers to leave, and it was not us.
            let mut garbage = !intact || self.link.is_closing() && !self.link.is_closed();
            // 2. What it had taken goes back, or fails.
            for index in 0..table.inflight.len() {
                let Some(record) = &table.inflight[index] else {
                    continue;
                };
                let position = record.position;
                let ran = told == Told::Running(position) || claimed == Some(position);
                match self.link.tasks().look(position) {
                    Look::Taken(taker) if taker == worker => {}
                    Look::Taken(_) | Look::Ready => {
                        // It ran what its slot calls another's, who would never have done with it.
                        garbage |= ran;
                        continue;
                    }
                    Look::Garbage | Look::Free | Look::Cancelled => {
                        garbage = true;
                        if !ran {
                            continue;
                        }
                    }
                }
                // A page that is garbage does not say that it had not begun.
                let begun = ran || !matches!(told, Told::Running(_) | Told::Resting);
                let since = page.running.filter(|(at, _)| *at == position);
                let death = Death {
                    ran: since
                        .map(|(_, since)| end.since(Stamp::from_nanos(since)))
                        .map(Duration::from_nanos),
                    ..death.clone()
                };
                self.part_with(&mut table, position, begun, death, &mut lost);
            }
            let gone = Gone {
                exit,
                doom,
                with_nursery: sitter.bereft,
                orderly: intact && page.status == Some(Status::Leaving),
                worked: page.done > 0 || page.running.is_some() || has_rested(&page, end),
                lost_task: !lost.is_empty(),
                stillborn_before: table.roster.stillborn,
                wanted: !table.closed || table.count + table.backlog.len() > 0,
            };
            if gone.worked || gone.orderly {
                table.roster.stillborn = 0;
                table.roster.starts.came_up();
            } else if gone.is_stillborn() {
                table.roster.stillborn += 1;
            }
            let action = after(&gone, self.settings.on_crash);
            if !gone.orderly && doom != Some(Doom::End) {
                self.deaths.add(1);
            }
            let tail = table.cursor.tail();
            self.link.tasks().rewind(tail);
            if intact {
                merge(&mut self.past.lock(), &page);
            }
            (action, death, garbage.then_some(told), hand)
        };
        if let Some(told) = garbage {
            self.settle_garbage(&death, told, &mut lost);
        }
        // 3. It sleeps no more, and a wake that it owed is made good.
        let bells = self.link.bells();
        bells.forget(worker);
        for (record, death) in lost {
            self.settle(record, End::Died(Box::new(death)));
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
            if self.ask(asked, &nursery) {
                self.bell.kick();
            }
        }
        if self.orphaned.load(Ordering::SeqCst) {
            self.bell.kick();
        }
    }

    /// Gives a task that its worker is lost to back to the front, or takes it out for its owner to be told of this death.
    pub(super) fn part_with(
        &self,
        table: &mut Table<J>,
        position: u64,
        begun: bool,
        death: Death,
        lost: &mut Lost<J>,
    ) {
        let bytes = self.copy_payload(table, position);
        let Some(mut record) = self.take_stowed(table, position) else {
            return;
        };
        record.large = record.large.take().and_then(|large| large.loan_only());
        let loan = record.loan();
        let limits = record.call.limits.as_deref();
        let ended = table.ended || begun && record.job.is_given_up();
        match (
            fate(begun, ended, death.doom, limits, record.attempts),
            bytes,
        ) {
            (fate @ (Fate::Requeue | Fate::Retry), Some(bytes)) => {
                record.call.payload = bytes;
                if let Some(offset) = loan {
                    if fate == Fate::Requeue {
                        self.arena.place(offset, None);
                    } else {
                        // The task may have written there.
                        self.arena.withdraw(offset, Some(position));
                        record.large = None;
                    }
                }
                record.attempts -= u32::from(fate == Fate::Requeue);
                if fate == Fate::Retry {
                    self.retried.add(1);
                }
                record.job.placed(0);
                let priority = record.priority();
                table.backlog.push_front(priority, record);
            }
            _ => {
                if let Some(offset) = loan {
                    self.arena.withdraw(offset, Some(position));
                }
                lost.push((record, death));
            }
        }
    }

    /// A task's bytes: kept, or in the area, where no worker can write.
    fn copy_payload(&self, table: &Table<J>, position: u64) -> Option<Payload> {
        let record = table.inflight.get(self.index(position))?.as_ref()?;
        let Some(large) = record.large.as_ref().filter(|_| !record.keeps_payload()) else {
            return Some(record.call.payload.clone());
        };
        let Some(extent) = &large.extent else {
            return Some(record.call.payload.clone());
        };
        let mut bytes = Vec::new();
        self.link
            .read_area(extent.offset, large.len, &mut bytes)
            .ok()?;
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
