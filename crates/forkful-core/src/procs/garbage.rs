//! What is done where shared memory holds garbage: what it has hit is found out, and what the parent knows is written anew.
//!
//! A task may have written over any word that workers can write (its own worker's or another's), and nobody can tell whose task
//! it was. What is certain goes on; what is not is never run twice unasked.

use super::bury::Lost;
use super::policy::{Doom, Exit};
use super::pool::Pool;
use super::record::{Death, End, Job};
use super::roster::Seat;
use crate::sys::process_state;
use crate::wire::{Look, PageSnapshot, Status};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// What a worker's page says of it, as far as it can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It has not come up.
    Nothing,
    /// It runs no task.
    Resting,
    /// It runs this one.
    Running(u64),
    /// Another one's words, or no words at all.
    Garbage,
}

impl Told {
    /// From the page of a process; `tail` is behind the last position that was given out.
    pub fn of(page: &PageSnapshot, pid: i32, tail: u64) -> Told {
        match (page.running, page.status) {
            (None, Some(Status::Starting)) if page.pid == 0 => Told::Nothing,
            _ if i64::from(page.pid) != i64::from(pid) => Told::Garbage,
            (_, None) => Told::Garbage,
            (Some((position, _)), _) if position >= tail => Told::Garbage,
            (Some((position, _)), _) => Told::Running(position),
            (None, _) => Told::Resting,
        }
    }
}

/// How often, and how far apart, the workers are looked at that may just have taken a task.
const LOOKS: (u32, Duration) = (200, Duration::from_micros(100));

/// What was seen of the slots before anything was done about them.
struct Seen {
    /// Tasks whose slots hold garbage.
    hit: Vec<u64>,
    /// Tasks whose slots name a worker that does not say that it runs them.
    named: Vec<(u64, u32)>,
    /// Workers that may have taken a task and not said so yet; with the numbers of their processes.
    takers: Vec<(u32, i32)>,
}

impl Seen {
    fn is_taker(&self, worker: u32) -> bool {
        self.takers.iter().any(|(taker, _)| *taker == worker)
    }
}

impl<J: Job> Pool<J> {
    /// Settles what garbage has hit besides the worker whose death this is, and whose page told this.
    pub(super) fn settle_garbage(&self, death: &Death, told: Told, lost: &mut Lost<J>) {
        let seen = self.look_at_slots();
        // It may have had any of the tasks that nobody else says he has.
        let mut certain =
            seen.takers.is_empty() && matches!(told, Told::Running(_) | Told::Resting);
        let tasks = self.link.tasks();
        // Nobody else reads meanwhile: whose page says no more that it runs a task has committed its outcome, which is read here.
        let mut readers = self.readers.lock();
        let mut table = self.table.lock();
        let tail = table.cursor.tail();
        let (mut running, mut resting) = (Vec::new(), Vec::new());
        for (worker, sitter) in table.roster.sitters() {
            match Told::of(&self.link.page(worker).snapshot(), sitter.pid, tail) {
                Told::Running(position) => running.push((position, worker)),
                Told::Resting => resting.push(worker),
                // A page of zeros looks like that of a worker that has not come up.
                Told::Nothing => certain = false,
                Told::Garbage => {
                    certain = false;
                    sitter.garbage = true;
                    sitter.doom.get_or_insert(Doom::Garbage);
                    sitter.hold.kill();
                }
            }
        }
        for (worker, seat) in (0..).zip(&table.roster.seats) {
            // It may be at work before its birth is heard of.
            if matches!(seat, Seat::Asked(_)) && self.link.page(worker).pid() != 0 {
                match self.link.page(worker).running() {
                    Some((position, _)) => running.push((position, worker)),
                    None => certain = false,
                }
            }
        }
        for &(position, worker) in &running {
            let wrong = match tasks.look(position) {
                Look::Ready => false,
                Look::Taken(other) => {
                    !running.contains(&(position, other))
                        && seen.named.contains(&(position, other))
                        && !seen.is_taker(other)
                }
                _ => true,
            };
            if wrong && self.is_inflight(&table, position) {
                // Its worker does not care what the slot says, and its outcome will be believed again.
                tasks.give(position, worker);
            }
        }
        drop(table);
        for (worker, reader) in (0..).zip(readers.iter_mut()) {
            self.read(worker, reader);
            reader.restore();
        }
        let claimed: Vec<_> = readers.iter().filter_map(|ring| ring.claimed()).collect();
        drop(readers);
        self.library.lock().restore();
        self.link.restore(self.interest.load(Ordering::SeqCst) > 0);
        let mut table = self.table.lock();
        for index in 0..table.inflight.len() {
            let Some(record) = &table.inflight[index] else {
                // Nobody shall find a task where there is none.
                tasks.wipe(index as u64);
                continue;
            };
            let position = record.position;
            let begun = match tasks.look(position) {
                Look::Ready => continue,
                Look::Taken(worker) => {
                    // It rests, or runs another one, and would not come to this one any more.
                    let other = running.iter().any(|(_, other)| *other == worker);
                    let nobody = matches!(
                        table.roster.seats.get(worker as usize),
                        None | Some(Seat::Empty)
                    );
                    let stray = seen.named.contains(&(position, worker))
                        && !running.contains(&(position, worker))
                        && !seen.is_taker(worker)
                        && (other || nobody || resting.contains(&worker));
                    if !stray {
                        continue;
                    }
                    true
                }
                _ => !certain || !seen.hit.contains(&position) || claimed.contains(&position),
            };
            let death = Death {
                exit: Exit::Unknown,
                doom: Some(Doom::Garbage),
                ran: None,
                peak: None,
                stack: None,
                out_of_memory: false,
                bereft: false,
                known: false,
                ..death.clone()
            };
            self.part_with(&mut table, position, begun, death, lost);
        }
        table.doubtful = None;
        tasks.rewind(table.cursor.tail());
    }

