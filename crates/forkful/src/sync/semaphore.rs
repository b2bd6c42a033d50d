//! Permits that processes take and give back, by dying at the latest.

use super::place::Words;
use super::{go_on, pid_of};
use forkful_core::deadline::Deadline;
use forkful_core::sync::{LedgerCell, Owner, Permit as Taken, TooMany};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// A number of permits that processes, and the threads of each, take and give back: so many of them do something at a time.
///
/// A process that is killed while it holds permits gives them back by that: who waits finds it out within about 100 ms, and
/// nobody is told, as a permit guards nothing. That is so for the permits of 60 processes at a time; those of further ones have to be
/// dropped.
///
/// # Examples
/// Two at a time may use a licence:
///
/// ```
/// use forkful::sync::Semaphore;
///
/// let licences = Semaphore::new(2)?;
/// let one = licences.acquire();
/// let two = licences.acquire();
/// assert!(licences.try_acquire().is_none());
/// drop(one);
/// assert!(licences.try_acquire().is_some());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct Semaphore {
    words: Words<LedgerCell>,
}

/// A permit of a [`Semaphore`], given back when it is dropped.
///
/// # Examples
/// ```
/// # let semaphore = forkful::sync::Semaphore::new(1)?;
/// let permit = semaphore.acquire();
/// assert_eq!(semaphore.permits(), 0);
/// drop(permit);
/// assert_eq!(semaphore.permits(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "the permit is given back when it is dropped"]
pub struct Permit<'a> {
    semaphore: &'a Semaphore,
    taken: Taken,
    /// Who has taken it: a forked child has a copy, and no permit.
    owner: Owner,
}

/// A semaphore would have more permits than it may have.
///
/// # Examples
/// ```
/// let error = forkful::sync::Semaphore::bounded(3)?.release(1).unwrap_err();
/// assert_eq!(error.most, 3);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the semaphore would have more than {most} permits: release only what was forgotten before, or make one that has no bound"
)]
#[non_exhaustive]
pub struct TooManyPermits {
    /// The bound.
    pub most: u32,
}

impl Semaphore {
    /// One with so many permits, to which [`release`](Semaphore::release) may add any number.
    ///
    /// # Errors
    /// What the system says if it gives no shared memory.
    ///
    /// # Examples
    /// ```
    /// let semaphore = forkful::sync::Semaphore::new(0)?;
    /// semaphore.release(1).unwrap();
    /// let _permit = semaphore.acquire();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(permits: u32) -> io::Result<Semaphore> {
        Semaphore::with(permits, u32::MAX)
    }

    /// One with so many permits, and never more.
    ///
    /// # Errors
    /// What the system says if it gives no shared memory.
    ///
    /// # Examples
    /// ```
    /// let semaphore = forkful::sync::Semaphore::bounded(1)?;
    /// assert!(semaphore.release(1).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bounded(permits: u32) -> io::Result<Semaphore> {
        Semaphore::with(permits, permits)
    }

    fn with(permits: u32, most: u32) -> io::Result<Semaphore> {
        let words: Words<LedgerCell> = Words::new()?;
        words.get().init(permits, most);
        Ok(Semaphore { words })
    }

    /// Takes a permit, and waits until one is free.
    ///
    /// # Examples
    /// ```
    /// # let semaphore = forkful::sync::Semaphore::new(1)?;
    /// let _permit = semaphore.acquire();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn acquire(&self) -> Permit<'_> {
        // A gate that is held for longer than any limit is waited for anew.
        loop {
            let me = Owner::me();
            if let Ok(taken) = self.words.get().acquire(me, Deadline::NEVER, go_on) {
                return self.permit(taken, me);
            }
        }
    }

    /// Takes a permit if one is free, or its holder dead.
    ///
    /// # Examples
    /// ```
    /// # let semaphore = forkful::sync::Semaphore::new(0)?;
    /// assert!(semaphore.try_acquire().is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        let me = Owner::me();
        let taken = self.words.get().try_acquire(me)?;
        Some(self.permit(taken, me))
    }

    /// Takes a permit, and waits for `timeout` at most; `None` if none was free until then.
    ///
    /// # Examples
    /// ```
    /// # let semaphore = forkful::sync::Semaphore::new(0)?;
    /// let soon = std::time::Duration::from_millis(5);
    /// assert!(semaphore.acquire_timeout(soon).is_none());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<Permit<'_>> {
        let (me, deadline) = (Owner::me(), Deadline::after(timeout));
        let taken = self.words.get().acquire(me, deadline, go_on);
        taken.ok().map(|taken| self.permit(taken, me))
    }

    /// Adds so many permits, those that nobody drops: [forgotten](Permit::forget) ones, or new ones.
    ///
    /// # Errors
    /// [`TooManyPermits`], and nothing is added, if it would have more than it was made with and is [bounded](Semaphore::bounded), or
    /// more than [`u32::MAX`].
    ///
    /// # Examples
    /// One process takes, another one gives:
    ///
    /// ```
    /// # let semaphore = forkful::sync::Semaphore::new(1)?;
    /// semaphore.acquire().forget();
    /// semaphore.release(1).unwrap();
    /// assert_eq!(semaphore.permits(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn release(&self, permits: u32) -> Result<(), TooManyPermits> {
        let cell = self.words.get();
        let added = cell.add(Owner::me(), permits);
        added.map_err(|TooMany| TooManyPermits { most: cell.most() })
    }

    /// How many permits are free at this moment. Those of a process that died count as held until somebody needs them.
    ///
    /// # Examples
    /// ```
    /// let semaphore = forkful::sync::Semaphore::new(3)?;
    /// let _permit = semaphore.acquire();
    /// assert_eq!(semaphore.permits(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn permits(&self) -> u32 {
        self.words.get().free()
    }

    /// The process that died last with permits in its hand, as far as somebody has found out.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(forkful::sync::Semaphore::new(3)?.owner_died(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn owner_died(&self) -> Option<i32> {
        self.words.get().last_death().map(pid_of)
    }

    fn permit(&self, taken: Taken, owner: Owner) -> Permit<'_> {
        Permit {
            semaphore: self,
            taken,
            owner,
        }
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("permits", &self.permits())
            .finish()
    }
}

impl Permit<'_> {
    /// Takes the permit out of the semaphore: nothing gives it back, neither this process's end nor a drop, until somebody
    /// [releases](Semaphore::release) one.
    ///
    /// # Examples
    /// ```
    /// # let semaphore = forkful::sync::Semaphore::new(1)?;
    /// semaphore.acquire().forget();
    /// assert_eq!(semaphore.permits(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn forget(self) {
        if self.owner.is_me() {
            self.semaphore.words.get().forget(self.owner, self.taken);
        }
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.owner.is_me() {
            self.semaphore.words.get().release(self.owner, self.taken);
        }
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
