//! Who leads: the one waiter that drains for everybody, and what wakes him where his word in shared memory does not.
//!
//! Workers ring for the leader by that word, which each of them can write over, and one may be stopped between disarming the
//! word and the wake. Then the outcome is somebody else's to find. So the parent has a word of its own for a leader who sleeps,
//! and whoever finishes a task without leading wakes him.

use crate::deadline::Deadline;
use crate::prim::{AtomicBool, Ordering, fence};
use crate::sys::Slept;
use crate::wire::Bells;

/// The leadership of a pool.
#[derive(Debug, Default)]
pub struct Helm {
    held: AtomicBool,
    asleep: AtomicBool,
}

impl Helm {
    /// Takes it if nobody has it.
    #[must_use]
    pub fn take(&self) -> bool {
        !self.held.swap(true, Ordering::SeqCst)
    }

    /// Gives it up.
    pub fn leave(&self) {
        self.held.store(false, Ordering::SeqCst);
    }

    /// Whether somebody leads.
    pub fn is_held(&self) -> bool {
        self.held.load(Ordering::SeqCst)
    }

    /// Leader: says that he will sleep. Look at the rings, and at what is waited for, next; then [`Helm::sleep`] or [`Helm::rise`].
    pub fn listen(&self, bells: Bells<'_>) -> u32 {
        let expected = bells.listen();
        // After the shared word: whoever takes this one back changes that one then, and not before it is armed.
        // SYNC(helm.asleep): release
        self.asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        expected
    }

    /// Leader: sleeps until an outcome is rung for, somebody rouses him, a signal arrives or the deadline passes.
    pub fn sleep(&self, bells: Bells<'_>, expected: u32, deadline: Deadline) -> Slept {
        let slept = bells.sleep(expected, deadline);
        self.rise(bells);
        slept
    }

    /// Leader: says that he sleeps no more, or not at all.
    pub fn rise(&self, bells: Bells<'_>) {
        // Seen late it costs one wake too many.
        self.asleep.store(false, Ordering::Relaxed);
        bells.unlisten();
    }

    /// Whoever has finished a task without leading: the leader may wait for it, and nobody else may wake him.
    pub fn rouse(&self, bells: Bells<'_>) {
        fence(Ordering::SeqCst);
        // SYNC(helm.asleep): acquire
        if self.asleep.load(Ordering::SeqCst) && self.asleep.swap(false, Ordering::SeqCst) {
            bells.kick();
        }
    }

    /// In a forked child, which has no leader.
    pub fn reset(&self) {
        self.leave();
        self.asleep.store(false, Ordering::Relaxed);
    }
}
