//! What the threads of a pool and the reader of a map share: the items that nobody has claimed, and the results at their places.
//!
//! An item is claimed alone and in the order of the input, by whoever has just finished another one. That is one turn of the lock
//! for each item, with no future, no entry in the queue and no wake, unless the reader waits for this very result. A *turn* is what
//! one thread runs before it looks at the queue again: there are as many at a time as the pool may have workers, and none
//! when nothing is left to claim.
//!
//! Knows: the lock and the word. Does not know: how a turn gets onto a thread, nor who reads.

use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::sys::{Lock, LockGuard, Slept, Word, spin_until};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What a call returned, or raised.
pub type Outcome = Result<Py<PyAny>, Py<PyAny>>;

/// What a turn does next.
#[must_use]
pub enum Next {
    /// Run this item, which is at that place of the input.
    Item(usize, Py<PyAny>),
    /// Go back into the queue: there is more to do, and something else may come first.
    Again,
    /// End. Nobody counts on this turn any more.
    End,
}

/// What the reader finds.
pub enum Found {
    /// The next result, and its place.
    Outcome(usize, Outcome),
    /// All of the input has been read.
    Over,
    /// It will not come: what was left was cancelled, or its pool is broken.
    Stranded,
    /// It is not there yet. Wait for the bell, which was last rung as this number; whether an item waits that may be run here.
    Later(u32, bool),
}

/// Who is to be let go, once the lock is free.
#[must_use]
pub struct Left {
    /// Whether the reader waits for what has just come.
    pub ring: bool,
    /// A result that nobody will read, to be freed with this.
    _unread: Option<Outcome>,
}

/// Everything of a map that calls or frees nobody while it changes.
struct State {
    func: Option<Py<PyAny>>,
    /// Taken from the input, and claimed by nobody.
    waiting: VecDeque<Py<PyAny>>,
    /// In order: the results from the place `read` on, with gaps.
    places: VecDeque<Option<Outcome>>,
    /// As they come: the results with their places.
    come: VecDeque<(usize, Outcome)>,
    taken: usize,
    claimed: usize,
    read: usize,
    /// Turns that are queued or run.
    turns: u32,
    /// Turns that are queued.
    queued: u32,
    /// The reader waits.
    wanted: bool,
    /// Nobody will read.
    unread: bool,
}

/// A map's items and results.
pub struct Board {
    state: Lock<State>,
    /// Its number changes when what the reader waits for has come.
    bell: Arc<Word>,
    ordered: bool,
    /// Turns at a time.
    most: u32,
}

impl Board {
    /// For `func`, without items yet.
    pub fn new(func: Py<PyAny>, ordered: bool, most: u32) -> Board {
        Board {
            state: Lock::new(State {
                func: Some(func),
                waiting: VecDeque::new(),
                places: VecDeque::new(),
                come: VecDeque::new(),
                taken: 0,
                claimed: 0,
                read: 0,
                turns: 0,
                queued: 0,
                wanted: false,
                unread: false,
            }),
            bell: Arc::new(Word::new(0)),
            ordered,
            most,
        }
    }

    /// Appends items of the input.
    pub fn push(&self, items: impl ExactSizeIterator<Item = Py<PyAny>>) {
        let mut state = self.state.lock();
        state.taken += items.len();
        let outstanding = state.taken - state.read;
        if self.ordered {
            let missing = outstanding.saturating_sub(state.places.len());
            state.places.reserve(missing);
        }
        state.waiting.extend(items);
    }

    /// Counts one more turn, if there is something to do for it. The caller has it queued, or calls [`Board::lose_turn`].
    pub fn add_turn(&self) -> bool {
        let mut state = self.state.lock();
        let wanted = state.turns < self.most && state.waiting.len() > state.queued as usize;
        if wanted {
            state.turns += 1;
            state.queued += 1;
        }
        wanted
    }

    /// The same for a thread that is about to block in an item: its place is another one's meanwhile, whatever the number.
    pub fn add_turn_beside(&self) -> bool {
        let mut state = self.state.lock();
        let wanted = state.queued == 0 && !state.waiting.is_empty();
        if wanted {
            state.turns += 1;
            state.queued += 1;
        }
        wanted
    }

    /// A turn will not come: its task was cancelled, or failed with its pool.
    pub fn lose_turn(&self) {
        let mut state = self.state.lock();
        state.queued -= 1;
        let ring = end_turn(&mut state);
        drop(state);
        if ring {
            self.ring();
        }
    }

    /// A queued turn begins. The function, and the first item unless it is to `stop`.
    pub fn begin_turn(&self, py: Python<'_>, stop: bool) -> (Option<Py<PyAny>>, Next, bool) {
        let mut state = self.state.lock();
        state.queued -= 1;
        let func = state.func.as_ref().map(|func| func.clone_ref(py));
        let next = claim(&mut state, stop || func.is_none());
        let ring = matches!(next, Next::End) && end_turn(&mut state);
        (func, next, ring)
    }

    /// Stores what has come of an item, and says what the turn does next: `due` ends it where there is more to do, `stop` anyway.
    #[inline]
    pub fn finish(&self, place: usize, outcome: Outcome, due: bool, stop: bool) -> (Next, Left) {
        let mut state = self.state.lock();
        let mut left = self.store(&mut state, place, outcome);
        let next = if due && !stop && !state.waiting.is_empty() {
            state.queued += 1;
            Next::Again
        } else {
            claim(&mut state, stop)
        };
        if matches!(next, Next::End) {
            left.ring |= end_turn(&mut state);
        }
        (next, left)
    }

