//! The spin before a sleep: about 20 us, yielding, one thread of the process at a time, none on a single CPU.
//!
//! A wake across CPUs costs 35-48 us on a virtual machine, a task a few; whoever spins that long mostly gets its event for
//! free. Spinning without `sched_yield` is a trap: with two threads on one CPU it keeps the very peer away that it waits for
//! (50 us instead of 2.5, from one run to the next).
//!
//! Where more want to run than there are CPUs, a yield gives away a whole turn, some milliseconds, while a sleeper that is woken
//! comes before those who compute. So whoever has lost a turn has everybody sleep at once for a while.

use super::{Stamp, usable_cpus};
use crate::prim::{MODELLED, yield_now};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// How long a spin lasts at most, in nanoseconds.
const SPIN_NANOS: u64 = 20_000;

/// How long a thread without the budget looks for it before it gives up: the last spinner leaves within that time when the
/// two hand work to each other.
const HANDOVER_NANOS: u64 = 3_000;

/// What a yield takes at least that has given a turn away.
const TURN_NANOS: u64 = 500_000;

/// How long nobody spins afterwards: a lost turn now and then is to cost a few per cent.
const PAUSE_NANOS: u64 = 50_000_000;

/// The moment from which on somebody may spin again.
static PAUSED_UNTIL: AtomicU64 = AtomicU64::new(0);

/// How often a thread yields on a single CPU before it sleeps: 0.3 us each, if nobody else wants to run.
const YIELDS: u32 = 6;

/// The process's one right to spin. A plain atomic, as a model never spins.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// CPUs that this process may use: 0 as long as nobody asked.
static CPUS: AtomicU32 = AtomicU32::new(0);

/// The spin budget of the process.
#[derive(Debug)]
pub struct Spin(());

impl Spin {
    fn try_take() -> Option<Spin> {
        let free = !TAKEN.load(Ordering::Relaxed)
            && TAKEN
                .compare_exchange(false, true, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        free.then_some(Spin(()))
    }

    /// Asks the kernel again how many CPUs there are: affinity may have changed. Pools call it when they are made.
    pub fn recount_cpus() {
        CPUS.store(usable_cpus(), Ordering::Relaxed);
    }

    /// In a forked child: whoever was spinning does not exist here.
    pub fn reset() {
        TAKEN.store(false, Ordering::Relaxed);
    }

    fn allowed() -> bool {
        if CPUS.load(Ordering::Relaxed) == 0 {
            Spin::recount_cpus();
        }
        !MODELLED && CPUS.load(Ordering::Relaxed) > 1
    }
}

impl Drop for Spin {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Relaxed);
    }
}

/// Spins until `ready` or the budget ends; says whether it is ready.
#[inline]
pub fn spin_until(ready: impl FnMut() -> bool) -> bool {
    spin_for(SPIN_NANOS, ready)
}

/// The same between processes that may have a single CPU: there it yields a few times. A peer that runs meanwhile and answers at once
/// saves both the sleep and the wake, which is half of what a round trip costs.
#[inline]
pub fn spin_or_yield_until(mut ready: impl FnMut() -> bool) -> bool {
    if MODELLED || Spin::allowed() {
        return spin_until(ready);
    }
    ready()
        || (0..YIELDS).any(|_| {
            yield_now();
            ready()
        })
}

/// The same for so many nanoseconds at most.
pub fn spin_for(nanos: u64, mut ready: impl FnMut() -> bool) -> bool {
    if ready() {
        return true;
    }
    if !Spin::allowed() {
        return false;
    }
    let start = Stamp::now();
    if start.nanos() < PAUSED_UNTIL.load(Ordering::Relaxed) {
        return false;
    }
    let mut budget = Spin::try_take();
    let mut before = start;
    loop {
        yield_now();
        let is_ready = ready();
        let now = Stamp::now();
        if now.since(before) > TURN_NANOS {
            PAUSED_UNTIL.store(now.nanos() + PAUSE_NANOS, Ordering::Relaxed);
        }
        if is_ready {
            return true;
        }
        before = now;
        let limit = if budget.is_some() {
            nanos
        } else {
            HANDOVER_NANOS
        };
        if now.since(start) > limit {
            return false;
        }
        if budget.is_none() {
            budget = Spin::try_take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ready_needs_no_spin() {
        assert!(spin_until(|| true));
    }

    #[test]
    fn whoever_has_lost_a_turn_has_all_sleep_for_a_while() {
        let lost = || {
            std::thread::sleep(std::time::Duration::from_nanos(2 * TURN_NANOS));
            false
        };
        let mut asked = 0;
        for _ in 0..100 {
            asked = 0;
            // Others in this process may be spinning; and on a single CPU nobody does.
            if !spin_until(lost)
                && !spin_until(|| {
                    asked += 1;
                    false
                })
                && asked == 1
            {
                break;
            }
        }
        assert_eq!(asked, 1, "only looked at once, and not spun for");
        PAUSED_UNTIL.store(0, Ordering::Relaxed);
    }

    #[test]
    fn a_spin_ends() {
        assert!(!spin_until(|| false));
        assert!(Spin::try_take().is_some());
    }
}
