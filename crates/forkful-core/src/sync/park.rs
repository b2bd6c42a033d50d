//! One waiting thread: the word that it sleeps on, and what it was told.
//!
//! A waiter mostly needs something that its waker still holds, the interpreter's lock above all. So being told has two steps:
//! [`Parker::mark`] says what for, and [`settle`], which the waker calls once it has given that lock back, says that the way is
//! free. A waiter that spins goes on at the second step, or some microseconds after the first, as a waker may never wait again.
//! A waiter that sleeps is woken at the first: by the time it runs the second has mostly come.

use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::fork;
use crate::prim::{MODELLED, Ordering};
use crate::sys::{Slept, Stamp, Word, spin_until, spins, yield_turn};
use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// What it was told; nothing yet where these bits are 0.
const CODE: u32 = 0xF;
/// It sleeps, or is about to.
const ASLEEP: u32 = 1 << 4;
/// Whoever told it has let go of what it needs.
const FREE: u32 = 1 << 5;

/// How long a spinning waiter that has been told lets its waker go on, in nanoseconds.
const SPINNING_PATIENCE: u64 = 10_000;
/// The same for one that was asleep: its wake has taken longer than that already, but on a single CPU.
const WOKEN_PATIENCE: u64 = 5_000;

/// A spin shorter than this, in nanoseconds, has been none.
const GAP: u64 = 2_000;

/// How often a waiter on a single CPU lets others run before it sleeps.
const TURNS: u32 = 2;

/// How many debts a thread remembers.
const DEBTS: usize = 32;

/// What a waiter sleeps on. Only its own thread waits; others mark it.
#[derive(Debug)]
pub struct Parker {
    word: Word,
    generation: u32,
}

thread_local! {
    /// Those that this thread has told something, and that the way is not yet free for.
    static OWED: RefCell<Vec<Arc<Parker>>> = const { RefCell::new(Vec::new()) };
    /// One parker to use again: most threads wait for one thing at a time.
    static SPARE: Cell<Option<Arc<Parker>>> = const { Cell::new(None) };
}

impl Parker {
    /// One that was told nothing.
    pub fn take() -> Arc<Parker> {
        let spare = if MODELLED {
            None
        } else {
            SPARE.try_with(Cell::take).ok().flatten()
        };
        // One that a waker still knows is not used again: its mark would be taken for news.
        if let Some(mut spare) = spare
            && let Some(parker) = Arc::get_mut(&mut spare)
        {
            parker.word.store(0, Ordering::Relaxed);
            parker.generation = fork::generation();
            return spare;
        }
        Arc::new(Parker {
            word: Word::new(0),
            generation: fork::generation(),
        })
    }

    /// Gives it back after the wait.
    pub fn give(parker: Arc<Parker>) {
        if !MODELLED {
            let _ = SPARE.try_with(|spare| spare.set(Some(parker)));
        }
    }

    /// Whether its thread was left behind by a fork.
    pub fn is_ghost(&self) -> bool {
        self.generation != fork::generation()
    }

    /// What it was told; 0 for nothing.
    pub fn told(&self) -> u32 {
        // SYNC(park.word): acquire
        self.word.load(Ordering::Acquire) & CODE
    }

    /// Tells it; the verdict is to be rung once no lock is held. Told once per wait.
    pub fn mark(self: &Arc<Self>, code: u32) -> Marked {
        debug_assert!(code & CODE == code && code != 0);
        // SYNC(park.word): release
        let before = self.word.fetch_or(code, Ordering::AcqRel);
        Marked {
            parker: self.clone(),
            asleep: before & ASLEEP != 0,
        }
    }

    /// As if it had not been told: for one that was, and found nothing. Under the lock under which it is marked.
    pub fn rearm(&self) {
        // An exchange: its waker may be just about to say that the way is free.
        self.word.swap(0, Ordering::AcqRel);
    }

