//! How many messages are unfinished: those that were put less those that were counted as finished, which is all that is counted here.

use super::words::{DONE, DONE_LOCK, difference};
use super::{Queue, Stopped};
use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::shm::Sleepers;
use crate::sync::sleepers::Post;
use crate::sys::crash_point;

impl Queue {
    /// Counts one message as finished that was taken. `false`, and nothing counted, if all were.
    pub fn task_done<E>(
        &self,
        mut check: impl FnMut() -> Result<(), E>,
    ) -> Result<bool, Stopped<E>> {
        let held = self.hold(DONE_LOCK, Deadline::NEVER, &mut check)?;
        let done = self.done();
        let left = difference(self.puts().number(), done.number());
        match left {
            0 => {}
            1 => {
                // What was put meanwhile is not finished: who waits sees that.
                let _ = done.post(Post::Add(1), u32::MAX, |_| true);
            }
            _ => {
                let _ = done.update(|done| Some(done.wrapping_add(1)));
            }
        }
        crash_point("queue.done");
        drop(held);
        Ok(left > 0)
    }

    /// Messages that were put and not counted as finished.
    pub fn unfinished(&self) -> u32 {
        let done = self.done().number();
        difference(self.puts().number(), done)
    }

    /// Waits until all that was put is counted as finished.
    pub fn join<E>(
        &self,
        deadline: Deadline,
        check: impl FnMut() -> Result<(), E>,
    ) -> Result<(), WaitError<E>> {
        let finished = |_| {
            let done = self.done().number();
            match difference(self.puts().number(), done) {
                0 => Ok(()),
                _ => Err(done),
            }
        };
        self.done().wait(finished, deadline, check)
    }

    pub(super) fn done(&self) -> &Sleepers {
        self.chain.memory.at(DONE)
    }
}
