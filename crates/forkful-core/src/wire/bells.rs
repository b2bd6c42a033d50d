//! Who sleeps, and who wakes whom: a bit and a word per worker, and one word for the thread that waits for outcomes.
//!
//! Every sleeper first says that he will sleep, then looks once more, then sleeps while his word is unchanged; every waker first
//! publishes, then looks for sleepers. All four steps are sequentially consistent, so one of the two sees the other. Bits, no
//! count: the parent can clear a dead worker's bit, but could not know whether a count contains it.

use super::{Bell, Link};
use crate::deadline::Deadline;
use crate::prim::{AtomicU64, Ordering, fence};
use crate::sys::{Slept, crash_point};

/// The leader's word while he waits.
const ARMED: u32 = 1;

/// The bells of a link.
#[derive(Clone, Copy, Debug)]
pub struct Bells<'a> {
    link: &'a Link,
}

impl<'a> Bells<'a> {
    #[inline]
    pub(super) fn new(link: &'a Link) -> Bells<'a> {
        Bells { link }
    }

    /// Worker: sleeps unless `ready`, until somebody wakes it, a signal arrives or the deadline passes. `ready` must include
    /// whatever it is woken for: tasks, the pool's closing, room in its ring.
    pub fn sleep_until(
        &self,
        worker: u32,
        mut ready: impl FnMut() -> bool,
        deadline: Deadline,
    ) -> Slept {
        let word = &self.link.bed(worker).word;
        let (bits, bit) = self.bit(worker);
        // Before the bit: whoever finds the bit changes the word.
        let seen = word.load(Ordering::SeqCst);
        crash_point("sleep.armed");
        // SYNC(bells.sleeper): release
        bits.fetch_or(bit, Ordering::SeqCst);
        crash_point("sleep.bit");
        let slept = if ready() {
            Slept::Woken
        } else {
            crash_point("sleep.before_wait");
            word.sleep(seen, deadline)
        };
        if bits.load(Ordering::Relaxed) & bit != 0 {
            bits.fetch_and(!bit, Ordering::SeqCst);
        }
        slept
    }

    /// Worker: a number that changes whenever it is woken.
    #[inline]
    pub fn calls(&self, worker: u32) -> u32 {
        self.link.bed(worker).word.load(Ordering::SeqCst)
    }

    /// Wakes one sleeper, always the first, so that the others' caches and clocks may rest; `false` when nobody sleeps.
    #[inline]
    pub fn wake_one(&self) -> bool {
        let workers = self.link.shape().workers as usize;
        let sleepers = &self.link.control().sleepers;
        for (nth, word) in sleepers.iter().take(workers.div_ceil(64)).enumerate() {
            // SYNC(bells.sleeper): acquire
            let mut bits = word.load(Ordering::SeqCst);
            while bits != 0 {
                let bit = bits & bits.wrapping_neg();
                bits &= !bit;
                let worker = nth * 64 + bit.trailing_zeros() as usize;
                // Bits past the last worker are somebody's garbage.
                if worker < workers && word.fetch_and(!bit, Ordering::SeqCst) & bit != 0 {
                    self.poke(worker as u32);
                    return true;
                }
            }
        }
        false
    }

    /// Wakes this worker if it sleeps.
    pub fn wake(&self, worker: u32) -> bool {
        // What the caller has published may have been stored with less than sequential consistency.
        fence(Ordering::SeqCst);
        let (bits, bit) = self.bit(worker);
        let sleeps = bits.load(Ordering::SeqCst) & bit != 0
            && bits.fetch_and(!bit, Ordering::SeqCst) & bit != 0;
        if sleeps {
            self.poke(worker);
        }
        sleeps
    }

    /// Wakes everybody, whatever the bits say: a waker may have died between clearing a bit and waking.
    pub fn wake_all(&self) {
        let workers = self.link.shape().workers;
        for word in self.link.control().sleepers.iter() {
            word.store(0, Ordering::SeqCst);
        }
        (0..workers).for_each(|worker| self.poke(worker));
    }

    /// Parent: this worker is dead and sleeps no more.
    pub fn forget(&self, worker: u32) {
        let (bits, bit) = self.bit(worker);
        bits.fetch_and(!bit, Ordering::SeqCst);
    }

    /// How many sleep, or are about to.
    pub fn sleepers(&self) -> u32 {
        let bits = self.link.control().sleepers.iter();
        bits.map(|word| word.load(Ordering::Relaxed).count_ones())
            .sum::<u32>()
            .min(self.link.shape().workers)
    }

    /// Leader: says that he waits. Look at the rings next, then [`Bells::sleep`] with the answer, then [`Bells::unlisten`].
    pub fn listen(&self) -> u32 {
        // SYNC(bells.leader): release
        self.link.control().leader.store(ARMED, Ordering::SeqCst);
        ARMED
    }

    /// Leader: sleeps until an outcome is rung for, a signal arrives or the deadline passes.
    pub fn sleep(&self, expected: u32, deadline: Deadline) -> Slept {
        self.link.control().leader.sleep(expected, deadline)
    }

    /// Leader: says that he waits no more.
    pub fn unlisten(&self) {
        self.link.control().leader.store(0, Ordering::SeqCst);
    }

    /// Worker, after a commit: wakes the leader if there is one, else rings the process's bell if the parent wants that;
    /// whether it did one of the two.
    #[inline]
    pub fn ring(&self, bell: &Bell) -> bool {
        let control = self.link.control();
        // SYNC(bells.leader): acquire
        // Garbage there may be over a word that somebody sleeps on.
        if control.leader.load(Ordering::SeqCst) != 0
            && control.leader.swap(0, Ordering::SeqCst) != 0
        {
            crash_point("bell.swapped");
            control.leader.wake(u32::MAX);
            true
        } else if self.link.header().background.load(Ordering::SeqCst) != 0 {
            bell.ring();
            true
        } else {
            false
        }
    }

    /// Parent: wakes the leader, armed or not: a worker may have died between disarming and waking him.
    pub fn kick(&self) {
        let leader = &self.link.control().leader;
        leader.store(0, Ordering::SeqCst);
        leader.wake(u32::MAX);
    }

    /// Parent: whether outcomes without a leader ring the process's bell. Stays as it is until changed; look at the rings after
    /// switching it on.
    pub fn arm_background(&self, on: bool) {
        let background = &self.link.header().background;
        background.store(on.into(), Ordering::SeqCst);
    }

    /// Changes a worker's number, and wakes it, for no task's sake.
    pub fn poke(&self, worker: u32) {
        let word = &self.link.bed(worker).word;
        word.fetch_add(1, Ordering::SeqCst);
        word.wake(1);
    }

    fn bit(&self, worker: u32) -> (&'a AtomicU64, u64) {
        let words = &self.link.control().sleepers;
        (&words[worker as usize / 64], 1 << (worker % 64))
    }
}
