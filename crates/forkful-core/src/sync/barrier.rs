//! A place where so many wait for each other, round after round; one who is killed there breaks no later round.
//!
//! There is no phase in which a round's waiters leave one by one, as one who is killed would never leave. A round is over when its
//! number has changed, and who finds the number changed goes.
//!
//! Everything is changed with the gate in hand, a [`LockCell`] whose dead holder is followed. The one who arrives last does a single
//! thing, the system call that changes the round and wakes: killed before it, he has not arrived; killed after it, all are on their
//! way. How many have arrived is written together with the round it is for, and counts for no other one.
//!
//! With an action, the round is changed before it, so that all wait for the gate while it runs, and find out if it never ends.

use super::lock::Taken;
use super::owner::Owner;
use super::sleepers::Post;
use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::prim::Ordering;
use crate::shm::{BROKEN_ROUNDS, BarrierCell};
use crate::sys::crash_point;
use std::convert::Infallible;

/// The barrier is broken, or this round of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken;

/// What one who has arrived does next.
#[must_use = "whoever arrives has to wait, or to act"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Wait for the others: [`BarrierCell::wait`].
    Early(Place),
    /// The last one, and all are on their way.
    Last(Place),
    /// The last one, who acts now and then calls [`BarrierCell::acted`]; all others wait for that.
    Act(Place),
}

/// The place of one who has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    round: u32,
    /// How many came before.
    pub index: u32,
}

const BROKEN: u32 = 1;

fn tagged(round: u32, count: u32) -> u64 {
    (u64::from(round) << 32) | u64::from(count)
}

impl BarrierCell {
    /// Fills a new one.
    pub fn init(&self, parties: u32) {
        self.parties.store(parties.max(1), Ordering::Relaxed);
    }

