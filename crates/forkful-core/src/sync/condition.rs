//! Waiting under a lock until somebody says that something has changed; who waits at that moment is woken, in the order of arrival.
//!
//! Each waiter has a place in the condition's own memory, where his process and the time of his arrival stand. He takes it, and
//! gives it back, with the user's lock in his hand, and who notifies has that too: so the places need no lock of their own, and who
//! has left in time can't be notified any more.
//!
//! **A notification whose receiver is killed** before he has the lock again stands in his place. Others that wait look at the places
//! now and then, and one that came before it was given goes on in the dead one's stead. Who is alone need not look: he sleeps
//! without a limit, and says so in his place (DEEP); who comes then wakes him so that he looks again. Of the two, one sets DEEP and
//! then looks at all places, the other takes a place and then looks for DEEP; at least one sees the other.
//!
//! **Who is not alone** frees the places of the dead without the lock, so he may come late: the place is another one's by then. The high
//! half of a place's word tells them apart, as it has the time of the arrival; what he exchanges is the whole.
//!
//! Past 64 waiters there are no places: those who come then share a number of permits, in no order, and one that was killed may leave
//! a permit that ends a later wait too early, as any wait may end.

use super::owner::Owner;
use super::sleepers::Post;
use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::prim::{MODELLED, Ordering, fence};
use crate::shm::{ConditionCell, WaiterPlace};
use crate::sys::{Change, Slept, crash_point, spin_or_yield_until};
use std::time::Duration;

/// Somebody waits here.
const WAITING: u32 = 1;
/// He was notified.
const NOTIFIED: u32 = 2;
const NOTIFIED_BIT: u8 = 1;
/// He sleeps without a limit.
const DEEP: u32 = 4;
const DEEP_BIT: u8 = 2;

/// More threads than this no kernel has, so no more can wait.
const THREADS: u64 = 1 << 22;
/// The most that are notified by one system call.
const STEP: u64 = 2047;

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

/// Where a waiter waits.
#[must_use = "whoever has entered has to leave"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiter {
    /// At this place.
    Placed(usize),
    /// Among those who found none.
    Crowded,
}

/// What ended a sleep; whether he was notified, [`ConditionCell::leave`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// He was notified, or may go on in a dead one's stead.
    Roused,
    /// The deadline passed.
    TimedOut,
}

impl WaiterPlace {
    /// In the low half the state, in the high one which arrival it belongs to.
    fn word(&self) -> u64 {
        self.state.load(Ordering::SeqCst)
    }

    fn state(&self) -> u32 {
        self.word() as u32
    }

