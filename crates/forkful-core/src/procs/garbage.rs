//! What is done where shared memory holds garbage: what it has hit is found out, and what the parent knows is written anew.
//!
//! A task may have written over any word that workers can write (its own worker's or another's), and nobody can tell whose task
//! it was. What is certain goes on; what is not is never run twice unasked.

use super::bury::Lost;
use super::policy::{Doom, Exit};
use super::pool::Pool;
use super::record::{Death, Job};
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

impl<J: Job> Pool<J> {
    /// Settles what garbage has hit besides the worker whose death this is, and whose page told this.
    pub(super) fn settle_garbage(&self, death: &Death, told: Told, lost: &mut Lost<J>) {
        // One that has taken a task says so on its page a few instructions later, and the slot can't say it any more.
        let mut certain = (0..LOOKS.0).any(|_| {
            let quiet = self.nobody_takes();
            if !quiet {
                std::thread::sleep(LOOKS.1);
            }
            quiet
        });
        // It may have had any of the tasks that nobody else says he has.
        certain &= matches!(told, Told::Running(_) | Told::Resting);
        self.readers
            .lock()
            .iter()
            .for_each(|reader| reader.restore());
        self.library.lock().restore();
        self.link.restore(self.interest.load(Ordering::SeqCst) > 0);
        let tasks = self.link.tasks();
        let mut table = self.table.lock();
        let tail = table.cursor.tail();
        let mut running = Vec::new();
        for (worker, sitter) in table.roster.sitters() {
            match Told::of(&self.link.page(worker).snapshot(), sitter.pid, tail) {
                Told::Running(position) => running.push((position, worker)),
                Told::Resting => {}
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
        for index in 0..table.inflight.len() {
            let Some(record) = &table.inflight[index] else {
                // Nobody shall find a task where there is none.
                tasks.wipe(index as u64);
                continue;
            };
            let position = record.position;
            if matches!(tasks.look(position), Look::Ready | Look::Taken(_)) {
                continue;
            }
            if let Some((_, worker)) = running.iter().find(|(at, _)| *at == position) {
                // Its worker does not care what the slot says, and its outcome will be believed again.
                tasks.give(position, *worker);
                continue;
            }
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
            self.part_with(&mut table, position, !certain, death, lost);
        }
        tasks.rewind(tail);
    }

    /// Whether each worker either says what it runs or sleeps: none is between taking a task and saying so.
    fn nobody_takes(&self) -> bool {
        let mut table = self.table.lock();
        let pids: Vec<_> = table
            .roster
            .sitters()
            .map(|(worker, sitter)| (worker, sitter.pid))
            .collect();
        drop(table);
        pids.iter().all(|&(worker, pid)| {
            self.link.page(worker).running().is_some()
                || matches!(process_state(pid), None | Some('S' | 'Z' | 'X'))
        })
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
