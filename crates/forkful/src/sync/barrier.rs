//! A place where so many processes wait for each other.

use super::go_on;
use super::place::Words;
use forkful_core::deadline::Deadline;
use forkful_core::sync::barrier::Place;
use forkful_core::sync::{Arrival, BarrierCell, Broken, Owner};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// A place where a number of processes, or threads, wait until all have come; then all go on, and the next round begins.
///
/// It breaks when one of those that wait has waited longer than it meant to, when the action of a round panics or its process is
/// killed, and by [`abort`](Barrier::abort): then all who wait get [`BrokenBarrier`], and all who come, until somebody
/// [resets](Barrier::reset) it. A process that is killed while it waits has come for this round, and breaks no later one. One that
/// is killed before it comes is waited for: use [`wait_timeout`](Barrier::wait_timeout) where that may happen.
///
/// # Examples
/// ```
/// use forkful::sync::Barrier;
///
/// let barrier = Barrier::new(2)?;
/// let other = barrier.clone();
/// let thread = std::thread::spawn(move || other.wait().unwrap().is_leader());
/// let here = barrier.wait().unwrap().is_leader();
/// assert_ne!(here, thread.join().unwrap());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct Barrier {
    words: Words<BarrierCell>,
}

/// Who was which in a round of a [`Barrier`].
///
/// # Examples
/// ```
/// let round = forkful::sync::Barrier::new(1)?.wait().unwrap();
/// assert!(round.is_leader() && round.index() == 0);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierWaitResult {
    index: u32,
    leader: bool,
}

impl BarrierWaitResult {
    /// Whether this one came last: exactly one of each round did.
    ///
    /// # Examples
    /// ```
    /// if forkful::sync::Barrier::new(1)?.wait().unwrap().is_leader() {
    ///     println!("one of all says it");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_leader(&self) -> bool {
        self.leader
    }

    /// How many had come before: a number of its own for each of a round, from 0 on.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(forkful::sync::Barrier::new(1)?.wait().unwrap().index(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn index(&self) -> u32 {
        self.index
    }
}

/// The barrier is broken, or this round of it was.
///
/// # Examples
/// ```
/// use forkful::sync::{Barrier, BrokenBarrier};
///
/// fn phase(barrier: &Barrier) -> Result<(), BrokenBarrier> {
///     barrier.wait()?;
///     Ok(())
/// }
/// # let barrier = Barrier::new(1)?;
/// # phase(&barrier).unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the barrier is broken: one of those that wait there gave up or died; reset it to use it again"
)]
#[non_exhaustive]
pub struct BrokenBarrier;

/// An action that runs, until dropped: well only if it came to its end.
struct Acting<'a> {
    cell: &'a BarrierCell,
    place: Place,
    well: bool,
    owner: Owner,
}

impl Drop for Acting<'_> {
    fn drop(&mut self) {
        // A forked child that returns from the action has not come here, and holds nothing.
        if self.owner.is_me() {
            self.cell.acted(self.place, self.well);
        }
    }
}

