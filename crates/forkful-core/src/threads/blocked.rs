//! A worker that waits for a job of its own pool.

use super::pool::Pool;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// As long as it lives, its worker does not count against the pool's limit.
#[derive(Debug)]
pub struct Blocked<J: Send>(pub(super) Arc<Pool<J>>);

impl<J: Send> Drop for Blocked<J> {
    fn drop(&mut self) {
        // Saturating: a fork in between has set it to 0.
        let _ = self
            .0
            .blocked
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |blocked| {
                blocked.checked_sub(1)
            });
        if self.0.has_surplus() {
            self.0.crew.wake_one();
        }
    }
}
