//! Waiting for a number that nobody holds, at no cost while nothing happens, and with no wake lost to a kill.
//!
//! All is one word: the number (31 bits), whether somebody sleeps without a limit ([`DEEP`]), and, in the high half, how many wait.
//! Processes sleep on its low half.
//!
//! **Who changes the number** so that waits end either sees that nobody waits, and an exchange of the whole word proves it true at
//! that very moment; or has the kernel change it and wake in one system call. A kill comes before that or after it. So whoever
//! is asleep is woken by every change that was meant to wake him.
//!
//! **Who was woken may be killed** before he takes what he was woken for, and then it lies there while others sleep on. So those who
//! are not alone look again now and then: after 20 ms, and then in doubling slices up to a second. Who is alone loses nothing by
//! another one's death, and sleeps without a limit. He is alone if he has set DEEP and the kernel counts no other sleeper then:
//!
//! ```text
//!     slice of 20 ms passes -> set DEEP -> does anybody else sleep? -- no --> sleep while DEEP stands, without a limit
//!                                               | yes
//!                                               v
//!                                          clear DEEP, sleep for a slice twice as long
//! ```
//!
//! Nobody can fall asleep beside him unseen: a sleep begins only if the low half is as it was looked at, and who sees DEEP clears it
//! and wakes its owner first, in one system call. The count of waiters can't tell who is alone, as the killed stay in it; that
//! costs those who change the number a system call where none is needed, and nothing else.

use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::prim::{MODELLED, Ordering};
use crate::shm::Sleepers;
use crate::sys::{Change, Slept, crash_point, spin_or_yield_until};
use std::time::Duration;

/// Somebody sleeps without a limit, or did.
const DEEP_BIT: u8 = 31;
const DEEP: u32 = 1 << DEEP_BIT;

/// One who waits, in the high half.
const ONE: u64 = 1 << 32;

/// The largest number.
pub const MOST: u32 = DEEP - 1;

/// How long a sleep lasts at first, and at most.
const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

/// A change of the number that ends waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// Adds so much, 2047 at most. Past [`MOST`] the number begins again at 0.
    Add(u16),
    /// Sets the lowest bit.
    SetLowest,
}

impl Post {
    fn applied(self, number: u32) -> u32 {
        match self {
            Post::Add(more) => number.wrapping_add(more.into()) & MOST,
            Post::SetLowest => number | 1,
        }
    }

    fn as_change(self) -> Change {
        match self {
            Post::Add(more) => Change::Add(more),
            Post::SetLowest => Change::SetBit(0),
        }
    }
}

fn number_of(word: u64) -> u32 {
    word as u32 & MOST
}

impl Sleepers {
    /// The number.
    #[inline]
    pub fn number(&self) -> u32 {
        // SYNC(sync.sleepers): acquire
        number_of(self.word.load(Ordering::Acquire))
    }

    /// How many wait, and have waited when they were killed.
    pub fn waiters(&self) -> u32 {
        (self.word.load(Ordering::Relaxed) >> 32) as u32
    }

