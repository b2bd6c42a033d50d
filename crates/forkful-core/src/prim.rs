//! Atomics and threads: the standard library's, or the model checker's; the only switch between the two.
//!
//! Built with `--cfg forkful_loom`, every atomic of the engine is one that loom permutes. The rest of the code never asks.

#[cfg(not(forkful_loom))]
mod real {
    pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, fence};
    pub use std::thread::yield_now;
}

#[cfg(forkful_loom)]
mod real {
    use loom::sync::atomic as model;
    use std::ops::Deref;
    use std::sync::atomic::Ordering;

    pub use loom::sync::atomic::fence;
    pub use loom::sync::{Condvar, Mutex};
    pub use loom::thread::yield_now;

    /// loom takes a sequentially consistent access for acquire and release, and only its fences at their word: two threads
    /// that each write one word and then read the other's may both read the old value there. A fence before each such read
    /// gives back what the real ones promise, and nothing to weaker accesses.
    fn before_reading(ordering: Ordering) {
        if ordering == Ordering::SeqCst {
            fence(ordering);
        }
    }

    macro_rules! atomic {
        ($($name:ident $(<$generic:ident>)?: $value:ty, { $($fetch:ident),* };)*) => {$(
            #[doc = "The real one's double inside a model."]
            #[derive(Debug)]
            pub struct $name$(<$generic>)?(model::$name$(<$generic>)?);

            impl$(<$generic>)? $name$(<$generic>)? {
                /// Inside a model only.
                pub fn new(value: $value) -> Self {
                    $name(model::$name::new(value))
                }

                /// Reads.
                pub fn load(&self, ordering: Ordering) -> $value {
                    before_reading(ordering);
                    self.0.load(ordering)
                }

                /// Writes.
                pub fn store(&self, value: $value, ordering: Ordering) {
                    if ordering == Ordering::SeqCst {
                        // loom lets a plain store slip in front of an exchange that had read what was there before it, so
                        // that the next exchange misses the store; as an exchange it keeps its place.
                        before_reading(ordering);
                        self.0.swap(value, Ordering::Release);
                    } else {
                        self.0.store(value, ordering);
                    }
                }

                /// Writes, and returns what was there.
                pub fn swap(&self, value: $value, ordering: Ordering) -> $value {
                    before_reading(ordering);
                    self.0.swap(value, ordering)
                }

                /// Writes `new` over `old`.
                pub fn compare_exchange(&self, old: $value, new: $value, success: Ordering, failure: Ordering) -> Result<$value, $value> {
                    before_reading(success);
                    self.0.compare_exchange(old, new, success, failure)
                }

                /// The same: a model has no spurious failures.
                pub fn compare_exchange_weak(&self, old: $value, new: $value, success: Ordering, failure: Ordering) -> Result<$value, $value> {
                    self.compare_exchange(old, new, success, failure)
                }

                $(
                    /// Changes, and returns what was there.
                    pub fn $fetch(&self, value: $value, ordering: Ordering) -> $value {
                        before_reading(ordering);
                        self.0.$fetch(value, ordering)
                    }
                )*
            }

            impl$(<$generic>)? Deref for $name$(<$generic>)? {
                type Target = model::$name$(<$generic>)?;
                fn deref(&self) -> &Self::Target {
                    &self.0
                }
            }
        )*};
    }

    atomic! {
        AtomicBool: bool, {};
        AtomicU32: u32, { fetch_add, fetch_sub, fetch_and, fetch_or };
        AtomicU64: u64, { fetch_add, fetch_sub, fetch_and, fetch_or };
        AtomicPtr<T>: *mut T, {};
    }

    impl Default for AtomicBool {
        fn default() -> Self {
            AtomicBool::new(false)
        }
    }

    impl Default for AtomicU32 {
        fn default() -> Self {
            AtomicU32::new(0)
        }
    }

    impl Default for AtomicU64 {
        fn default() -> Self {
            AtomicU64::new(0)
        }
    }
}

pub use real::*;
pub use std::sync::atomic::Ordering;

/// Compiles `real` in a normal build and `model` under the model checker.
///
/// Only what touches the kernel needs it: a futex does not exist inside a model.
macro_rules! real_or_model {
    (real: { $($real:item)* } model: { $($model:item)* }) => {
        $(#[cfg(not(forkful_loom))] $real)*
        $(#[cfg(forkful_loom)] $model)*
    };
}
pub(crate) use real_or_model;

/// Whether this build runs under the model checker, where spinning only multiplies the states.
pub const MODELLED: bool = cfg!(forkful_loom);
