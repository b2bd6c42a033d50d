//! A lock that yields instead of sleeping, and that a forked child may reset.
//!
//! For critical sections of a few instructions that call nobody: whoever holds it never waits for anything, so a waiter
//! gets it after the holder's next turn on a CPU. A sleeping lock would let a thread sleep with the interpreter's own
//! lock in its hand, and a lock that another thread held at a fork could never be taken again in the child.

use crate::prim::{AtomicBool, Ordering, yield_now};
use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

/// A value behind a yielding lock.
#[derive(Debug, Default)]
pub struct Lock<T> {
    held: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through the lock only, by one thread at a time, so it needs to be Send and no more.
unsafe impl<T: Send> Sync for Lock<T> {}
// SAFETY: owning the lock is owning the value.
unsafe impl<T: Send> Send for Lock<T> {}

impl<T> Lock<T> {
    /// Puts a value behind a lock.
    pub fn new(value: T) -> Lock<T> {
        Lock {
            held: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock.
    #[inline]
    pub fn lock(&self) -> LockGuard<'_, T> {
        // SYNC(lock.hand): acquire
        while self
            .held
            .compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            yield_now();
        }
        LockGuard { lock: self }
    }

    /// Takes the lock if nobody holds it.
    #[inline]
    pub fn try_lock(&self) -> Option<LockGuard<'_, T>> {
        // SYNC(lock.hand): acquire
        let taken = self
            .held
            .compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        // Not `then_some`: a guard that is made and dropped would free somebody else's lock.
        taken.is_ok().then(|| LockGuard { lock: self })
    }

    /// Declares the lock free, whoever held it, in a process that was just forked and has one thread.
    ///
    /// The sections that it guards are short enough that the value is either as before or as after; a collection that was
    /// cut in half must be replaced by the caller instead of used, which is why the old value is handed over unlooked at.
    pub fn reset(&self, fresh: T) -> T {
        self.held.store(false, Ordering::Relaxed);
        std::mem::replace(&mut *self.lock(), fresh)
    }
}

/// The right to the value, given back when dropped.
#[derive(Debug)]
pub struct LockGuard<'a, T> {
    lock: &'a Lock<T>,
}

impl<T> Deref for LockGuard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: a guard exists only while its thread holds the lock.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T> DerefMut for LockGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, and the guard itself is borrowed mutably.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T> Drop for LockGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SYNC(lock.hand): release
        self.lock.held.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let lock = Lock::new(0u32);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        *lock.lock() += 1;
                    }
                });
            }
        });
        assert_eq!(*lock.lock(), 4000);
    }

    #[test]
    fn trying_in_vain_frees_nothing() {
        let lock = Lock::new(1u32);
        let held = lock.lock();
        assert!(lock.try_lock().is_none() && lock.try_lock().is_none());
        drop(held);
        assert!(lock.try_lock().is_some());
    }

    #[test]
    fn a_reset_lock_is_free() {
        let lock = Lock::new(1u32);
        std::mem::forget(lock.lock());
        assert_eq!(lock.reset(2), 1);
        assert_eq!(*lock.lock(), 2);
    }
}
