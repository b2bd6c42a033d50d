//! A semaphore whose permits come back when the process that holds them dies.
//!
//! Who holds how many stands in rows, one per process; how many are free is nowhere, but is what the rows leave of the total. So to
//! take a permit and to write one's name on it is one store, and there is no moment at which a kill could lose one.
//!
//! Everything is changed with the gate in hand, a [`LockCell`] whose dead holder is followed, by single stores after each of which the
//! ledger is right. A kill between a permit's return and the wake loses the wake; whoever waits looks now and then all the same, as the
//! death of a holder wakes nobody.
//!
//! The rejected way: the word of [`super::SemaphoreCell`], beside which the rows would be a second word, with an instant between the
//! two. The price is the gate, and a look at the rows of all who hold some.

use super::lock::Taken;
use super::owner::Owner;
use super::semaphore::TooMany;
use super::sleepers::Post;
use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::prim::Ordering;
use crate::shm::{LEDGER_ROWS, LedgerCell, LedgerRow};
use crate::sys::crash_point;
use std::convert::Infallible;
use std::time::Duration;

/// How long a waiter sleeps before it looks after the holders, at first and at most.
const FIRST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(100);

/// How long one that must not wait for a permit waits for the gate, which others hold for a moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// A permit that was taken.
#[must_use = "whoever has taken a permit has to give it back"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// It comes back with its process's death at the latest.
    Noted,
    /// There was no row left: nobody but its holder gives it back.
    Loose,
}

/// The gate, until dropped.
struct Entered<'a>(&'a LedgerCell);

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        let _ = self.0.gate.release();
    }
}

impl LedgerRow {
    fn owner(&self) -> Option<Owner> {
        Owner::from_word(self.owner.load(Ordering::Relaxed))
    }

    fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }
}

impl LedgerCell {
    /// Fills a new one.
    pub fn init(&self, permits: u32, most: u32) {
        self.most.store(most.into(), Ordering::Relaxed);
        self.total
            .store(permits.min(most).into(), Ordering::Relaxed);
    }

    /// The most there may be.
    pub fn most(&self) -> u32 {
        self.most.load(Ordering::Relaxed) as u32
    }

    /// How many are free. Those of the dead count as held until somebody needs them.
    pub fn free(&self) -> u32 {
        let held = self.used().iter().map(LedgerRow::held);
        let held = held.fold(0, u64::saturating_add);
        let free = self.total.load(Ordering::Relaxed).saturating_sub(held);
        u32::try_from(free).unwrap_or(u32::MAX)
    }

    /// The last holder that died and was found out.
    pub fn last_death(&self) -> Option<Owner> {
        Owner::from_word(self.died.load(Ordering::Relaxed))
    }

    /// Takes one if one is free, or its holder dead.
    pub fn try_acquire(&self, me: Owner) -> Option<Permit> {
        let _entered = self.enter(me, Deadline::after(PATIENCE))?;
        self.take(me)
    }

