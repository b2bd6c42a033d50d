//! Atomics and threads: the standard library's, or the model checker's; the only switch between the two.
//!
//! Built with `--cfg forkful_loom`, every atomic of the engine is one that loom permutes. The rest of the code never asks.

#[cfg(not(forkful_loom))]
mod real {
    pub use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, fence};
    pub use std::thread::yield_now;
}

#[cfg(forkful_loom)]
mod real {
    pub use loom::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, fence};
    pub use loom::sync::{Condvar, Mutex};
    pub use loom::thread::yield_now;
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
