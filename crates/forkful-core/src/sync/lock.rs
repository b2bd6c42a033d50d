//! A lock between processes that goes on when its holder is killed.
//!
//! One word says who holds it, so taking it and writing one's name on it are one step, and there is no moment at which it is held by
//! nobody in particular:
//!
//! ```text
//!            take: compare and exchange                   somebody may sleep: FLAG in the same word
//!     0 -----------------------------> holder ---------------------------------------> holder|FLAG
//!     ^                                  |                                                  |
//!     +------- give back: exchange ------+--------------- and wake one ---------------------+
//!
//!     dead holder (with FLAG or without) ---- compare and exchange by whoever found out ----> next holder|FLAG
//! ```
//!
//! The word of a dead process never comes again, as it names its birth: no two processes can both take over from it. Whoever sleeps
//! does so for 10 ms at most and then looks whether the holder lives. That also heals what a kill between the exchange and the wake
//! leaves, and the kill of one who was woken and had not taken it yet.

use super::owner::Owner;
use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::prim::{MODELLED, Ordering};
use crate::shm::LockCell;
use crate::sys::{Slept, crash_point, spin_or_yield_until};
use std::time::Duration;

/// Somebody may sleep, so the wake can't be left out. No process has a number so large.
const FLAG: u64 = 1 << 31;

/// How long a waiter sleeps before it looks after the holder.
const SLICE: Duration = Duration::from_millis(10);

/// How the lock was got.
#[must_use = "what a dead holder guarded may be half done"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// From nobody.
    Clean,
    /// From a process that died while it held it.
    Recovered(Owner),
}

/// It was released, and nobody held it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotHeld;

/// When a sleep ends that begins now. A model has no kills, and without them no wake may be lost: there it does not end by itself.
fn slice(deadline: Deadline) -> Deadline {
    if MODELLED {
        deadline
    } else {
        deadline.earlier(Deadline::after(SLICE))
    }
}

impl LockCell {
    /// Takes it if it is free.
    #[inline]
    pub fn try_acquire(&self, me: Owner) -> Option<Taken> {
        // SYNC(sync.lock): acquire
        let taken =
            self.holder
                .compare_exchange(0, me.word(), Ordering::Acquire, Ordering::Relaxed);
        taken.is_ok().then_some(Taken::Clean)
    }

    /// The same, and if it is held, looks whether the holder lives, or did a moment ago.
    pub fn try_recover(&self, me: Owner) -> Option<Taken> {
        if let Some(taken) = self.try_acquire(me) {
            return Some(taken);
        }
        let word = self.holder.load(Ordering::Relaxed);
        match Owner::from_word(word & !FLAG) {
            Some(holder) if holder.lived_lately() => None,
            _ => self.bury(word, me),
        }
    }

    /// Takes it, at most until `deadline`. `interrupt` is asked before each sleep, and so after each signal: its error ends the wait.
    #[inline]
    pub fn acquire<E>(
        &self,
        me: Owner,
        deadline: Deadline,
        interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<Taken, WaitError<E>> {
        match self.try_acquire(me) {
            Some(taken) => Ok(taken),
            None => self.wait(me, deadline, interrupt),
        }
    }

    /// Gives it back, whoever holds it.
    #[inline]
    pub fn release(&self) -> Result<(), NotHeld> {
        // SYNC(sync.lock): release
        match self.holder.swap(0, Ordering::Release) {
            0 => Err(NotHeld),
            word if word & FLAG == 0 => Ok(()),
            _ => {
                crash_point("sync.lock.wake");
                self.holder.wake(1);
                Ok(())
            }
        }
    }

    /// Gives it back if this process holds it.
    pub fn release_own(&self, me: Owner) -> Result<(), NotHeld> {
        // Nobody else changes the holder while it lives, and is this process.
        if self.owner() == Some(me) {
            self.release()
        } else {
            Err(NotHeld)
        }
    }

    /// Who holds it.
    #[inline]
    pub fn owner(&self) -> Option<Owner> {
        Owner::from_word(self.holder.load(Ordering::Relaxed) & !FLAG)
    }

    /// The last holder that died with the lock in its hand and was found out.
    pub fn last_death(&self) -> Option<Owner> {
        Owner::from_word(self.died.load(Ordering::Relaxed))
    }

    #[cold]
    fn wait<E>(
        &self,
        me: Owner,
        deadline: Deadline,
        mut interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<Taken, WaitError<E>> {
        // Read before each exchange: an exchange that fails takes the line from the holder too.
        let ready = || self.holder.load(Ordering::Relaxed) == 0 && self.try_acquire(me).is_some();
        if spin_or_yield_until(ready) {
            return Ok(Taken::Clean);
        }
        let mut woken = false;
        loop {
            let word = self.holder.load(Ordering::Relaxed);
            if word == 0 {
                if self.take_flagged(me) {
                    return Ok(Taken::Clean);
                }
                continue;
            }
            if word & FLAG == 0 && !self.flag(word) {
                continue;
            }
            if deadline.passed() {
                self.pass_on(woken);
                return Err(WaitError::TimedOut);
            }
            // A signal that came during the spin, or between two sleeps, interrupts no sleep any more.
            if let Err(error) = interrupt() {
                self.pass_on(woken);
                return Err(WaitError::Interrupted(error));
            }
            match self.holder.sleep((word | FLAG) as u32, slice(deadline)) {
                Slept::Woken => {
                    woken = true;
                    // One who takes it again and again would always be quicker than a sleeper.
                    let free = || self.holder.load(Ordering::Relaxed) == 0;
                    if spin_or_yield_until(|| free() && self.take_flagged(me)) {
                        return Ok(Taken::Clean);
                    }
                }
                Slept::Interrupted => {}
                Slept::TimedOut => {
                    if let Some(taken) = self.bury(self.holder.load(Ordering::Relaxed), me) {
                        return Ok(taken);
                    }
                }
            }
        }
    }

    /// Takes it after a sleep, when others may sleep still; nobody knows.
    fn take_flagged(&self, me: Owner) -> bool {
        let mine = me.word() | FLAG;
        // SYNC(sync.lock): acquire
        self.holder
            .compare_exchange(0, mine, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Says on the word that somebody is about to sleep.
    fn flag(&self, word: u64) -> bool {
        let flagged =
            self.holder
                .compare_exchange(word, word | FLAG, Ordering::Relaxed, Ordering::Relaxed);
        flagged.is_ok()
    }

    /// Leaves without it. A wake that came here and was not used is another sleeper's.
    fn pass_on(&self, woken: bool) {
        if !woken {
            return;
        }
        loop {
            match self.holder.load(Ordering::Relaxed) {
                0 => return self.holder.wake(1),
                word if word & FLAG != 0 || self.flag(word) => return,
                _ => {}
            }
        }
    }

    /// Takes it over if its holder is dead, or the word names nobody, as where somebody has written over it.
    #[cold]
    fn bury(&self, word: u64, me: Owner) -> Option<Taken> {
        let holder = Owner::from_word(word & !FLAG);
        if holder.is_some_and(Owner::is_alive) {
            return None;
        }
        let mine = me.word() | FLAG;
        // SYNC(sync.lock): acquire
        self.holder
            .compare_exchange(word, mine, Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        let Some(holder) = holder else {
            return Some(Taken::Clean);
        };
        // Killed here, this process is the dead holder that the next one finds.
        crash_point("sync.lock.recovered");
        self.died.store(holder.word(), Ordering::Relaxed);
        Some(Taken::Recovered(holder))
    }
}

#[cfg(test)]
mod tests;
