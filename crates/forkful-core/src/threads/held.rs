//! Jobs that were accepted, and that their owner keeps until it is decided where they run.

use super::pool::Pool;
use super::worker::Berth;
use crate::error::Refusal;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl<J: Send> Pool<J> {
    /// Counts a job as accepted. Its owner queues it by [`Pool::queue_held`], or says [`Pool::began`] when it is begun elsewhere.
    pub fn hold(&self) -> Result<(), Refusal> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        self.count();
        Ok(())
    }

    /// Queues a job that was held, in a closed pool too. Where the answer holds a berth, the caller starts a thread for it.
    pub fn queue_held(self: &Arc<Self>, job: J, priority: i32) -> Option<Berth<J>> {
        // SYNC(pool.job): release
        self.queue.push(job, priority);
        if self.crew.anybody() {
            self.crew.wake_one();
        }
        self.missing_worker()
    }

    /// Workers that wait for a job of this pool, for each of which there may be one more.
    pub fn blocked(&self) -> u32 {
        self.blocked.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::Terms;

    #[test]
    fn what_is_held_is_pending_and_runs_in_a_closed_pool() {
        let pool = Arc::new(Pool::<u32>::new(1, 0));
        let berth = pool.submit(1, Terms::default()).unwrap();
        let worker = berth.unwrap().board().unwrap();
        pool.hold().unwrap();
        pool.hold().unwrap();
        assert_eq!(pool.pending(), 3);
        pool.close();
        assert!(pool.hold().is_err());
        assert!(pool.queue_held(2, 0).is_none());
        // The other one was begun somewhere else.
        pool.began();
        let order: Vec<u32> = std::iter::from_fn(|| worker.next_job()).collect();
        assert_eq!(order, [1, 2]);
        assert_eq!(pool.snapshot().submitted, 3);
    }
}
