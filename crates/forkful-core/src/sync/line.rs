//! Threads that wait to be notified, first come, first served: what a condition variable is beside its lock.

use super::park::{Batch, Parker};
use crate::prim::{AtomicU32, Ordering};
use crate::sys::Lock;
use std::collections::VecDeque;
use std::sync::Arc;

/// What a waiter in a line is told.
const NOTIFIED: u32 = 1;

/// The waiters, the one who has waited longest in front.
#[derive(Debug, Default)]
pub struct Line {
    /// How many there are: a hint for those who would notify nobody.
    len: AtomicU32,
    queue: Lock<VecDeque<Arc<Parker>>>,
}

impl Line {
    /// Joins at the end, unless `not` says, under the line's lock, that there is nothing to wait for; whether it has joined.
    pub fn join_unless(&self, parker: &Arc<Parker>, not: impl FnOnce() -> bool) -> bool {
        let mut queue = self.queue.lock();
        if not() {
            return false;
        }
        queue.push_back(parker.clone());
        self.len.store(queue.len() as u32, Ordering::Release);
        true
    }

    /// Joins at the end.
    pub fn join(&self, parker: &Arc<Parker>) {
        self.join_unless(parker, || false);
    }

    /// Joins in front: for one that was notified in vain.
    pub fn join_in_front(&self, parker: &Arc<Parker>) {
        let mut queue = self.queue.lock();
        queue.push_front(parker.clone());
        self.len.store(queue.len() as u32, Ordering::Release);
    }

    /// Leaves; whether it was still there. If not it has been notified, or is just being.
    pub fn leave(&self, parker: &Arc<Parker>) -> bool {
        let mut queue = self.queue.lock();
        let Some(at) = queue.iter().position(|other| Arc::ptr_eq(other, parker)) else {
            return false;
        };
        queue.remove(at);
        self.len.store(queue.len() as u32, Ordering::Release);
        true
    }

    /// Notifies the first `count` at most, after `first` was done under the line's lock. To be rung with no lock held.
    pub fn notify_after(&self, count: usize, first: impl FnOnce()) -> Batch {
        let mut batch = Batch::default();
        let mut queue = self.queue.lock();
        first();
        while batch.len() < count
            && let Some(parker) = queue.pop_front()
        {
            // Threads that a fork has left behind wait for nothing.
            if !parker.is_ghost() {
                batch.push(parker.mark(NOTIFIED));
            }
        }
        self.len.store(queue.len() as u32, Ordering::Release);
        batch
    }

    /// Notifies the first `count` at most. Whoever changes what they wait for holds the lock that they look at it with.
    #[inline]
    pub fn notify(&self, count: usize) -> Batch {
        if self.is_empty() {
            return Batch::default();
        }
        self.notify_after(count, || {})
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Acquire) as usize
    }

    /// Whether nobody waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets all of them, in a forked child.
    pub fn reset(&self) {
        drop(self.queue.reset(VecDeque::new()));
        self.len.store(0, Ordering::Release);
    }
}
