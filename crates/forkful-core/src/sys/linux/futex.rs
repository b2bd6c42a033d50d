//! A 32-bit word that threads sleep on until another one changes it.
//!
//! A wait that a signal interrupts returns [`Slept::Interrupted`]: condition variables of the usual libraries hide that,
//! and an interpreter that must run its signal handlers needs it.

use crate::deadline::Deadline;
use crate::prim::{AtomicU32, real_or_model};
use std::ops::Deref;

/// How a sleep ended. `Woken` may be spurious: look at the word again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slept {
    /// Somebody called wake, or the word had changed before the sleep began.
    Woken,
    /// A signal arrived.
    Interrupted,
    /// The deadline passed.
    TimedOut,
}

/// A word that the threads of one process sleep on: the kernel finds the sleepers by their address, the cheaper way.
pub type Word = Futex<false>;

/// A word that several processes may sleep on, through any mapping of the same memory.
pub type SharedWord = Futex<true>;

real_or_model! {
    real: {
        /// An atomic word that can be slept on, across processes if `SHARED`.
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct Futex<const SHARED: bool>(AtomicU32);

        impl<const SHARED: bool> Futex<SHARED> {
            const FLAGS: rustix::thread::futex::Flags = if SHARED {
                rustix::thread::futex::Flags::empty()
            } else {
                rustix::thread::futex::Flags::PRIVATE
            };

            /// A word with this value.
            pub const fn new(value: u32) -> Self {
                Futex(AtomicU32::new(value))
            }

            /// Sleeps while the word is `expected`, at most until `deadline`.
            pub fn sleep(&self, expected: u32, deadline: Deadline) -> Slept {
                use rustix::io::Errno;
                use rustix::thread::futex;
                let left = match deadline.left() {
                    None => None,
                    Some(left) if left.is_zero() => return Slept::TimedOut,
                    // An hour at most: a clock that jumps can't turn a long wait into an endless one.
                    Some(left) => Some(futex::Timespec {
                        tv_sec: left.as_secs().min(3600) as i64,
                        tv_nsec: i64::from(left.subsec_nanos()),
                    }),
                };
                match futex::wait(&self.0, Self::FLAGS, expected, left.as_ref()) {
                    Err(Errno::INTR) => Slept::Interrupted,
                    Err(Errno::TIMEDOUT) if deadline.passed() => Slept::TimedOut,
                    _ => Slept::Woken,
                }
            }

            /// Wakes at most `count` sleepers.
            pub fn wake(&self, count: u32) {
                use rustix::thread::futex;
                // A count past i32::MAX is read as negative by old kernels, which then wake one only.
                let _ = futex::wake(&self.0, Self::FLAGS, count.min(i32::MAX as u32));
            }
        }

        impl<const SHARED: bool> Deref for Futex<SHARED> {
            type Target = AtomicU32;
            fn deref(&self) -> &AtomicU32 {
                &self.0
            }
        }
    }
    model: {
        /// An atomic word that can be slept on: the model's, which loses a wake exactly where the kernel would.
        #[derive(Debug, Default)]
        pub struct Futex<const SHARED: bool> {
            value: AtomicU32,
            bed: crate::prim::Mutex<()>,
            bell: crate::prim::Condvar,
        }

        impl<const SHARED: bool> Futex<SHARED> {
            /// A word with this value.
            pub fn new(value: u32) -> Self {
                Futex {
                    value: AtomicU32::new(value),
                    bed: crate::prim::Mutex::new(()),
                    bell: crate::prim::Condvar::new(),
                }
            }

            /// Sleeps while the word is `expected`; the model has no time.
            pub fn sleep(&self, expected: u32, deadline: Deadline) -> Slept {
                if !deadline.is_never() {
                    crate::prim::yield_now();
                    return Slept::TimedOut;
                }
                let bed = self.bed.lock().unwrap();
                if self.value.load(crate::prim::Ordering::SeqCst) == expected {
                    drop(self.bell.wait(bed).unwrap());
                }
                Slept::Woken
            }

            /// Wakes at most `count` sleepers.
            pub fn wake(&self, count: u32) {
                let _bed = self.bed.lock().unwrap();
                if count == 1 {
                    self.bell.notify_one();
                } else {
                    self.bell.notify_all();
                }
            }
        }

        impl<const SHARED: bool> Deref for Futex<SHARED> {
            type Target = AtomicU32;
            fn deref(&self) -> &AtomicU32 {
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

    #[test]
    fn a_changed_word_does_not_sleep() {
        let word = Word::new(1);
        assert_eq!(word.sleep(0, Deadline::NEVER), Slept::Woken);
    }

    #[test]
    fn the_deadline_ends_a_sleep() {
        let word = Word::new(0);
        assert_eq!(
            word.sleep(0, Deadline::after(Duration::from_millis(2))),
            Slept::TimedOut
        );
    }

    #[test]
    fn a_wake_ends_a_sleep() {
        let word = Word::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::Acquire) == 0 {
                    word.sleep(0, Deadline::NEVER);
                }
            });
            word.store(1, Ordering::Release);
            word.wake(u32::MAX);
        });
    }
}
