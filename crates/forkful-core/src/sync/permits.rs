//! A number of permits that threads take and give back: what a semaphore is, and, with one permit, a mutex.
//!
//! Whoever comes may take a permit that is there, also before those who wait: a thread that is running uses it at once, and one
//! that must be woken comes 50 us later. But a waiter who was woken in vain for a millisecond is impatient, and the next permit
//! goes into its hand. So a thread that gives and takes in a loop starves nobody.
//!
//! The word counts permits, and says whether somebody waits. That flag changes under the queue's lock only, so without it
//! everything is one exchange, and with it permits are added under the lock only.

use super::park::{Batch, Parker};
use crate::error::WaitError;
use crate::prim::{AtomicU64, MODELLED, Ordering};
use crate::sys::{Lock, Stamp};
use std::collections::VecDeque;
use std::sync::Arc;

/// Somebody waits.
const WAITING: u64 = 1;
/// One permit.
const ONE: u64 = 2;
/// As many as the word can count.
pub const MOST: u64 = u64::MAX >> 2;

/// There may be a permit: look.
const LOOK: u32 = 1;
/// It has one.
const GRANTED: u32 = 2;

/// How long a waiter is woken in vain before it is impatient, in nanoseconds.
const PATIENCE: u64 = 1_000_000;

#[derive(Debug)]
struct Waiter {
    parker: Arc<Parker>,
    impatient: bool,
}

type Queue = VecDeque<Waiter>;

/// The permits and those who wait for one.
#[derive(Debug)]
pub struct Permits {
    word: AtomicU64,
    queue: Lock<Queue>,
}

/// More would be given back than there may be.
#[derive(Debug, PartialEq, Eq)]
pub struct TooMany;

impl Permits {
    /// So many to begin with.
    pub fn new(count: u64) -> Permits {
        Permits {
            word: AtomicU64::new(count.min(MOST) * ONE),
            queue: Lock::new(Queue::new()),
        }
    }

    /// How many are there to be taken.
    pub fn available(&self) -> u64 {
        self.word.load(Ordering::Acquire) / ONE
    }

    /// Sets how many there are; only for permits that nobody uses yet.
    pub fn set(&self, count: u64) {
        self.word.store(count.min(MOST) * ONE, Ordering::Release);
    }

    /// Takes one if it is there.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        let mut word = self.word.load(Ordering::Relaxed);
        while word >= ONE {
            // SYNC(permits.hand): acquire
            let taken = self.word.compare_exchange_weak(
                word,
                word - ONE,
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            match taken {
                Ok(_) => return true,
                Err(now) => word = now,
            }
        }
        false
    }

    /// Takes one, waiting for it; `park` is how the caller waits.
    pub fn acquire<E>(
        &self,
        mut park: impl FnMut(&Parker) -> Result<(), WaitError<E>>,
    ) -> Result<(), WaitError<E>> {
        if self.try_acquire() {
            return Ok(());
        }
        let parker = Parker::take();
        if self.join(&parker) {
            Parker::give(parker);
            return Ok(());
        }
        let start = (!MODELLED).then(Stamp::now);
        let waited = loop {
            let waited = park(&parker);
            if let Some(ended) = self.look(&parker, waited, start) {
                break ended;
            }
        };
        Parker::give(parker);
        waited
    }

    /// Joins the queue, or takes a permit that has come meanwhile, and says so.
    fn join(&self, parker: &Arc<Parker>) -> bool {
        let mut queue = self.queue.lock();
        self.word.fetch_or(WAITING, Ordering::AcqRel);
        let taken = self.try_acquire();
        if taken {
            self.unflag(&queue);
        } else {
            queue.push_back(Waiter {
                parker: parker.clone(),
                impatient: false,
            });
        }
        taken
    }

    /// What has become of a wait, if it is over.
    fn look<E>(
        &self,
        parker: &Arc<Parker>,
        waited: Result<(), WaitError<E>>,
        start: Option<Stamp>,
    ) -> Option<Result<(), WaitError<E>>> {
        let mut queue = self.queue.lock();
        let interrupted = matches!(waited, Err(WaitError::Interrupted(_)));
        if parker.told() & GRANTED != 0 {
            drop(queue);
            if interrupted {
                // Somebody else shall have it.
                let _ = self.release(1, MOST);
                return Some(waited);
            }
            return Some(Ok(()));
        }
        let taken = !interrupted && self.try_acquire();
        if !taken && waited.is_ok() {
            parker.rearm();
            let own = queue
                .iter_mut()
                .find(|waiter| Arc::ptr_eq(&waiter.parker, parker));
            if let Some(own) = own {
                // A model has no time: there everybody is impatient at once.
                own.impatient = start.is_none_or(|start| Stamp::now().since(start) > PATIENCE);
            }
            return None;
        }
        queue.retain(|waiter| !Arc::ptr_eq(&waiter.parker, parker));
        // A call that this one has not used, or more permits than it needs: the next one is to look.
        let mut batch = Batch::default();
        if self.available() > 0 {
            call(&queue, 1, &mut batch);
        }
        self.unflag(&queue);
        drop(queue);
        batch.ring();
        Some(if taken { Ok(()) } else { waited })
    }