    /// Changes the state, if nothing has changed since `word` was read.
    fn exchange(&self, word: u64, to: u32) -> bool {
        let next = (word & !u64::from(u32::MAX)) | u64::from(to);
        self.state
            .compare_exchange(word, next, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    /// The same from a state, where no other arrival can come between: at one's own place, or with the lock in hand.
    fn turn(&self, from: u32, to: u32) -> bool {
        let word = self.word();
        word as u32 == from && self.exchange(word, to)
    }

    fn owner(&self) -> Option<Owner> {
        Owner::from_word(self.owner.load(Ordering::Relaxed))
    }

    /// Whether the process that has it is dead. A place is nobody's for a moment while it is taken.
    fn is_orphaned(&self) -> bool {
        self.owner().is_some_and(|owner| !owner.lived_lately())
    }
}

impl ConditionCell {
    /// Takes a place. With the user's lock in hand, as long as nothing else is said.
    pub fn enter(&self, me: Owner) -> Waiter {
        let free = |place: &WaiterPlace| place.state() == 0;
        let found = self.places.iter().position(free).or_else(|| {
            self.bury();
            self.places.iter().position(free)
        });
        let Some(nth) = found else {
            self.crowded.fetch_add(1, Ordering::Relaxed);
            return Waiter::Crowded;
        };
        let place = &self.places[nth];
        place.owner.store(me.word(), Ordering::Relaxed);
        let came = self.tick();
        place.came.store(came, Ordering::Relaxed);
        let word = (came << 32) | u64::from(WAITING);
        place.state.store(word, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        for other in self.places.iter() {
            if other.state() & DEEP != 0 {
                other.state.change_and_wake(Change::ClearBit(DEEP_BIT), 1);
            }
        }
        Waiter::Placed(nth)
    }

    /// Sleeps until notified, without the user's lock. After that, and after an error too, the lock is taken again and then comes
    /// [`ConditionCell::leave`].
    pub fn sleep<E>(
        &self,
        waiter: Waiter,
        deadline: Deadline,
        mut interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<Left, WaitError<E>> {
        match waiter {
            Waiter::Placed(nth) => self.sleep_at(&self.places[nth], deadline, interrupt),
            Waiter::Crowded => {
                // A permit that is seen here is taken when the lock is.
                let permit = |number| if number > 0 { Ok(()) } else { Err(number) };
                match self.crowd.wait(permit, deadline, &mut interrupt) {
                    Ok(()) => Ok(Left::Roused),
                    Err(WaitError::TimedOut) => Ok(Left::TimedOut),
                    Err(error) => Err(error),
                }
            }
        }
    }

    /// Gives the place back; whether he was notified.
    pub fn leave(&self, waiter: Waiter) -> bool {
        let Waiter::Placed(nth) = waiter else {
            return self.leave_crowd();
        };
        let place = &self.places[nth];
        let notified = place.state() & NOTIFIED != 0 || self.inherit(place);
        place.state.store(0, Ordering::SeqCst);
        notified
    }

    /// Whether a waiter whose sleep ended by [`Left::Roused`] has been notified, or inherits. Else he sleeps on, at the same place.
    pub fn is_roused(&self, waiter: Waiter) -> bool {
        match waiter {
            Waiter::Placed(nth) => {
                let place = &self.places[nth];
                place.state() & NOTIFIED != 0 || self.find_heritage(place).is_some()
            }
            Waiter::Crowded => self.crowd.number() > 0,
        }
    }

    /// Notifies those `count` of the present waiters that have waited longest.
    pub fn notify(&self, count: usize) {
        let mut left = count;
        while left > 0 {
            let Some(place) = self.oldest() else {
                self.notify_crowd(left);
                return;
            };
            if place.is_orphaned() {
                // Unless a waiter has just done the same.
                let _ = place.turn(place.state() & !NOTIFIED, 0);
                continue;
            }
            place.notified.store(self.tick(), Ordering::Relaxed);
            crash_point("sync.condition.notify");
            place.state.change_and_wake(Change::SetBit(NOTIFIED_BIT), 1);
            // One that was found dead and cleared meanwhile got none.
            if place.state() & WAITING != 0 {
                left -= 1;
            } else {
                let _ = place.turn(NOTIFIED, 0);
            }
        }
    }

    /// How many wait and have not been notified.
    pub fn waiting(&self) -> usize {
        let here = self.places.iter().filter(|place| waits(place)).count();
        here.saturating_add(self.crowded.load(Ordering::Relaxed) as usize)
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    fn oldest(&self) -> Option<&WaiterPlace> {
        let waiting = self.places.iter().filter(|place| waits(place));
        waiting.min_by_key(|place| place.came.load(Ordering::Relaxed))
    }

    /// Frees the places of the dead, except what is left there for the living.
    fn bury(&self) {
        for place in self.places.iter() {
            let word = place.word();
            let state = word as u32;
            let lost = state & NOTIFIED != 0 && self.may_be_inherited(place);
            if state != 0 && !lost && place.is_orphaned() {
                let _ = place.exchange(word, 0);
            }
        }
    }

    /// Whether somebody waits who came before this notification.
    fn may_be_inherited(&self, place: &WaiterPlace) -> bool {
        let given = place.notified.load(Ordering::Relaxed);
        self.places
            .iter()
            .any(|other| waits(other) && other.came.load(Ordering::Relaxed) < given)
    }

    /// A notification for one who is dead, given while this one waited.
    fn find_heritage(&self, mine: &WaiterPlace) -> Option<&WaiterPlace> {
        let came = mine.came.load(Ordering::Relaxed);
        self.places.iter().find(|other| {
            other.state() & NOTIFIED != 0
                && other.notified.load(Ordering::Relaxed) > came
                && other.is_orphaned()
        })
    }

    fn inherit(&self, mine: &WaiterPlace) -> bool {
        let heritage = self.find_heritage(mine);
        heritage.is_some_and(|other| {
            let word = other.word();
            word as u32 & NOTIFIED != 0 && other.exchange(word, 0)
        })
    }

    fn notify_crowd(&self, left: usize) {
        let waiting = self.crowded.load(Ordering::Relaxed);
        let mut rest = (left as u64).min(waiting).min(THREADS);
        while rest > 0 {
            let some = rest.min(STEP);
            let post = Post::Add(some as u16);
            let _ = self.crowd.post(post, some as u32, |_| true);
            crash_point("sync.condition.crowd");
            // Afterwards: killed between the two, one ends a later wait too early. The other way round a waiter that is not counted
            // would never be notified.
            let waits = self.crowded.load(Ordering::Relaxed);
            self.crowded
                .store(waits.saturating_sub(some), Ordering::Relaxed);
            rest -= some;
        }
        // More than there can be were written by somebody who had no business there.
        if waiting > THREADS {
            self.crowded.store(0, Ordering::Relaxed);
        }
    }

    fn leave_crowd(&self) -> bool {
        let permitted = self.crowd.update(|number| number.checked_sub(1)).is_ok();
        if !permitted {
            let waits = self.crowded.load(Ordering::Relaxed);
            self.crowded
                .store(waits.saturating_sub(1), Ordering::Relaxed);
        }
        permitted
    }

    fn sleep_at<E>(
        &self,
        place: &WaiterPlace,
        deadline: Deadline,
        mut interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<Left, WaitError<E>> {
        if spin_or_yield_until(|| place.state() & NOTIFIED != 0) {
            return Ok(Left::Roused);
        }
        let mut slice = FIRST;
        loop {
            let state = place.state();
            if state & NOTIFIED != 0 {
                return Ok(Left::Roused);
            }
            if deadline.passed() {
                return Ok(Left::TimedOut);
            }
            // A signal that came during the spin, or between two sleeps, interrupts no sleep any more.
            interrupt().map_err(WaitError::Interrupted)?;
            // In a model the first slice ends at once, and all later ones never: without kills nobody needs to look.
            let end = if state & DEEP != 0 || MODELLED && slice > FIRST {
                deadline
            } else {
                deadline.earlier(Deadline::after(slice))
            };
            match place.state.sleep(state, end) {
                Slept::Woken | Slept::Interrupted => {}
                Slept::TimedOut if deadline.passed() => {}
                Slept::TimedOut => {
                    if self.find_heritage(place).is_some() {
                        return Ok(Left::Roused);
                    }
                    if self.is_alone(place)
                        && place.turn(WAITING, WAITING | DEEP)
                        && !self.is_alone(place)
                    {
                        place.turn(WAITING | DEEP, WAITING);
                    }
                    slice = (slice * 2).min(LONGEST);
                }
            }
        }
    }

    /// Whether nobody else has a place. Frees those of the dead in which nothing lies for anybody.
    fn is_alone(&self, mine: &WaiterPlace) -> bool {
        fence(Ordering::SeqCst);
        self.places.iter().all(|other| {
            let word = other.word();
            let state = word as u32;
            // Who may inherit has waited since before; nobody is added to them.
            let empty = || state & NOTIFIED == 0 || !self.may_be_inherited(other);
            state == 0
                || std::ptr::eq(other, mine)
                || other.is_orphaned() && empty() && other.exchange(word, 0)
        })
    }
}

fn waits(place: &WaiterPlace) -> bool {
    place.state() & (WAITING | NOTIFIED) == WAITING
}

#[cfg(test)]
mod tests;