    /// Writes a number that no wait ends by, as `change` says, who is given the present one; `Err` with that if it says no.
    #[inline]
    pub fn update(&self, change: impl Fn(u32) -> Option<u32>) -> Result<u32, u32> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            let number = number_of(word);
            let Some(next) = change(number) else {
                return Err(number);
            };
            let next = (word & !u64::from(MOST)) | u64::from(next & MOST);
            // SYNC(sync.sleepers): acquire
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return Ok(number),
                Err(now) => word = now,
            }
        }
    }

    /// Changes the number and wakes at most `count` of those who sleep; a kill comes before both or after both. `allowed` is asked
    /// with the present number, which may change until it is done, if anybody waits; `Err` with the number if it says no.
    #[inline]
    pub fn post(&self, post: Post, count: u32, allowed: impl Fn(u32) -> bool) -> Result<(), u32> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if !allowed(number_of(word)) {
                return Err(number_of(word));
            }
            if word >= ONE {
                crash_point("sync.sleepers.post");
                // SYNC(sync.sleepers): release; a system call is a barrier, and the kernel's change a locked one.
                self.word.change_and_wake(post.as_change(), count);
                return Ok(());
            }
            // Nobody waits. DEEP may stand, of one who does no more.
            let next = (word & !u64::from(MOST)) | u64::from(post.applied(number_of(word)));
            // SYNC(sync.sleepers): release
            match self
                .word
                .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// Wakes one more, for one who was woken by a change and leaves others what it offers. The number stays as it is.
    pub fn wake_another(&self) {
        if self.waiters() > 0 {
            self.word.wake(1);
        }
    }

    /// Waits until `take` gives something. It is asked with the number whenever that may have changed, and takes by
    /// [`Sleepers::update`] or in a way of its own; what it can't, it can't as long as the number is the one in its `Err`, and only so
    /// long it sleeps. (Not: as long as the number is the one it was asked with. That may have gone and come back while it looked.)
    ///
    /// At most until `deadline`. `interrupt` is asked before each sleep, and so after each signal: its error ends the wait.
    pub fn wait<T, E>(
        &self,
        mut take: impl FnMut(u32) -> Result<T, u32>,
        deadline: Deadline,
        interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<T, WaitError<E>> {
        let mut taken = None;
        let ready = || {
            taken = take(self.number()).ok();
            taken.is_some()
        };
        if spin_or_yield_until(ready)
            && let Some(taken) = taken
        {
            return Ok(taken);
        }
        self.word.fetch_add(ONE, Ordering::SeqCst);
        let waited = self.sleep(take, deadline, interrupt);
        self.word.fetch_sub(ONE, Ordering::SeqCst);
        waited
    }

    fn sleep<T, E>(
        &self,
        mut take: impl FnMut(u32) -> Result<T, u32>,
        deadline: Deadline,
        mut interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<T, WaitError<E>> {
        let mut slice = FIRST;
        loop {
            // Looked at before `take` looks: what changes meanwhile keeps this thread awake.
            // SYNC(sync.sleepers): acquire
            let seen = self.word.load(Ordering::SeqCst) as u32;
            let blocked = match take(seen & MOST) {
                Ok(taken) => return Ok(taken),
                Err(number) => number & MOST,
            };
            if deadline.passed() {
                return Err(WaitError::TimedOut);
            }
            if seen & DEEP != 0 {
                // Whoever set it is not alone from here on, and has to look now and then. Or it was this thread, or a dead one.
                self.word
                    .change_and_wake(Change::ClearBit(DEEP_BIT), u32::MAX);
                continue;
            }
            // A signal that came during the spin, or between two sleeps, interrupts no sleep any more.
            interrupt().map_err(WaitError::Interrupted)?;
            // In a model the first slice ends at once, and all later ones never: without kills no wake may be lost.
            let end = if MODELLED && slice > FIRST {
                deadline
            } else {
                deadline.earlier(Deadline::after(slice))
            };
            match self.word.sleep(blocked, end) {
                Slept::Woken | Slept::Interrupted => {}
                Slept::TimedOut if deadline.passed() => {}
                Slept::TimedOut => {
                    if !self.go_deep(blocked) {
                        slice = (slice * 2).min(LONGEST);
                        continue;
                    }
                    slice = FIRST;
                    // Nobody looks again from here on, so one that came since the last look is asked for.
                    interrupt().map_err(WaitError::Interrupted)?;
                    // Which may have taken long: somebody else may have come meanwhile, and the bit may be his.
                    if self.word.sleepers() == Some(0) {
                        self.word.sleep(blocked | DEEP, deadline);
                    }
                }
            }
        }
    }

    /// Says that one sleeps without a limit while the number is `blocked`, if nobody else sleeps.
    fn go_deep(&self, blocked: u32) -> bool {
        // Asked first without DEEP, as clearing it wakes everybody.
        if self.word.sleepers() != Some(0) {
            return false;
        }
        let word = self.word.load(Ordering::SeqCst);
        let deep = word | u64::from(DEEP);
        if word as u32 != blocked
            || self
                .word
                .compare_exchange(word, deep, Ordering::SeqCst, Ordering::SeqCst)
                .is_err()
        {
            return false;
        }
        if self.word.sleepers() == Some(0) {
            return true;
        }
        // Not by an exchange: another one may have cleared it, and a third one set it for himself and fallen asleep.
        self.word
            .change_and_wake(Change::ClearBit(DEEP_BIT), u32::MAX);
        false
    }
}

#[cfg(test)]
mod tests;
