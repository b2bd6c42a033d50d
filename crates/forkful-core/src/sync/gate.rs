//! A gate that opens when so many threads have come: what a barrier is.
//!
//! Each waiter is told by itself whether the gate has opened or is broken, so the next round may begin before the last thread
//! of this one is awake. While the last one to come acts, before it opens the gate, newcomers stand before the door.

use super::park::{Batch, Parker};
use crate::sys::Lock;
use std::collections::VecDeque;
use std::sync::Arc;

/// The gate has opened.
pub const OPENED: u32 = 1;
/// It is broken, or was reset.
pub const BROKEN: u32 = 2;

type Waiters = VecDeque<Arc<Parker>>;

#[derive(Debug, Default)]
struct State {
    inside: Waiters,
    door: Waiters,
    /// How many have come in this round, the one that acts included.
    count: usize,
    acting: bool,
    broken: bool,
}

impl State {
    fn let_in(&mut self, batch: &mut Batch) {
        mark_all(&mut self.door, OPENED, batch);
    }

    fn end_round(&mut self, verdict: u32, batch: &mut Batch) {
        mark_all(&mut self.inside, verdict, batch);
        self.count = usize::from(self.acting);
    }
}

fn mark_all(waiters: &mut Waiters, verdict: u32, batch: &mut Batch) {
    for parker in waiters.drain(..).filter(|parker| !parker.is_ghost()) {
        batch.push(parker.mark(verdict));
    }
}

/// What whoever comes has to do.
#[derive(Debug)]
pub enum Arrival {
    /// Wait with this, for the gate; it came as number so and so.
    Inside(Arc<Parker>, usize),
    /// Wait with this before the door, and come again.
    Door(Arc<Parker>),
    /// It is the last one, and acts now if there is anything to do: then it must open the gate or break it.
    Last(usize),
    /// Go away.
    Broken,
}

/// The gate.
#[derive(Debug, Default)]
pub struct Gate(Lock<State>);

impl Gate {
    /// Comes to a gate for so many. `acts`: the last one does something before it opens; else it is open when this returns.
    pub fn arrive(&self, parties: usize, acts: bool) -> Arrival {
        let mut state = self.0.lock();
        if state.acting {
            let parker = Parker::take();
            state.door.push_back(parker.clone());
            return Arrival::Door(parker);
        }
        if state.broken {
            return Arrival::Broken;
        }
        let index = state.count;
        state.count += 1;
        if index + 1 < parties {
            let parker = Parker::take();
            state.inside.push_back(parker.clone());
            return Arrival::Inside(parker, index);
        }
        let mut batch = Batch::default();
        state.acting = acts;
        if !acts {
            state.end_round(OPENED, &mut batch);
        }
        drop(state);
        batch.ring();
        Arrival::Last(index)
    }

    /// Opens the gate, by the one that has acted.
    pub fn open(&self) {
        self.change(|state, batch| {
            state.acting = false;
            state.end_round(OPENED, batch);
            state.let_in(batch);
        });
    }

    /// Breaks it: everybody inside is told so, and whoever comes, until a reset. `acted`: by the one that was to open it.
    pub fn break_down(&self, acted: bool) {
        self.change(|state, batch| {
            state.broken = true;
            state.acting &= !acted;
            state.end_round(BROKEN, batch);
            if acted {
                state.let_in(batch);
            }
        });
    }

    /// As new. Who is inside is told that it is broken. While somebody acts the gate is about to open, and nothing is done.
    pub fn reset(&self) {
        self.change(|state, batch| {
            if !state.acting {
                state.end_round(BROKEN, batch);
                state.broken = false;
            }
        });
    }

    /// Ends a wait inside before its time; what the waiter was told meanwhile, or 0. `breaks`: it takes the others along.
    pub fn give_up(&self, parker: &Arc<Parker>, breaks: bool) -> u32 {
        let mut told = 0;
        self.change(|state, batch| {
            told = parker.told();
            if told != 0 {
                return;
            }
            state.inside.retain(|other| !Arc::ptr_eq(other, parker));
            state.count -= 1;
            if breaks {
                state.broken = true;
                state.end_round(BROKEN, batch);
            }
        });
        told
    }

    /// Ends a wait before the door.
    pub fn leave_door(&self, parker: &Arc<Parker>) {
        let mut state = self.0.lock();
        state.door.retain(|other| !Arc::ptr_eq(other, parker));
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        let state = self.0.lock();
        if state.broken { 0 } else { state.count }
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.0.lock().broken
    }

    fn change(&self, change: impl FnOnce(&mut State, &mut Batch)) {
        let mut batch = Batch::default();
        change(&mut self.0.lock(), &mut batch);
        batch.ring();
    }
}
