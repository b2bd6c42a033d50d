//! A descriptor that can be read while messages wait, for those who wait for several things at once by `poll` and its kin.
//!
//! It costs two system calls per message or so, and nothing as long as nobody asks for it. Whoever has committed a message, or taken one,
//! then makes the descriptor right, under a lock of its own. The last one there sees the commits of all, so what it leaves is right.
//! Who is killed between a commit and that leaves it as it was before, until the next one comes.

use super::words::{CONSUMER_LOCK, PRODUCER_LOCK, READY_LOCK, WATCHED};
use super::{Queue, Stopped};
use crate::deadline::Deadline;
use crate::prim::{AtomicU32, Ordering};
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

impl Queue {
    /// The descriptor; from the first call on it is kept right.
    pub fn watch<E>(
        &self,
        mut check: impl FnMut() -> Result<(), E>,
    ) -> Result<BorrowedFd<'_>, Stopped<E>> {
        if !self.is_watched() {
            // With both in hand: who commits later sees it, and what was committed before is seen here.
            let _producers = self.hold(PRODUCER_LOCK, Deadline::NEVER, &mut check)?;
            let _consumers = self.hold(CONSUMER_LOCK, Deadline::NEVER, &mut check)?;
            self.watched().store(1, Ordering::Relaxed);
        }
        self.show();
        let ready = self.ready_fd().ok_or(io::ErrorKind::NotFound);
        ready.map_err(|kind| Stopped::Failed(io::Error::from(kind).into()))
    }

    /// The descriptor, whether it is kept right or not; none if this process had no room for it.
    pub fn ready_fd(&self) -> Option<BorrowedFd<'_>> {
        self.ready.as_ref().map(AsFd::as_fd)
    }

    /// Whether it has to be kept right, which stays so while one of the locks is held.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.watched().load(Ordering::Relaxed) != 0
    }

    /// Makes it right.
    #[cold]
    pub(super) fn show(&self) {
        let hold = || self.hold(READY_LOCK, Deadline::NEVER, || Ok::<_, Infallible>(()));
        let Some(ready) = &self.ready else { return };
        // Whoever died with it has left nothing that isn't put right here.
        let Ok(_held) = hold().or_else(|_| hold()) else {
            return;
        };
        if self.is_empty() {
            ready.clear();
        } else {
            ready.ring();
        }
    }

    fn watched(&self) -> &AtomicU32 {
        self.chain.memory.at(WATCHED)
    }
}
