//! The kernel, behind one door: which operating system is asked here and nowhere else.
//!
//! Knows: prim, deadline. Does not know: futures, pools, what anything is waited for.
//!
//! Unsafe door 1 of the engine: system calls, the yielding lock's cell, the stack's nodes and the exit cover.

#![allow(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "the engine runs on Linux only; the package falls back to the standard library elsewhere"
);

mod linux;
mod lock;
mod spin;
mod stack;

pub use linux::clock::{Stamp, thread_cpu_time};
pub use linux::cover::Cover;
pub use linux::cpus::{allowed_cpus, quota_cpus, usable_cpus};
pub use linux::futex::{Slept, Word};
pub use linux::thread::is_main_thread;
pub use lock::{Lock, LockGuard};
pub use spin::{Spin, spin_until};
pub use stack::Stack;