    /// Gives `count` back, unless there would be more than `most`.
    #[inline]
    pub fn release(&self, count: u64, most: u64) -> Result<(), TooMany> {
        let mut word = self.word.load(Ordering::Relaxed);
        loop {
            if most.min(MOST) < (word / ONE).saturating_add(count) {
                return Err(TooMany);
            }
            if word & WAITING != 0 {
                match self.release_to_waiters(count, most) {
                    Some(released) => return released,
                    None => {
                        word = self.word.load(Ordering::Relaxed);
                        continue;
                    }
                }
            }
            // SYNC(permits.hand): release
            let given = self.word.compare_exchange_weak(
                word,
                word + count * ONE,
                Ordering::Release,
                Ordering::Relaxed,
            );
            match given {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
    }

    /// The same where somebody waits; `None` if nobody does any more.
    #[cold]
    fn release_to_waiters(&self, count: u64, most: u64) -> Option<Result<(), TooMany>> {
        let mut queue = self.queue.lock();
        let word = self.word.load(Ordering::Acquire);
        if word & WAITING == 0 {
            return None;
        }
        // From here on permits only become fewer, until the lock is given back.
        if most.min(MOST) < (word / ONE).saturating_add(count) {
            return Some(Err(TooMany));
        }
        let (mut batch, mut left) = (Batch::default(), count);
        while let Some(front) = queue.front() {
            // A thread that a fork has left behind wants nothing.
            if !front.parker.is_ghost() {
                if left == 0 || !front.impatient {
                    break;
                }
                batch.push(front.parker.mark(GRANTED));
                left -= 1;
            }
            queue.pop_front();
        }
        if left > 0 {
            // SYNC(permits.hand): release
            self.word.fetch_add(left * ONE, Ordering::Release);
            call(&queue, left, &mut batch);
        }
        self.unflag(&queue);
        drop(queue);
        batch.ring();
        Some(Ok(()))
    }

    fn unflag(&self, queue: &Queue) {
        if queue.is_empty() {
            self.word.fetch_and(!WAITING, Ordering::AcqRel);
        }
    }

    /// So many permits and no waiter, in a forked child.
    pub fn reset(&self, count: u64) {
        drop(self.queue.reset(Queue::new()));
        self.set(count);
    }
}

/// Tells the first `count` who were not told to look.
fn call(queue: &Queue, count: u64, batch: &mut Batch) {
    let idle = queue.iter().filter(|waiter| waiter.parker.told() == 0);
    for waiter in idle.take(count.min(usize::MAX as u64) as usize) {
        batch.push(waiter.parker.mark(LOOK));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deadline::Deadline;
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;

    fn wait(parker: &Parker) -> Result<(), WaitError<()>> {
        parker.wait(Deadline::NEVER, || Ok(()))
    }

    #[test]
    fn no_more_than_there_are() {
        let permits = Permits::new(2);
        assert!(permits.try_acquire() && permits.try_acquire() && !permits.try_acquire());
        assert_eq!(permits.release(1, 2), Ok(()));
        assert_eq!(permits.release(2, 2), Err(TooMany));
        assert_eq!(permits.available(), 1);
    }

    #[test]
    fn a_timeout_leaves_nothing_behind() {
        let permits = Permits::new(0);
        let soon = |parker: &Parker| {
            parker.wait(
                Deadline::after(Duration::from_millis(2)),
                || Ok::<_, ()>(()),
            )
        };
        assert_eq!(permits.acquire(soon), Err(WaitError::TimedOut));
        assert_eq!(permits.word.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_interrupted_wait_takes_nothing() {
        let permits = Permits::new(0);
        assert_eq!(
            permits.acquire(|_| Err(WaitError::Interrupted(7))),
            Err(WaitError::Interrupted(7))
        );
        permits.release(1, MOST).unwrap();
        assert_eq!(permits.available(), 1);
    }

    #[test]
    fn whoever_was_called_in_vain_for_long_is_handed_the_next_one() {
        let permits = Permits::new(0);
        let mut calls = 0;
        let acquired = permits.acquire(|parker| -> Result<(), WaitError<()>> {
            calls += 1;
            permits.release(1, MOST).unwrap();
            assert_ne!(parker.told(), 0);
            if calls == 1 {
                // Somebody who runs is quicker, and the waiter has waited long.
                assert!(permits.try_acquire());
                std::thread::sleep(Duration::from_nanos(2 * PATIENCE));
            } else {
                assert!(!permits.try_acquire(), "it was in the waiter's hand");
            }
            Ok(())
        });
        assert_eq!((acquired, calls, permits.available()), (Ok(()), 2, 0));
    }

    #[test]
    fn one_permit_is_a_mutex() {
        let (permits, inside, count) = (Permits::new(1), AtomicU32::new(0), AtomicU32::new(0));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        permits.acquire(wait).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
                        count.fetch_add(1, Ordering::Relaxed);
                        inside.fetch_sub(1, Ordering::Relaxed);
                        permits.release(1, 1).unwrap();
                    }
                });
            }
        });
        assert_eq!(count.load(Ordering::Relaxed), 8000);
        assert_eq!(permits.word.load(Ordering::Relaxed), ONE);
    }
}
