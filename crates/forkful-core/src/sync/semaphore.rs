//! Permits that any process takes and gives: nobody holds one, so nobody's death gives one back.

use super::owner::Owner;
use super::sleepers::{MOST, Post};
use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::prim::Ordering;
use crate::shm::SemaphoreCell;
use std::convert::Infallible;

/// There are as many permits as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl SemaphoreCell {
    /// Fills a new one.
    pub fn init(&self, value: u32, most: u32) {
        self.most.store(most.min(MOST), Ordering::Relaxed);
        let _ = self.value.update(|_| Some(value.min(most)));
    }

    /// The permits there are.
    pub fn value(&self) -> u32 {
        self.value.number()
    }

    /// The most there may be.
    pub fn most(&self) -> u32 {
        self.most.load(Ordering::Relaxed)
    }

    /// Which process took one last.
    pub fn last_taker(&self) -> Option<Owner> {
        Owner::from_word(self.taker.load(Ordering::Relaxed))
    }

    /// Takes one if there is one.
    #[inline]
    pub fn try_acquire(&self, me: Owner) -> bool {
        let taken = self.value.update(|number| number.checked_sub(1)).is_ok();
        if taken {
            self.taker.store(me.word(), Ordering::Relaxed);
        }
        taken
    }

    /// Takes one, at most until `deadline`.
    #[inline]
    pub fn acquire<E>(
        &self,
        me: Owner,
        deadline: Deadline,
        interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<(), WaitError<E>> {
        if self.try_acquire(me) {
            return Ok(());
        }
        let take = |_| self.value.update(|number| number.checked_sub(1));
        self.value.wait(take, deadline, interrupt)?;
        self.taker.store(me.word(), Ordering::Relaxed);
        Ok(())
    }

    /// Gives one, waiting if need be: see [`SemaphoreCell::try_release`].
    pub fn release(&self, me: Owner) -> Result<(), TooMany> {
        if let Some(released) = self.try_release(me) {
            return released;
        }
        // Whether the last one died here says nothing: what he did is one step.
        let gate = self
            .gate
            .acquire(me, Deadline::NEVER, || Ok::<_, Infallible>(()));
        debug_assert!(gate.is_ok(), "no deadline and no interrupt");
        self.give_and_leave()
    }

    /// Gives one, if no other process is about to. Where the most is less than the number holds, this is for one at a time: a change
    /// that the kernel makes with its wake can't look first, and takers only make room.
    #[inline]
    pub fn try_release(&self, me: Owner) -> Option<Result<(), TooMany>> {
        if self.most() >= MOST {
            return Some(self.give());
        }
        let _gate = self.gate.try_acquire(me)?;
        Some(self.give_and_leave())
    }

    fn give_and_leave(&self) -> Result<(), TooMany> {
        let given = self.give();
        let _ = self.gate.release();
        given
    }

    #[inline]
    fn give(&self) -> Result<(), TooMany> {
        let most = self.most();
        let given = self.value.post(Post::Add(1), 1, |number| number < most);
        given.map_err(|_| TooMany)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    fn never() -> Result<(), ()> {
        Ok(())
    }

    #[test]
    fn permits_are_taken_and_given() {
        let (semaphore, me) = (SemaphoreCell::default(), Owner::me());
        semaphore.init(2, MOST);
        assert_eq!(semaphore.last_taker(), None);
        assert!(semaphore.try_acquire(me) && semaphore.try_acquire(me));
        assert!(!semaphore.try_acquire(me));
        assert_eq!(semaphore.last_taker(), Some(me));
        let soon = Deadline::after(Duration::from_millis(2));
        assert_eq!(semaphore.acquire(me, soon, never), Err(WaitError::TimedOut));
        assert_eq!(semaphore.release(me), Ok(()));
        assert_eq!(semaphore.value(), 1);
    }

    #[test]
    fn the_most_is_never_passed_whoever_waits() {
        let (semaphore, me) = (SemaphoreCell::default(), Owner::me());
        semaphore.init(1, 1);
        assert_eq!(semaphore.release(me), Err(TooMany));
        let refused = AtomicU32::new(0);
        assert!(semaphore.try_acquire(me));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        semaphore.acquire(me, Deadline::NEVER, never).unwrap();
                        assert_eq!(semaphore.value(), 0);
                        semaphore.release(me).unwrap();
                    }
                });
            }
            scope.spawn(|| {
                semaphore.release(me).unwrap();
            });
        });
        assert_eq!(semaphore.value(), 1);
        // Of several that give at once, as many succeed as there is room for.
        assert!(semaphore.try_acquire(me));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    if semaphore.release(me).is_err() {
                        refused.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!((semaphore.value(), refused.into_inner()), (1, 3));
    }
}