    /// Takes one, at most until `deadline`.
    pub fn acquire<E>(
        &self,
        me: Owner,
        deadline: Deadline,
        mut interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<Permit, WaitError<E>> {
        let mut slice = FIRST;
        loop {
            // Read before the look: what comes back after it ends the sleep.
            let seen = self.changes.number();
            let patience = if deadline.passed() {
                Deadline::after(PATIENCE)
            } else {
                deadline
            };
            let entered = self.enter(me, patience).ok_or(WaitError::TimedOut)?;
            if let Some(permit) = self.take(me) {
                return Ok(permit);
            }
            drop(entered);
            if deadline.passed() {
                return Err(WaitError::TimedOut);
            }
            let changed = |now| if now == seen { Err(now) } else { Ok(()) };
            let end = deadline.earlier(Deadline::after(slice));
            match self.changes.wait(changed, end, &mut interrupt) {
                Ok(()) => slice = FIRST,
                Err(WaitError::TimedOut) => slice = (slice * 2).min(LONGEST),
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives one back that this process took. A forked child has none of its parent's.
    pub fn release(&self, me: Owner, permit: Permit) {
        let entered = self.enter_anyhow(me);
        let returned = match permit {
            Permit::Loose => {
                self.add_to_total(1);
                true
            }
            Permit::Noted => self.strike_out(me),
        };
        drop(entered);
        crash_point("sync.ledger.returned");
        if returned {
            self.tell(1);
        }
    }

    /// Takes a permit that this process holds out of the world.
    pub fn forget(&self, me: Owner, permit: Permit) {
        let _entered = self.enter_anyhow(me);
        if permit == Permit::Noted && self.row_of(me).is_some() {
            let total = self.total.load(Ordering::Relaxed);
            self.total.store(total.saturating_sub(1), Ordering::Relaxed);
            // Killed here, the process has one more on its row than it leaves: which is struck out with all others.
            crash_point("sync.ledger.forgotten");
            self.strike_out(me);
        }
    }

    /// Adds so many.
    pub fn add(&self, me: Owner, permits: u32) -> Result<(), TooMany> {
        let entered = self.enter_anyhow(me);
        let total = self.total.load(Ordering::Relaxed);
        if total.saturating_add(permits.into()) > self.most.load(Ordering::Relaxed) {
            return Err(TooMany);
        }
        self.add_to_total(permits);
        drop(entered);
        self.tell(permits);
        Ok(())
    }

    fn add_to_total(&self, permits: u32) {
        let total = self.total.load(Ordering::Relaxed);
        let more = total.saturating_add(permits.into());
        self.total.store(more, Ordering::Relaxed);
    }

    fn tell(&self, permits: u32) {
        if permits > 0 {
            let _ = self.changes.post(Post::Add(1), permits, |_| true);
        }
    }

    /// With the gate in hand.
    fn take(&self, me: Owner) -> Option<Permit> {
        if self.free() == 0 && !(self.bury(me) && self.free() > 0) {
            return None;
        }
        let empty = || self.used().iter().find(|row| row.owner().is_none());
        let row = self.row_of(me).or_else(empty).or_else(|| self.another());
        let row = row.or_else(|| self.bury(me).then(empty)?);
        let Some(row) = row else {
            let total = self.total.load(Ordering::Relaxed);
            self.total.store(total.saturating_sub(1), Ordering::Relaxed);
            return Some(Permit::Loose);
        };
        row.owner.store(me.word(), Ordering::Relaxed);
        crash_point("sync.ledger.named");
        row.held
            .store(row.held().saturating_add(1), Ordering::Relaxed);
        Some(Permit::Noted)
    }

    fn used(&self) -> &[LedgerRow] {
        let used = self.used.load(Ordering::Relaxed) as usize;
        &self.rows[..used.min(LEDGER_ROWS)]
    }

    /// One more row, if there is one.
    fn another(&self) -> Option<&LedgerRow> {
        let used = self.used().len();
        let row = self.rows.get(used)?;
        self.used.store(used as u64 + 1, Ordering::Relaxed);
        Some(row)
    }

    fn row_of(&self, me: Owner) -> Option<&LedgerRow> {
        self.used().iter().find(|row| row.owner() == Some(me))
    }

    /// One permit less on this process's row; whether there was one.
    fn strike_out(&self, me: Owner) -> bool {
        let Some(row) = self.row_of(me) else {
            return false;
        };
        let held = row.held();
        row.held.store(held.saturating_sub(1), Ordering::Relaxed);
        if held <= 1 {
            row.owner.store(0, Ordering::Relaxed);
        }
        held > 0
    }

    /// Takes the dead off the ledger; whether there were any. Others that wait are told, as what comes back may be more than one needs.
    fn bury(&self, me: Owner) -> bool {
        let mut returned = 0_u64;
        let mut any = false;
        for row in self.used() {
            let Some(owner) = row.owner().filter(|owner| *owner != me) else {
                continue;
            };
            if owner.lived_lately() {
                continue;
            }
            self.died.store(owner.word(), Ordering::Relaxed);
            returned = returned.saturating_add(row.held());
            row.held.store(0, Ordering::Relaxed);
            crash_point("sync.ledger.buried");
            row.owner.store(0, Ordering::Relaxed);
            any = true;
        }
        self.tell(u32::try_from(returned).unwrap_or(u32::MAX));
        any
    }

    fn enter(&self, me: Owner, deadline: Deadline) -> Option<Entered<'_>> {
        let gate = self.gate.acquire(me, deadline, || Ok::<_, Infallible>(()));
        match gate {
            // Whatever a dead one had begun, each of its steps left the ledger right.
            Ok(Taken::Clean | Taken::Recovered(_)) => Some(Entered(self)),
            Err(_) => None,
        }
    }

    /// The same without a limit.
    fn enter_anyhow(&self, me: Owner) -> Option<Entered<'_>> {
        let entered = self.enter(me, Deadline::NEVER);
        debug_assert!(entered.is_some(), "no deadline and no interrupt");
        entered
    }
}

#[cfg(test)]
mod tests;