    /// Waits until it is told something. `interrupt` is asked after a spin, and whenever a signal arrives.
    pub fn wait<E>(
        &self,
        deadline: Deadline,
        mut interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<(), WaitError<E>> {
        let start = Stamp::now();
        if self.spin() {
            return Ok(());
        }
        // A signal that came during the spin interrupts no sleep any more. Without one there is hardly a gap, and the check
        // may cost the main thread a wait for the interpreter's lock.
        if Stamp::now().since(start) > GAP {
            interrupt().map_err(WaitError::Interrupted)?;
        }
        let mut slept = false;
        loop {
            let word = self.word.load(Ordering::Acquire);
            if word & CODE != 0 {
                break;
            }
            let asleep = word | ASLEEP;
            let entered =
                self.word
                    .compare_exchange(word, asleep, Ordering::AcqRel, Ordering::Acquire);
            if entered.is_err() {
                continue;
            }
            slept = true;
            match self.word.sleep(asleep, deadline) {
                Slept::Woken => {}
                Slept::Interrupted => interrupt().map_err(WaitError::Interrupted)?,
                Slept::TimedOut if self.told() != 0 => break,
                Slept::TimedOut => return Err(WaitError::TimedOut),
            }
        }
        if slept {
            self.let_waker_go_on();
        }
        Ok(())
    }

    /// The spin before the sleep; whether it was told.
    fn spin(&self) -> bool {
        if !spins() {
            return self.make_way();
        }
        let mut since = None;
        spin_until(|| {
            let word = self.word.load(Ordering::Acquire);
            if word & CODE == 0 {
                return false;
            }
            let now = Stamp::now();
            word & FREE != 0 || now.since(*since.get_or_insert(now)) > SPINNING_PATIENCE
        });
        self.told() != 0
    }

    /// On a single CPU: lets the others run, the waker maybe among them, as often as costs less than a sleep and a wake.
    fn make_way(&self) -> bool {
        let is_free = || self.word.load(Ordering::Acquire) & FREE != 0;
        let _ = (0..TURNS).any(|_| !yield_turn() || is_free());
        self.told() != 0
    }

    /// Yields a moment to a waker that still has what is needed: on a single CPU it is mostly just behind its wake.
    fn let_waker_go_on(&self) {
        let start = Stamp::now();
        while self.word.load(Ordering::Acquire) & FREE == 0
            && yield_turn()
            && Stamp::now().since(start) < WOKEN_PATIENCE
        {}
    }

    fn free(&self) {
        self.word.fetch_or(FREE, Ordering::AcqRel);
    }
}

/// A parker that was told something, and maybe must be woken.
#[derive(Debug)]
#[must_use = "a sleeper must be woken"]
pub struct Marked {
    parker: Arc<Parker>,
    asleep: bool,
}

impl Marked {
    /// Wakes it if it sleeps. With no lock held.
    pub fn ring(self) {
        if self.asleep {
            self.parker.word.wake(1);
        }
        if MODELLED {
            return self.parker.free();
        }
        let _ = OWED.try_with(|owed| match owed.try_borrow_mut() {
            Ok(mut owed) => {
                // Of a thread that never waits: these have gone on without it long ago.
                if owed.len() == DEBTS {
                    owed.drain(..).for_each(|parker| parker.free());
                }
                owed.push(self.parker);
            }
            Err(_) => self.parker.free(),
        });
    }
}

/// Several of them.
#[derive(Debug, Default)]
#[must_use = "sleepers must be woken"]
pub struct Batch {
    first: Option<Marked>,
    rest: Vec<Marked>,
}

impl Batch {
    /// Adds one. The first costs no memory.
    pub fn push(&mut self, marked: Marked) {
        if self.first.is_none() {
            self.first = Some(marked);
        } else {
            self.rest.push(marked);
        }
    }

    /// Adds those of another one.
    pub fn append(&mut self, other: Batch) {
        other.first.into_iter().for_each(|marked| self.push(marked));
        self.rest.extend(other.rest);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Wakes those that sleep. With no lock held.
    pub fn ring(self) {
        if let Some(first) = self.first {
            first.ring();
        }
        self.rest.into_iter().for_each(Marked::ring);
    }
}

/// Called when this thread has given back what others need: whoever it has told something may go on.
#[inline]
pub fn settle() {
    let _ = OWED.try_with(|owed| {
        if let Ok(mut owed) = owed.try_borrow_mut() {
            owed.drain(..).for_each(|parker| parker.free());
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_wait_ends_when_it_is_told() {
        let parker = Parker::take();
        let other = parker.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            other.mark(3).ring();
        });
        assert_eq!(parker.wait(Deadline::NEVER, || Ok::<_, ()>(())), Ok(()));
        assert_eq!(parker.told(), 3);
        thread.join().unwrap();
    }

    #[test]
    fn a_wait_ends_with_its_deadline() {
        let parker = Parker::take();
        let soon = Deadline::after(Duration::from_millis(2));
        assert_eq!(
            parker.wait(soon, || Ok::<_, ()>(())),
            Err(WaitError::TimedOut)
        );
        assert_eq!(parker.told(), 0);
    }

    #[test]
    fn a_parker_that_a_waker_knows_is_not_used_again() {
        let parker = Parker::take();
        let known = parker.clone();
        Parker::give(parker);
        assert!(!Arc::ptr_eq(&known, &Parker::take()));
    }

    #[test]
    fn debts_are_settled() {
        let parker = Parker::take();
        parker.mark(1).ring();
        assert_eq!(parker.word.load(Ordering::Relaxed) & FREE, 0);
        settle();
        assert_ne!(parker.word.load(Ordering::Relaxed) & FREE, 0);
    }
}
