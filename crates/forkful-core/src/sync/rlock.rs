//! A lock that the thread that holds it may take again, and that outlives its process.

use super::lock::{NotHeld, Taken};
use super::owner::Owner;
use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::prim::Ordering;
use crate::shm::RLockCell;
use std::cell::Cell;
use std::sync::atomic::AtomicU64;

/// A number that no other thread of this process has or had. A forked child's thread keeps its own, and is another process's.
#[inline]
pub fn thread_number() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    thread_local! {
        static OWN: Cell<u64> = const { Cell::new(0) };
    }
    OWN.with(|own| {
        if own.get() == 0 {
            own.set(LAST.fetch_add(1, Ordering::Relaxed) + 1);
        }
        own.get()
    })
}

/// What the calling thread writes on what it holds. The process is part of it: a thread of one that takes a dead one's lock over must
/// not be told that it is already its own, by what the dead one's thread of the same number has left there.
#[inline]
fn mark(me: Owner) -> u64 {
    me.word().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ thread_number()
}

impl RLockCell {
    /// Whether the calling thread holds it.
    ///
    /// The thread is written by the one that has just taken the lock, and erased before the lock is given back: a thread that finds its
    /// own number beside its own process has written it.
    #[inline]
    pub fn is_mine(&self, me: Owner) -> bool {
        self.thread.load(Ordering::Relaxed) == mark(me) && self.lock.owner() == Some(me)
    }

    /// How often its holder has taken it.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Takes it if it is free or its holder dead, or once more if it is this thread's.
    #[inline]
    pub fn try_acquire(&self, me: Owner) -> Option<Taken> {
        if self.take_again(me) {
            return Some(Taken::Clean);
        }
        let taken = self.lock.try_recover(me)?;
        self.begin(me, 1);
        Some(taken)
    }

    /// Takes it, at most until `deadline`, or once more if it is this thread's.
    #[inline]
    pub fn acquire<E>(
        &self,
        me: Owner,
        deadline: Deadline,
        interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<Taken, WaitError<E>> {
        if self.take_again(me) {
            return Ok(Taken::Clean);
        }
        let taken = self.lock.acquire(me, deadline, interrupt)?;
        self.begin(me, 1);
        Ok(taken)
    }

    /// As a lock that can be taken once: takes it if it is free or its holder dead.
    #[inline]
    pub fn try_acquire_once(&self, me: Owner) -> Option<Taken> {
        let taken = self.lock.try_recover(me)?;
        self.begin(me, 1);
        Some(taken)
    }

    /// The same if it is free: one exchange, and no look at the holder.
    #[inline]
    pub fn take_free(&self, me: Owner) -> bool {
        let taken = self.lock.try_acquire(me).is_some();
        if taken {
            self.begin(me, 1);
        }
        taken
    }

    /// The same, at most until `deadline`.
    #[inline]
    pub fn acquire_once<E>(
        &self,
        me: Owner,
        deadline: Deadline,
        interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<Taken, WaitError<E>> {
        let taken = self.lock.acquire(me, deadline, interrupt)?;
        self.begin(me, 1);
        Ok(taken)
    }

    /// As a lock that anybody gives back: whoever holds it.
    #[inline]
    pub fn release_any(&self) -> Result<(), NotHeld> {
        self.end()
    }

    /// Gives it back, if this thread holds it; the last time for real.
    #[inline]
    pub fn release(&self, me: Owner) -> Result<(), NotHeld> {
        if !self.is_mine(me) {
            return Err(NotHeld);
        }
        match self.count() {
            0 | 1 => self.end(),
            more => {
                self.count.store(more - 1, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Gives it back however often it was taken; how often that was.
    pub fn release_all(&self, me: Owner) -> Result<u64, NotHeld> {
        if !self.is_mine(me) {
            return Err(NotHeld);
        }
        let count = self.count();
        self.end().map(|()| count)
    }

    /// After it was taken anew by [`RLockCell::acquire`]: as often as before.
    pub fn restore(&self, count: u64) {
        self.count.store(count.max(1), Ordering::Relaxed);
    }

    #[inline]
    fn take_again(&self, me: Owner) -> bool {
        let mine = self.is_mine(me);
        if mine {
            self.count.store(self.count() + 1, Ordering::Relaxed);
        }
        mine
    }

    #[inline]
    fn begin(&self, me: Owner, count: u64) {
        self.count.store(count, Ordering::Relaxed);
        self.thread.store(mark(me), Ordering::Relaxed);
    }

    #[inline]
    fn end(&self) -> Result<(), NotHeld> {
        self.thread.store(0, Ordering::Relaxed);
        self.count.store(0, Ordering::Relaxed);
        self.lock.release()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn never() -> Result<(), ()> {
        Ok(())
    }

    #[test]
    fn its_thread_takes_it_again_and_no_other_one() {
        let (lock, me) = (RLockCell::default(), Owner::me());
        assert_eq!(lock.release(me), Err(NotHeld));
        for _ in 0..3 {
            assert_eq!(lock.acquire(me, Deadline::NEVER, never), Ok(Taken::Clean));
        }
        assert_eq!(lock.count(), 3);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert!(!lock.is_mine(me));
                assert_eq!(lock.release(me), Err(NotHeld));
                assert_eq!(lock.try_acquire(me), None);
                let soon = Deadline::after(Duration::from_millis(2));
                assert_eq!(lock.acquire(me, soon, never), Err(WaitError::TimedOut));
            });
        });
        assert_eq!(lock.release(me), Ok(()));
        assert_eq!(lock.release_all(me), Ok(2));
        assert!(!lock.is_mine(me));
        assert_eq!(lock.try_acquire(me), Some(Taken::Clean));
        lock.restore(2);
        assert_eq!((lock.release(me), lock.release(me)), (Ok(()), Ok(())));
        assert_eq!(lock.release(me), Err(NotHeld));
    }

    #[test]
    fn what_a_dead_process_had_taken_often_is_taken_once() {
        let (lock, me) = (RLockCell::default(), Owner::me());
        let dead = Owner::from_word(me.word() ^ (1 << 40)).unwrap();
        assert_eq!(lock.try_acquire(dead), Some(Taken::Clean));
        lock.restore(5);
        // The same thread number, and somebody else.
        assert!(!lock.is_mine(me));
        assert_eq!(lock.try_acquire(me), Some(Taken::Recovered(dead)));
        assert_eq!(lock.count(), 1);
        assert_eq!(lock.release(me), Ok(()));
        assert_eq!(lock.lock.owner(), None);
    }
}
