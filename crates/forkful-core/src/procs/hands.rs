//! What keeps a pool from ending: tasks that are out of its table and not settled, each in somebody's hand.
//!
//! A task leaves the table under the table's lock, and its owner hears of it later, without that lock: it may get callbacks to run,
//! or be handed in again. A pool that ended in between would have nobody left to do that.

use super::pool::Pool;
use super::record::{End, Job, Record};
use crate::prim::{AtomicBool, AtomicU32, Ordering};
use std::sync::Arc;

/// The count of hands that hold something. `end` and the last `put_down` may come at the same time: one of the two sees the other.
#[derive(Debug, Default)]
pub struct Hands {
    full: AtomicU32,
    ending: AtomicBool,
}

impl Hands {
    /// One more. From nothing only under the table's lock, while the task is still in the table.
    pub fn take(&self) {
        self.full.fetch_add(1, Ordering::SeqCst);
    }

    /// One less; whether it was the last one, and the pool's end waits for that.
    #[must_use]
    pub fn put_down(&self) -> bool {
        // SYNC(hands.full): release
        let last = self.full.fetch_sub(1, Ordering::SeqCst) == 1;
        // SYNC(hands.ending): acquire
        last && self.ending.load(Ordering::SeqCst)
    }

    /// The pool wants to end. Look at [`Hands::are_empty`] afterwards, under the table's lock.
    pub fn end(&self) {
        // SYNC(hands.ending): release
        self.ending.store(true, Ordering::SeqCst);
    }

    /// Whether nothing is held.
    pub fn are_empty(&self) -> bool {
        // SYNC(hands.full): acquire
        self.full.load(Ordering::SeqCst) == 0
    }
}

/// A hand of the engine's own.
#[derive(Debug)]
pub(super) struct InHand<'a, J: Job>(&'a Pool<J>);

impl<J: Job> Drop for InHand<'_, J> {
    fn drop(&mut self) {
        self.0.put_down();
    }
}

/// The pool does not end while this is alive.
#[derive(Debug)]
pub struct Kept<J: Job>(Arc<Pool<J>>);

impl<J: Job> Kept<J> {
    /// The pool.
    pub fn pool(&self) -> &Arc<Pool<J>> {
        &self.0
    }
}

impl<J: Job> Drop for Kept<J> {
    fn drop(&mut self) {
        self.0.put_down();
    }
}

impl<J: Job> Pool<J> {
    pub(super) fn hand(&self) -> InHand<'_, J> {
        self.hands.take();
        InHand(self)
    }

    /// Keeps the pool from ending. For an owner that is being told of its task's end, or has been and holds another of these.
    pub fn keep(self: &Arc<Self>) -> Kept<J> {
        self.hands.take();
        Kept(self.clone())
    }

    /// Tells a task's owner of its end, and counts it, unless it may come again.
    pub(super) fn settle(&self, record: Record<J>, end: End) {
        let open = record.may_return(&end);
        if !end.is_error() {
            self.done.add(1);
        } else if !open {
            self.failed.add(1);
        }
        record.finish(end, open);
    }

    /// A task that was left open does not come again.
    pub fn fail(&self) {
        self.failed.add(1);
    }

    fn put_down(&self) {
        if self.hands.put_down() {
            // The caller ends it, whether it was idle before or is only now.
            let _ = self.close_if_idle(&mut self.table.lock());
            self.end_if_empty();
        }
    }
}