    /// Claims an item for the reader itself, if what it waits for can only come of that.
    pub fn claim_here(&self, py: Python<'_>) -> Option<(Py<PyAny>, usize, Py<PyAny>)> {
        let mut state = self.state.lock();
        if !self.may_claim_here(&state) {
            return None;
        }
        let func = state.func.as_ref()?.clone_ref(py);
        match claim(&mut state, false) {
            Next::Item(place, item) => Some((func, place, item)),
            Next::Again | Next::End => None,
        }
    }

    /// Stores what has come of an item that the reader has run.
    pub fn finish_here(&self, place: usize, outcome: Outcome) {
        let mut state = self.state.lock();
        let left = self.store(&mut state, place, outcome);
        drop(state);
        drop(left);
    }

    fn may_claim_here(&self, state: &State) -> bool {
        !state.waiting.is_empty()
            && if self.ordered {
                state.claimed <= state.read
            } else {
                state.come.is_empty()
            }
    }

    #[inline]
    fn store(&self, state: &mut LockGuard<'_, State>, place: usize, outcome: Outcome) -> Left {
        if state.unread {
            return Left {
                ring: false,
                _unread: Some(outcome),
            };
        }
        let next = if self.ordered {
            let at = place - state.read;
            if state.places.len() <= at {
                state.places.resize_with(at + 1, || None);
            }
            state.places[at] = Some(outcome);
            at == 0
        } else {
            state.come.push_back((place, outcome));
            true
        };
        let ring = next && std::mem::take(&mut state.wanted);
        Left {
            ring,
            _unread: None,
        }
    }

    /// Takes the next result, for the reader.
    pub fn take(&self) -> Found {
        let mut state = self.state.lock();
        if state.read == state.taken {
            return Found::Over;
        }
        let found = if self.ordered {
            let place = state.read;
            match state.places.front_mut().map(Option::take) {
                Some(Some(outcome)) => {
                    state.places.pop_front();
                    Some((place, outcome))
                }
                _ => None,
            }
        } else {
            state.come.pop_front()
        };
        match found {
            Some((place, outcome)) => {
                state.read += 1;
                Found::Outcome(place, outcome)
            }
            // Nobody is at it, so what is missing was not begun.
            None if state.turns == 0 => Found::Stranded,
            None => {
                state.wanted = true;
                Found::Later(
                    self.bell.load(Ordering::Relaxed),
                    self.may_claim_here(&state),
                )
            }
        }
    }

    /// Whether results are still to be read.
    pub fn is_owing(&self) -> bool {
        let state = self.state.lock();
        state.read < state.taken
    }

    /// Nobody reads any more; with `halt`, nothing that has not begun is run either.
    pub fn leave(&self, halt: bool) {
        let mut state = self.state.lock();
        state.unread = true;
        let results = (
            std::mem::take(&mut state.places),
            std::mem::take(&mut state.come),
        );
        let work = halt.then(|| (state.func.take(), std::mem::take(&mut state.waiting)));
        drop(state);
        drop((results, work));
    }

    /// The bell, for whoever rings it later than the board lives.
    pub fn bell(&self) -> &Arc<Word> {
        &self.bell
    }

    /// Lets the reader look.
    pub fn ring(&self) {
        ring(&self.bell);
    }

    /// Blocks until the bell is rung that was last rung as `seen`; called without the interpreter's lock.
    pub fn wait<E>(
        &self,
        seen: u32,
        deadline: Deadline,
        mut interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<(), WaitError<E>> {
        // SYNC(board.bell): acquire
        let rung = || self.bell.load(Ordering::Acquire) != seen;
        if spin_until(rung) {
            return Ok(());
        }
        // A signal that came during the spin interrupts no sleep any more.
        interrupt().map_err(WaitError::Interrupted)?;
        while !rung() {
            match self.bell.sleep(seen, deadline) {
                Slept::Woken => {}
                Slept::Interrupted => interrupt().map_err(WaitError::Interrupted)?,
                Slept::TimedOut => return Err(WaitError::TimedOut),
            }
        }
        Ok(())
    }

    /// Shows the collector what a board holds that has one holder left; nothing is seen while somebody changes it.
    pub fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(state) = self.state.try_lock() else {
            return Ok(());
        };
        visit.call(&state.func)?;
        for item in &state.waiting {
            visit.call(item)?;
        }
        let places = state.places.iter().flatten();
        for outcome in places.chain(state.come.iter().map(|(_, outcome)| outcome)) {
            match outcome {
                Ok(value) | Err(value) => visit.call(value)?,
            }
        }
        Ok(())
    }
}

/// Lets a reader look, by the bell alone.
pub fn ring(bell: &Word) {
    // SYNC(board.bell): release
    bell.fetch_add(1, Ordering::Release);
    bell.wake(u32::MAX);
}

#[inline]
fn claim(state: &mut State, stop: bool) -> Next {
    if stop {
        return Next::End;
    }
    match state.waiting.pop_front() {
        None => Next::End,
        Some(item) => {
            let place = state.claimed;
            state.claimed += 1;
            Next::Item(place, item)
        }
    }
}

/// One turn fewer; whether the reader is to look because it was the last one.
fn end_turn(state: &mut State) -> bool {
    state.turns -= 1;
    state.turns == 0 && std::mem::take(&mut state.wanted)
}