    /// How many make a round.
    pub fn parties(&self) -> u32 {
        self.parties.load(Ordering::Relaxed)
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> bool {
        self.round.number() & BROKEN != 0
    }

    /// How many have arrived for the present round.
    pub fn arrived(&self) -> u32 {
        let number = self.round.number();
        let arrivals = self.arrivals.load(Ordering::Acquire);
        if number & BROKEN == 0 && (arrivals >> 32) as u32 == number / 2 {
            arrivals as u32
        } else {
            0
        }
    }

    /// Arrives. `acts`: whether the last one of a round has something to do before the others go.
    pub fn arrive<E>(
        &self,
        me: Owner,
        acts: bool,
        interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<Result<Arrival, Broken>, WaitError<E>> {
        self.enter(me, interrupt)?;
        let number = self.round.number();
        if number & BROKEN != 0 {
            self.leave();
            return Ok(Err(Broken));
        }
        let place = Place {
            round: number / 2,
            index: self.arrived(),
        };
        if place.index.saturating_add(1) < self.parties() {
            let arrivals = tagged(place.round, place.index + 1);
            self.arrivals.store(arrivals, Ordering::Release);
            self.leave();
            return Ok(Ok(Arrival::Early(place)));
        }
        if acts {
            self.acting.store(tagged(place.round, 1), Ordering::Release);
        }
        self.next_round();
        crash_point("sync.barrier.last");
        if acts {
            return Ok(Ok(Arrival::Act(place)));
        }
        self.leave();
        Ok(Ok(Arrival::Last(place)))
    }

    /// The action is over, well or not: then the barrier is broken.
    pub fn acted(&self, place: Place, well: bool) {
        if !well {
            self.break_round(place.round);
        }
        self.acting.store(0, Ordering::Release);
        self.leave();
    }

    /// Waits until the round is over. A deadline that passes breaks it for all; an interrupt takes this one's arrival back.
    pub fn wait<E>(
        &self,
        me: Owner,
        place: Place,
        deadline: Deadline,
        mut interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<Result<(), Broken>, WaitError<E>> {
        let begin = place.round.wrapping_mul(2);
        let over = |number| {
            if number == begin { Err(number) } else { Ok(()) }
        };
        let waited = self.round.wait(over, deadline, &mut interrupt);
        if let Err(ended) = waited {
            self.enter_anyhow(me);
            let still = self.round.number() == begin;
            if still {
                match ended {
                    WaitError::TimedOut => self.break_round(place.round),
                    WaitError::Interrupted(_) => {
                        let left = self.arrived().saturating_sub(1);
                        let arrivals = tagged(place.round, left);
                        self.arrivals.store(arrivals, Ordering::Release);
                    }
                }
            }
            self.leave();
            if let WaitError::Interrupted(error) = ended {
                return Err(WaitError::Interrupted(error));
            }
        }
        if self.acting.load(Ordering::Acquire) == tagged(place.round, 1) {
            // Held as long as the action runs, or until its process is found dead.
            self.enter(me, interrupt)?;
            self.leave();
        }
        Ok(if self.was_broken(place.round) {
            Err(Broken)
        } else {
            Ok(())
        })
    }

    /// Breaks it: all who wait go, and whoever comes, until it is reset. After an action, if one runs, unless `interrupt` ends the wait.
    pub fn abort<E>(
        &self,
        me: Owner,
        interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<(), WaitError<E>> {
        self.enter(me, interrupt)?;
        let number = self.round.number();
        if number & BROKEN == 0 {
            self.break_round(number / 2);
        }
        self.leave();
        Ok(())
    }

    /// Makes it new: whoever waits goes as from a broken one. After an action, as [`BarrierCell::abort`].
    pub fn reset<E>(
        &self,
        me: Owner,
        interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<(), WaitError<E>> {
        self.enter(me, interrupt)?;
        let number = self.round.number();
        if number & BROKEN != 0 {
            // Those who waited have been woken.
            let _ = self.round.update(|number| Some((number | 1) + 1));
        } else if self.arrived() > 0 {
            self.note_broken(number / 2);
            self.next_round();
        }
        self.leave();
        Ok(())
    }

    fn next_round(&self) {
        let _ = self.round.post(Post::Add(2), u32::MAX, |_| true);
    }

    fn break_round(&self, round: u32) {
        self.note_broken(round);
        crash_point("sync.barrier.noted");
        self.set_broken();
    }

    fn set_broken(&self) {
        let _ = self.round.post(Post::SetLowest, u32::MAX, |_| true);
    }

    /// Written before the round ends, so that who finds it over finds this too.
    fn note_broken(&self, round: u32) {
        // 0 is no round that broke: rounds are written plus 1.
        let mark = round.wrapping_add(1);
        self.broken[round as usize % BROKEN_ROUNDS].store(mark, Ordering::Release);
    }

    fn was_broken(&self, round: u32) -> bool {
        let mark = self.broken[round as usize % BROKEN_ROUNDS].load(Ordering::Acquire);
        mark == round.wrapping_add(1)
    }

    fn enter<E>(
        &self,
        me: Owner,
        interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<(), WaitError<E>> {
        if let Taken::Recovered(_) = self.gate.acquire(me, Deadline::NEVER, interrupt)? {
            self.repair();
        }
        Ok(())
    }

    /// The gate is held for a moment, or for an action.
    fn enter_anyhow(&self, me: Owner) {
        let entered = self.enter(me, || Ok::<_, Infallible>(()));
        debug_assert!(entered.is_ok(), "no deadline and no interrupt");
    }

    fn leave(&self) {
        let _ = self.gate.release();
    }

    /// The last one in here died. Of an action that he has left half done the round is over, and nobody knows how far it came. Of a
    /// round that was to be broken, or reset, only the note may be there: then it is broken now.
    fn repair(&self) {
        let acting = self.acting.load(Ordering::Acquire);
        let round = (acting >> 32) as u32;
        // If the round is not over yet, he died before he arrived.
        if acting as u32 == 1 && self.round.number() / 2 == round.wrapping_add(1) & (u32::MAX >> 2)
        {
            self.note_broken(round);
            self.set_broken();
        }
        self.acting.store(0, Ordering::Release);
        let number = self.round.number();
        if number & BROKEN == 0 && self.was_broken(number / 2) {
            self.set_broken();
        }
    }
}

#[cfg(test)]
mod tests;
