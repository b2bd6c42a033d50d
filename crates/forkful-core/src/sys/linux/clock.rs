//! Moments cheap enough to be taken for every task.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// A moment on the monotonic clock, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(u64);

impl Stamp {
    /// Now; 24 ns here, in the vDSO, without a system call.
    #[inline]
    pub fn now() -> Stamp {
        let time = clock_gettime(ClockId::Monotonic);
        Stamp(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    /// Now, reckoned from this thread's last look at the clock where that was less than some 40 us ago.
    ///
    /// It may be wrong by some ten nanoseconds, to either side.
    #[inline]
    pub fn reckoned() -> Stamp {
        ticks::reckoned().unwrap_or_else(ticks::look)
    }

    /// Nanoseconds from `earlier` until this moment; zero when the order is the other way round.
    #[inline]
    pub fn since(self, earlier: Stamp) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// As an integer, to be kept in an atomic.
    #[inline]
    pub fn nanos(self) -> u64 {
        self.0
    }

    /// The inverse of [`Stamp::nanos`].
    #[inline]
    pub fn from_nanos(nanos: u64) -> Stamp {
        Stamp(nanos)
    }
}

/// The CPU's own counter, between two looks at the clock.
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod ticks {
    use super::Stamp;
    use std::arch::x86_64::{__cpuid, _rdtsc};
    use std::cell::Cell;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// So many ticks after a look there is another one. It bounds every error, also that of a counter that was stopped or moved.
    const SPAN: u64 = 100_000;

    /// A look that takes longer was interrupted, and says nothing of the counter.
    const AT_ONCE: u64 = 2_000;

    /// The rate is measured over so many ticks at least: then looks that are 0.3 us apart make it wrong by 1 in 10,000.
    const MEASURED_OVER: u64 = 1 << 22;

    /// Nanoseconds for each tick, times 2^24; 0 as long as it is not known.
    static RATE: AtomicU32 = AtomicU32::new(0);

    thread_local! {
        /// The last look: ticks, nanoseconds.
        static LAST: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
    }

    fn now() -> u64 {
        // SAFETY: every x86-64 has the instruction. Only a process that has forbidden it to itself is ended by it, and that one could
        // not look at the clock either, which is read by it.
        unsafe { _rdtsc() }
    }

    /// The time, if the last look is near enough.
    #[inline]
    pub fn reckoned() -> Option<Stamp> {
        let rate = u64::from(RATE.load(Ordering::Relaxed));
        let (ticks, nanos) = LAST.try_with(Cell::get).ok()?;
        // A counter that lies behind, on another CPU, is far away as well.
        let passed = now().wrapping_sub(ticks);
        (rate != 0 && passed < SPAN).then(|| Stamp(nanos + ((passed * rate) >> 24)))
    }

    /// Looks at the clock.
    #[cold]
    pub fn look() -> Stamp {
        let before = now();
        let stamp = Stamp::now();
        let took = now().wrapping_sub(before);
        if took < AT_ONCE {
            let ticks = before + took / 2;
            let _ = LAST.try_with(|last| last.set((ticks, stamp.0)));
            if RATE.load(Ordering::Relaxed) == 0 {
                measure(ticks, stamp);
            }
        }
        stamp
    }

    /// Measures the rate, from the first look of all on.
    fn measure(ticks: u64, stamp: Stamp) {
        static FIRST: OnceLock<Option<(u64, Stamp)>> = OnceLock::new();
        let Some((first_ticks, first)) =
            FIRST.get_or_init(|| is_steady().then_some((ticks, stamp)))
        else {
            return;
        };
        let passed = ticks.wrapping_sub(*first_ticks);
        if (MEASURED_OVER..1 << 36).contains(&passed) {
            let rate = (stamp.since(*first) << 24) / passed;
            // Between 60 MHz and 60 GHz: something else is no counter to rely on.
            if ((1 << 18)..(1 << 28)).contains(&rate) {
                RATE.store(rate as u32, Ordering::Relaxed);
            }
        }
    }

    /// Whether the counter runs at one rate, whatever the CPU does.
    fn is_steady() -> bool {
        const HIGHEST: u32 = 0x8000_0000;
        const POWER: u32 = 0x8000_0007;
        __cpuid(HIGHEST).eax >= POWER && __cpuid(POWER).edx & (1 << 8) != 0
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod ticks {
    use super::Stamp;

    pub fn reckoned() -> Option<Stamp> {
        None
    }

    pub fn look() -> Stamp {
        Stamp::now()
    }
}

/// CPU time that the calling thread has used. A real system call (0.6 us here): not for every tiny task.
pub fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward() {
        let first = Stamp::now();
        let second = Stamp::now();
        assert!(second >= first);
        assert_eq!(first.since(Stamp::from_nanos(second.nanos() + 1)), 0);
    }

    #[test]
    fn what_is_reckoned_is_the_time() {
        let end = Stamp::now().since(Stamp(0)) + 20_000_000;
        // Longer than the rate is measured, so that both ways are taken.
        let mut looks = 0;
        while Stamp::now().nanos() < end {
            let before = Stamp::now();
            let reckoned = Stamp::reckoned();
            let after = Stamp::now();
            assert!(before.since(reckoned) < 2_000, "{before:?} {reckoned:?}");
            assert!(reckoned.since(after) < 2_000, "{reckoned:?} {after:?}");
            looks += 1;
        }
        assert!(looks > 10);
    }

    #[test]
    fn burning_uses_cpu_time() {
        let before = thread_cpu_time();
        let mut sum = 0u64;
        while thread_cpu_time() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(thread_cpu_time() > before);
    }
}
