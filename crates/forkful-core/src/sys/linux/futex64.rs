//! A 64-bit word of shared memory whose low half processes sleep on, and which the kernel changes and wakes in one call.
//!
//! A change and the wake that belongs to it are two instructions of a process that may be killed between them. The kernel's
//! FUTEX_WAKE_OP does both in one system call, which a kill does not cut in half.

use super::futex::Slept;
use crate::deadline::Deadline;
use crate::prim::{AtomicU64, real_or_model};
use std::ops::Deref;

/// What the kernel does to the low half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds so much, 2047 at most; a carry out of the low half is lost.
    Add(u16),
    /// Sets the bit with this number.
    SetBit(u8),
    /// Clears the bit with this number.
    ClearBit(u8),
}

real_or_model! {
    real: {
        use std::ptr;

        /// An atomic 64-bit word; processes sleep on its low half, through any mapping of the same memory.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct SharedWord64(AtomicU64);

        impl SharedWord64 {
            /// A word with this value.
            pub const fn new(value: u64) -> Self {
                SharedWord64(AtomicU64::new(value))
            }

            /// Where the low half lies. Only the kernel looks at it: this process always takes the whole.
            fn low(&self) -> *mut u32 {
                let half = if cfg!(target_endian = "little") { 0 } else { 1 };
                // SAFETY: either half lies within the word.
                unsafe { self.0.as_ptr().cast::<u32>().add(half) }
            }

            /// Sleeps while the low half is `expected`, at most until `deadline`.
            pub fn sleep(&self, expected: u32, deadline: Deadline) -> Slept {
                let left = match deadline.left() {
                    None => None,
                    Some(left) if left.is_zero() => return Slept::TimedOut,
                    // An hour at most, as the other words sleep.
                    Some(left) => Some(libc::timespec {
                        tv_sec: left.as_secs().min(3600) as libc::time_t,
                        tv_nsec: left.subsec_nanos() as _,
                    }),
                };
                let timeout = left.as_ref().map_or(ptr::null(), ptr::from_ref);
                // SAFETY: the word outlives the call; the time, if any, is one that the kernel only reads.
                let result = unsafe {
                    libc::syscall(libc::SYS_futex, self.low(), libc::FUTEX_WAIT, expected, timeout, 0usize, 0u32)
                };
                if result == 0 {
                    return Slept::Woken;
                }
                match std::io::Error::last_os_error().raw_os_error() {
                    Some(libc::EINTR) => Slept::Interrupted,
                    Some(libc::ETIMEDOUT) if deadline.passed() => Slept::TimedOut,
                    _ => Slept::Woken,
                }
            }

            /// Wakes at most `count` sleepers.
            pub fn wake(&self, count: u32) {
                let count = count.min(i32::MAX as u32);
                // SAFETY: the word outlives the call, which reads nothing else.
                unsafe { libc::syscall(libc::SYS_futex, self.low(), libc::FUTEX_WAKE, count) };
            }

            /// Changes the low half and wakes at most `count` of those who sleep on it: both, or, if this process is killed
            /// first, neither.
            pub fn change_and_wake(&self, change: Change, count: u32) {
                use crate::prim::Ordering;
                const SHIFT: u32 = 8;
                let (operation, argument) = match change {
                    Change::Add(number) => (1, u32::from(number.min(2047))),
                    Change::SetBit(bit) => (2 | SHIFT, u32::from(bit & 31)),
                    Change::ClearBit(bit) => (3 | SHIFT, u32::from(bit & 31)),
                };
                // The comparison, "less than 0", is for a second wake, of nobody.
                let code = (operation << 28) | (2 << 24) | (argument << 12);
                let count = count.min(i32::MAX as u32);
                // SAFETY: the word outlives the call, and is memory that other processes change in the same way.
                let result = unsafe {
                    libc::syscall(libc::SYS_futex, self.low(), libc::FUTEX_WAKE_OP, count, 0usize, self.low(), code)
                };
                if result < 0 {
                    // A kernel without the call (a sandbox): the two steps, then.
                    let whole = |bits: u32| u64::from(bits);
                    match change {
                        Change::Add(number) => {
                            let add = |value: u64| {
                                let low = (value as u32).wrapping_add(number.into());
                                Some((value & !whole(u32::MAX)) | whole(low))
                            };
                            let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
                        }
                        Change::SetBit(bit) => {
                            self.0.fetch_or(whole(1 << bit), Ordering::SeqCst);
                        }
                        Change::ClearBit(bit) => {
                            self.0.fetch_and(!whole(1 << bit), Ordering::SeqCst);
                        }
                    }
                    self.wake(count);
                }
            }

            /// How many sleep here; `None` if the kernel does not say. Nobody is woken.
            pub fn sleepers(&self) -> Option<u32> {
                // Those that are moved are counted: here they are moved to where they are.
                // SAFETY: the word outlives the call, which changes nothing.
                let result = unsafe {
                    libc::syscall(libc::SYS_futex, self.low(), libc::FUTEX_REQUEUE, 0u32, i32::MAX as usize, self.low(), 0u32)
                };
                u32::try_from(result).ok()
            }
        }

        impl Deref for SharedWord64 {
            type Target = AtomicU64;
            fn deref(&self) -> &AtomicU64 {
                &self.0
            }
        }
    }
    model: {
        use crate::prim::Ordering;

        /// The model's: its bed counts, as the kernel's queue does, and loses a wake exactly where the kernel would.
        #[derive(Debug, Default)]
        pub struct SharedWord64 {
            value: AtomicU64,
            bed: crate::prim::Mutex<u32>,
            bell: crate::prim::Condvar,
        }

        impl SharedWord64 {
            /// A word with this value.
            pub fn new(value: u64) -> Self {
                SharedWord64 {
                    value: AtomicU64::new(value),
                    bed: crate::prim::Mutex::new(0),
                    bell: crate::prim::Condvar::new(),
                }
            }

            /// Sleeps while the low half is `expected`; the model has no time.
            pub fn sleep(&self, expected: u32, deadline: Deadline) -> Slept {
                if !deadline.is_never() {
                    crate::prim::yield_now();
                    return Slept::TimedOut;
                }
                let mut bed = self.bed.lock().unwrap();
                if self.value.load(Ordering::SeqCst) as u32 == expected {
                    *bed += 1;
                    drop(self.bell.wait(bed).unwrap());
                }
                Slept::Woken
            }

            /// Wakes at most `count` sleepers.
            pub fn wake(&self, count: u32) {
                let mut bed = self.bed.lock().unwrap();
                self.rouse(&mut bed, count);
            }

            fn rouse(&self, bed: &mut u32, count: u32) {
                if count >= *bed {
                    *bed = 0;
                    self.bell.notify_all();
                } else {
                    *bed -= count;
                    (0..count).for_each(|_| self.bell.notify_one());
                }
            }

            /// Both at once.
            pub fn change_and_wake(&self, change: Change, count: u32) {
                let mut bed = self.bed.lock().unwrap();
                match change {
                    Change::Add(number) => self.value.fetch_add(number.into(), Ordering::SeqCst),
                    Change::SetBit(bit) => self.value.fetch_or(1 << bit, Ordering::SeqCst),
                    Change::ClearBit(bit) => self.value.fetch_and(!(1 << bit), Ordering::SeqCst),
                };
                self.rouse(&mut bed, count);
            }

            /// How many sleep here.
            pub fn sleepers(&self) -> Option<u32> {
                Some(*self.bed.lock().unwrap())
            }
        }

        impl Deref for SharedWord64 {
            type Target = AtomicU64;
            fn deref(&self) -> &AtomicU64 {
                &self.value
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prim::Ordering;
    use std::time::Duration;

    const HIGH: u64 = 7 << 32;

    #[test]
    fn the_kernel_changes_the_low_half_only() {
        let word = SharedWord64::new(HIGH | 1);
        word.change_and_wake(Change::Add(3), 1);
        assert_eq!(word.load(Ordering::SeqCst), HIGH | 4);
        word.change_and_wake(Change::SetBit(31), 1);
        assert_eq!(word.load(Ordering::SeqCst), HIGH | 1 << 31 | 4);
        word.change_and_wake(Change::ClearBit(31), 1);
        assert_eq!(word.load(Ordering::SeqCst), HIGH | 4);
        word.store(HIGH | u64::from(u32::MAX), Ordering::SeqCst);
        word.change_and_wake(Change::Add(2047), 0);
        assert_eq!(word.load(Ordering::SeqCst), HIGH | 2046);
    }

    #[test]
    fn a_sleep_ends_by_a_change_or_in_time() {
        let word = SharedWord64::new(HIGH);
        assert_eq!(word.sleep(1, Deadline::NEVER), Slept::Woken);
        let soon = Deadline::after(Duration::from_millis(2));
        assert_eq!(word.sleep(0, soon), Slept::TimedOut);
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| word.sleep(0, Deadline::NEVER));
            while word.sleepers() != Some(1) {
                std::thread::yield_now();
            }
            word.change_and_wake(Change::Add(1), 1);
            assert_eq!(sleeper.join().unwrap(), Slept::Woken);
        });
        assert_eq!(word.sleepers(), Some(0));
    }

    #[test]
    fn those_who_are_counted_sleep_on() {
        let word = SharedWord64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| word.sleep(0, Deadline::NEVER));
            }
            while word.sleepers() != Some(3) {
                std::thread::yield_now();
            }
            word.wake(1);
            assert_eq!(word.sleepers(), Some(2));
            word.wake(u32::MAX);
        });
    }
}
