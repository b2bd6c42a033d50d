//! A flag that threads wait for: what an event is.

use super::line::Line;
use super::park::Parker;
use crate::error::WaitError;
use crate::prim::{AtomicBool, Ordering};

/// A flag and its waiters.
#[derive(Debug, Default)]
pub struct Flag {
    set: AtomicBool,
    line: Line,
}

impl Flag {
    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        // SYNC(flag.set): acquire
        self.set.load(Ordering::Acquire)
    }

    /// Sets it, and lets everybody go who waits.
    pub fn set(&self) {
        // SYNC(flag.set): release
        let set = || self.set.store(true, Ordering::Release);
        self.line.notify_after(usize::MAX, set).ring();
    }

    /// Clears it. Whoever was let go before stays let go.
    pub fn clear(&self) {
        self.line
            .notify_after(0, || self.set.store(false, Ordering::Release))
            .ring();
    }

    /// Waits until somebody sets it. `park` is how the caller waits.
    pub fn wait<E>(
        &self,
        park: impl FnOnce(&Parker) -> Result<(), WaitError<E>>,
    ) -> Result<(), WaitError<E>> {
        let parker = Parker::take();
        if !self.line.join_unless(&parker, || self.is_set()) {
            Parker::give(parker);
            return Ok(());
        }
        let waited = park(&parker);
        let told = waited.is_ok() || !self.line.leave(&parker);
        Parker::give(parker);
        match waited {
            Err(WaitError::TimedOut) if told => Ok(()),
            waited => waited,
        }
    }

    /// Forgets the waiters, in a forked child.
    pub fn reset(&self) {
        self.line.reset();
    }
}
