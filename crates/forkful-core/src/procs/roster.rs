//! The seats of the workers: who sits there, since when, and why it may have to go.

use super::hold::Hold;
use super::policy::{Doom, Exit};
use super::starts::{Streak, Vigil};
use crate::sys::Stamp;
use std::collections::VecDeque;

/// A worker's process.
#[derive(Debug)]
pub struct Sitter {
    /// Its number.
    pub pid: i32,
    /// How to watch and to kill it.
    pub hold: Hold,
    /// When it was born.
    pub since: Stamp,
    /// Whether it was seen to have come up, ready for tasks.
    pub up: bool,
    /// What was seen of it until then.
    pub vigil: Vigil,
    /// When its descriptor is asked for again, if it has none.
    pub asked_again: u64,
    /// Whether it was seen to end, and when.
    pub gone: Option<Stamp>,
    /// The nursery's report of its end: how, and its largest size in bytes.
    pub report: Option<(Exit, u64)>,
    /// Why we killed it.
    pub doom: Option<Doom>,
    /// Its stack, taken before we killed it.
    pub stack: Option<String>,
    /// A task for which it shall be killed, if it still runs it.
    pub wanted: Option<(u64, Doom)>,
    /// Whether its ring held garbage.
    pub garbage: bool,
    /// Whether the process that made it is gone, and takes it along.
    pub bereft: bool,
}

impl Sitter {
    /// One that was just born.
    pub fn new(pid: i32, hold: Hold) -> Sitter {
        Sitter {
            pid,
            hold,
            since: Stamp::now(),
            up: false,
            vigil: Vigil::default(),
            asked_again: 0,
            gone: None,
            report: None,
            doom: None,
            stack: None,
            wanted: None,
            garbage: false,
            bereft: false,
        }
    }
}

/// A request for a worker, who may be at work by now.
#[derive(Debug)]
pub struct Asked {
    /// Its number.
    pub generation: u64,
    /// When that was.
    pub since: Stamp,
    /// Of which nursery, as [`Nursery::token`](super::nursery::Nursery::token) has it.
    pub nursery: u32,
    /// See [`Sitter::wanted`].
    pub wanted: Option<(u64, Doom)>,
}

/// A seat.
#[derive(Debug, Default)]
pub enum Seat {
    /// Nobody.
    #[default]
    Empty,
    /// A worker was asked for, and its birth has not been heard of.
    Asked(Asked),
    /// Somebody.
    Taken(Box<Sitter>),
}

impl Seat {
    /// Whether it waits for an answer of this nursery's.
    pub fn is_asked_of(&self, nursery: u32) -> bool {
        matches!(self, Seat::Asked(asked) if asked.nursery == nursery)
    }

    /// Whether it waits for the answer to this request.
    pub fn is_asked(&self, generation: u64) -> bool {
        matches!(self, Seat::Asked(asked) if asked.generation == generation)
    }
}

/// All seats of a pool.
#[derive(Debug, Default)]
pub struct Roster {
    /// By index.
    pub seats: Vec<Seat>,
    /// Numbers of requests.
    pub generation: u64,
    /// How many in a row died before their first task.
    pub stillborn: u32,
    /// How starts have gone lately.
    pub starts: Streak,
    /// Whether the user has been told that there are fewer workers than there might be.
    pub told: bool,
    /// Reports of processes whose birth is not known yet.
    pub early: Vec<(i32, Exit, u64)>,
    /// How the last ones ended, for whoever asks by number.
    pub ends: VecDeque<(i32, Exit)>,
}

/// So many ends are remembered.
const ENDS: usize = 256;

impl Roster {
    /// So many empty seats.
    pub fn new(seats: u32) -> Roster {
        Roster {
            seats: (0..seats).map(|_| Seat::Empty).collect(),
            ..Roster::default()
        }
    }

    /// Taken or asked for.
    pub fn occupied(&self) -> u32 {
        let occupied = |seat: &&Seat| !matches!(seat, Seat::Empty);
        self.seats.iter().filter(occupied).count() as u32
    }

    /// Whether a nursery owes an answer.
    pub fn awaits_nursery(&self) -> bool {
        self.seats.iter().any(|seat| matches!(seat, Seat::Asked(_)))
    }

    /// Alive or being born: whoever was not seen to end.
    pub fn coming(&self) -> u32 {
        let coming = |seat: &&Seat| match seat {
            Seat::Empty => false,
            Seat::Asked(..) => true,
            Seat::Taken(sitter) => sitter.gone.is_none() && sitter.doom.is_none(),
        };
        self.seats.iter().filter(coming).count() as u32
    }

    /// The first empty seat, asked of this nursery from now on, with the request's number.
    pub fn ask(&mut self, nursery: u32) -> Option<(u32, u64)> {
        let index = self
            .seats
            .iter()
            .position(|seat| matches!(seat, Seat::Empty))?;
        self.generation += 1;
        self.seats[index] = Seat::Asked(Asked {
            generation: self.generation,
            since: Stamp::now(),
            nursery,
            wanted: None,
        });
        Some((index as u32, self.generation))
    }

    /// One has ended.
    pub fn remember(&mut self, pid: i32, exit: Exit) {
        if self.ends.len() == ENDS {
            self.ends.pop_front();
        }
        self.ends.push_back((pid, exit));
    }

    /// Who sits there.
    pub fn sitter(&mut self, worker: u32) -> Option<&mut Sitter> {
        match self.seats.get_mut(worker as usize) {
            Some(Seat::Taken(sitter)) => Some(sitter),
            _ => None,
        }
    }

    /// Everybody.
    pub fn sitters(&mut self) -> impl Iterator<Item = (u32, &mut Sitter)> {
        self.seats
            .iter_mut()
            .enumerate()
            .filter_map(|(index, seat)| match seat {
                Seat::Taken(sitter) => Some((index as u32, &mut **sitter)),
                _ => None,
            })
    }

    /// Has a worker killed for this task, as soon as its birth is heard of; `false` if nobody sits there or comes.
    pub fn want(&mut self, worker: u32, position: u64, doom: Doom) -> bool {
        match self.seats.get_mut(worker as usize) {
            // One that dies by now is not to be looked at again.
            Some(Seat::Taken(sitter)) if sitter.doom.is_none() => {
                sitter.wanted = Some((position, doom))
            }
            Some(Seat::Taken(_)) => {}
            Some(Seat::Asked(asked)) => asked.wanted = Some((position, doom)),
            Some(Seat::Empty) | None => return false,
        }
        true
    }

    /// The seat of a process.
    pub fn find(&mut self, pid: i32) -> Option<&mut Sitter> {
        self.sitters()
            .map(|(_, sitter)| sitter)
            .find(|sitter| sitter.pid == pid)
    }
}
