//! How a worker's process is reached: by its descriptor; where this process may have none, through the nursery that made it.

use super::nursery::Nursery;
use super::policy::Exit;
use crate::sys::{SIGKILL, pidfd_exit_status, pidfd_exited, pidfd_signal};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A hold on a worker's process.
#[derive(Clone, Debug)]
pub struct Hold {
    /// By which it is watched and killed, whatever became of its number.
    pub pidfd: Option<Arc<OwnedFd>>,
    /// Who made it, reports its end, and can kill it as well.
    pub nursery: Arc<Nursery>,
    /// Its seat.
    pub worker: u32,
    /// The request that it was made for.
    pub generation: u64,
}

impl Hold {
    /// Sends a signal; says whether it could. Without a descriptor it can only be killed.
    pub fn signal(&self, signal: i32) -> bool {
        match &self.pidfd {
            Some(pidfd) => pidfd_signal(&**pidfd, signal).is_ok(),
            None if signal == SIGKILL => {
                self.nursery.undo(self.worker, self.generation);
                true
            }
            None => false,
        }
    }

    /// Whether that is a hold on the same process.
    pub fn is_on_same(&self, other: &Hold) -> bool {
        self.generation == other.generation && self.nursery.token == other.nursery.token
    }

    /// Ends it.
    pub fn kill(&self) {
        self.signal(SIGKILL);
    }

    /// Whether it was seen to end; not knowing counts as alive.
    pub fn has_ended(&self) -> bool {
        self.pidfd
            .as_ref()
            .is_some_and(|pidfd| pidfd_exited(&**pidfd))
    }

    /// How it ended, as far as the kernel tells.
    pub fn exit(&self) -> Exit {
        let status = self
            .pidfd
            .as_ref()
            .and_then(|pidfd| pidfd_exit_status(&**pidfd));
        status.map_or(Exit::Unknown, Exit::of_status)
    }
}