    /// Settles what was found without a death, if there is anything.
    pub(super) fn settle_strays(&self) {
        if !self.strays.swap(false, Ordering::SeqCst) {
            return;
        }
        let hand = {
            let table = self.table.lock();
            if table.count == 0 {
                return;
            }
            self.hand()
        };
        let nobody = self.strange_death(0);
        let mut lost = Lost::new();
        self.settle_garbage(&nobody, Told::Resting, &mut lost);
        for (record, death) in lost {
            self.settle(record, End::Died(Box::new(death)));
        }
        self.replace();
        self.link.bells().wake_all();
        drop(hand);
        self.end_if_empty();
        self.kick();
    }

    /// What is known of the end of a task of which only garbage has come.
    pub(super) fn strange_death(&self, worker: u32) -> Death {
        Death {
            pid: 0,
            worker,
            exit: Exit::Unknown,
            doom: Some(Doom::Garbage),
            ran: None,
            peak: None,
            stack: None,
            limit: None,
            out_of_memory: false,
            bereft: false,
            known: false,
        }
    }

    /// What the slots say, and then, of all who may have taken a task by then, who still has not said so.
    fn look_at_slots(&self) -> Seen {
        let (mut hit, mut named) = (Vec::new(), Vec::new());
        let mut table = self.table.lock();
        for record in table.inflight.iter().flatten() {
            let position = record.position;
            match self.link.tasks().look(position) {
                Look::Ready => {}
                Look::Taken(worker) => {
                    let running = self.link.page(worker).running();
                    if running.is_none_or(|(at, _)| at != position) {
                        named.push((position, worker));
                    }
                }
                _ => hit.push(position),
            }
        }
        let sitters = table.roster.sitters();
        let mut takers: Vec<_> = sitters
            .map(|(worker, sitter)| (worker, sitter.pid))
            .collect();
        drop(table);
        for nth in 0..LOOKS.0 {
            if nth > 0 {
                std::thread::sleep(LOOKS.1);
            }
            // One that has taken a task says so on its page a few instructions later, and the slot can't say it any more. Whoever
            // says what it runs, or sleeps, was seen not to be in between, and won't be for a task of those above.
            takers.retain(|&(worker, pid)| {
                self.link.page(worker).running().is_none()
                    && !matches!(process_state(pid), None | Some('S' | 'Z' | 'X'))
            });
            if takers.is_empty() {
                break;
            }
        }
        Seen { hit, named, takers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_believed_as_far_as_it_fits() {
        let page = PageSnapshot {
            pid: 77,
            status: Some(Status::Running),
            running: Some((5, 1)),
            ..PageSnapshot::default()
        };
        assert_eq!(Told::of(&page, 77, 6), Told::Running(5));
        assert_eq!(Told::of(&page, 77, 5), Told::Garbage);
        assert_eq!(Told::of(&page, 78, 6), Told::Garbage);
        let resting = PageSnapshot {
            status: Some(Status::Idle),
            running: None,
            ..page
        };
        assert_eq!(Told::of(&resting, 77, 6), Told::Resting);
        let wordless = PageSnapshot {
            status: None,
            ..resting
        };
        assert_eq!(Told::of(&wordless, 77, 6), Told::Garbage);
        let empty = PageSnapshot {
            status: Some(Status::Starting),
            ..PageSnapshot::default()
        };
        assert_eq!(Told::of(&empty, 77, 6), Told::Nothing);
    }
}
