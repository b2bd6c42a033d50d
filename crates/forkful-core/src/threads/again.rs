//! The rest of a job that was accepted before, on its way back into the queue.

use super::pool::Pool;
use crate::error::Refusal;

impl<J: Send> Pool<J> {
    /// Queues it, on one of the pool's own workers: also when the pool is closed by now. It comes back where nothing runs any more.
    ///
    /// Before what waits, as it was there before that; the caller looks at the queue right away. `for_another`: another worker shall.
    pub fn queue_again(&self, job: J, for_another: bool) -> Option<J> {
        if matches!(self.refusal(), Some(Refusal::Broken | Refusal::Inherited)) {
            return Some(job);
        }
        self.count();
        // SYNC(pool.job): release
        self.queue.push_ahead(job);
        // One worker too many may be the caller, who would leave instead.
        if (for_another || self.has_surplus()) && self.crew.anybody() {
            self.crew.wake_one();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::Terms;
    use std::sync::Arc;

    #[test]
    fn it_goes_before_what_waits_and_into_a_closed_pool() {
        let pool = Arc::new(Pool::<u32>::new(1, 0));
        let berth = pool.submit(1, Terms::default()).unwrap();
        let worker = berth.unwrap().board().unwrap();
        pool.close();
        assert!(pool.queue_again(2, false).is_none());
        assert!(pool.queue_again(3, true).is_none());
        let order: Vec<u32> = std::iter::from_fn(|| worker.next_job()).collect();
        assert_eq!(order, [2, 3, 1]);
        pool.break_down();
        assert_eq!(pool.queue_again(4, false), Some(4));
    }
}