impl Barrier {
    /// One for so many parties.
    ///
    /// # Errors
    /// What the system says if it gives no shared memory.
    ///
    /// # Panics
    /// If `parties` is 0.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(forkful::sync::Barrier::new(3)?.parties(), 3);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(parties: u32) -> io::Result<Barrier> {
        assert!(parties > 0, "parties is 0: a barrier needs one at least");
        let words: Words<BarrierCell> = Words::new()?;
        words.get().init(parties);
        Ok(Barrier { words })
    }

    /// Waits until all have come.
    ///
    /// # Errors
    /// [`BrokenBarrier`] if it is broken, or breaks meanwhile.
    ///
    /// # Examples
    /// ```
    /// # let barrier = forkful::sync::Barrier::new(1)?;
    /// barrier.wait().unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait(&self) -> Result<BarrierWaitResult, BrokenBarrier> {
        self.pass(Deadline::NEVER, None::<fn()>)
    }

    /// Waits until all have come, for `timeout` at most; if that is too short, the barrier breaks, for all.
    ///
    /// # Errors
    /// [`BrokenBarrier`] if it is broken, or breaks meanwhile.
    ///
    /// # Examples
    /// ```
    /// let barrier = forkful::sync::Barrier::new(2)?;
    /// let soon = std::time::Duration::from_millis(5);
    /// assert!(barrier.wait_timeout(soon).is_err());
    /// assert!(barrier.is_broken());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> Result<BarrierWaitResult, BrokenBarrier> {
        self.pass(Deadline::after(timeout), None::<fn()>)
    }

    /// Waits until all have come; the one that comes last calls its `action` before any of them goes on.
    ///
    /// If that panics, the panic goes on through here, and the barrier breaks; it also breaks if the process is killed meanwhile. The
    /// action must not use this barrier.
    ///
    /// # Errors
    /// [`BrokenBarrier`] if it is broken, or breaks meanwhile.
    ///
    /// # Examples
    /// ```
    /// # let barrier = forkful::sync::Barrier::new(1)?;
    /// barrier.wait_with(|| println!("all are here")).unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_with(&self, action: impl FnOnce()) -> Result<BarrierWaitResult, BrokenBarrier> {
        self.pass(Deadline::NEVER, Some(action))
    }

    /// Breaks it. If an action runs, when that is over.
    ///
    /// # Examples
    /// ```
    /// let barrier = forkful::sync::Barrier::new(2)?;
    /// barrier.abort();
    /// assert!(barrier.wait().is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn abort(&self) {
        let _ = self.words.get().abort(Owner::me(), go_on);
    }

    /// Makes it new. Who waits at it gets [`BrokenBarrier`].
    ///
    /// # Examples
    /// ```
    /// let barrier = forkful::sync::Barrier::new(1)?;
    /// barrier.abort();
    /// barrier.reset();
    /// assert!(barrier.wait().is_ok());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn reset(&self) {
        let _ = self.words.get().reset(Owner::me(), go_on);
    }

    /// Whether it is broken.
    ///
    /// # Examples
    /// ```
    /// assert!(!forkful::sync::Barrier::new(1)?.is_broken());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_broken(&self) -> bool {
        self.words.get().is_broken()
    }

    /// How many make a round.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(forkful::sync::Barrier::new(2)?.parties(), 2);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn parties(&self) -> u32 {
        self.words.get().parties()
    }

    /// How many have come for the present round.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(forkful::sync::Barrier::new(2)?.waiting(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn waiting(&self) -> u32 {
        self.words.get().arrived()
    }

    fn pass(
        &self,
        deadline: Deadline,
        action: Option<impl FnOnce()>,
    ) -> Result<BarrierWaitResult, BrokenBarrier> {
        let (cell, me) = (self.words.get(), Owner::me());
        let arrived = match cell.arrive(me, action.is_some(), go_on) {
            Ok(arrived) => arrived.map_err(|Broken| BrokenBarrier)?,
            Err(_) => unreachable!("there was no deadline"),
        };
        let (place, leader) = match arrived {
            Arrival::Last(place) => (place, true),
            Arrival::Act(place) => {
                let mut acting = Acting {
                    cell,
                    place,
                    well: false,
                    owner: me,
                };
                if let Some(action) = action {
                    action();
                }
                acting.well = true;
                (place, true)
            }
            Arrival::Early(place) => match cell.wait(me, place, deadline, go_on) {
                Ok(Ok(())) => (place, false),
                Ok(Err(Broken)) | Err(_) => return Err(BrokenBarrier),
            },
        };
        Ok(BarrierWaitResult {
            index: place.index,
            leader,
        })
    }
}

impl fmt::Debug for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Barrier")
            .field("parties", &self.parties())
            .field("waiting", &self.waiting())
            .field("broken", &self.is_broken())
            .finish()
    }
}
