//! The kernel, behind one door: which operating system is asked here and nowhere else.
//!
//! Knows: prim, deadline. Does not know: futures, pools, what anything is waited for.
//!
//! Unsafe door 1 of the engine: system calls, mappings, the yielding lock's cell, the stack's nodes and the exit cover.

#![allow(unsafe_code)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "the engine runs on Linux only; the package falls back to the standard library elsewhere"
);

mod linux;
mod lock;
pub mod scoped;
mod spin;
mod stack;

pub use linux::atfork::{guard_fork, outlive_thread, unguard_fork};
pub use linux::birth::{birth, forks, lives, own_mark};
pub use linux::children::{Ended, fork, leave, reap, threads_here, undo_birth};
pub use linux::clock::{Stamp, thread_cpu_time};
pub use linux::cover::Cover;
pub use linux::cpus::{allowed_cpus, leave_cpu, quota_cpus, usable_cpus};
pub use linux::crash::{arm_crash, crash_point};
pub use linux::descriptor::{adopt, close_inherited, duplicate, errno, random_token, stands_for};
pub use linux::environment::remove_variable;
pub use linux::fork_hooks::at_forks;
pub use linux::futex::{SharedWord, Slept, Word};
pub use linux::futex64::{Change, SharedWord64};
pub use linux::groups::{MemoryGroups, oom_kills};
pub use linux::guard::Guard;
pub use linux::interrupts::interrupts;
pub use linux::lack::{advice, code_of, in_words, too_many_files};
pub use linux::limits::{address_space_limit, available_memory, file_size_limit, total_memory};
pub use linux::map::{Mapping, page_size};
pub use linux::memfd::{
    file_identity, file_size, is_sealed, keeps_size, memfd, out_of_reach, plain_memfd, read_text,
    seal, sealable_memfd, truncate,
};
pub use linux::pidfd::{
    SIGCONT, SIGINT, SIGKILL, SIGSTOP, pidfd_exit_status, pidfd_exited, pidfd_open, pidfd_reap,
    pidfd_signal,
};
pub use linux::poll::{Epoll, EventFd};
pub use linux::process::{
    Activity, Delivery, activity, delivery, die_first, die_with, dump_signal, hears, maps_file,
    only_sleepers, own_resident_bytes, parent_number, parent_of, process_state, resident_bytes,
};
pub use linux::signals::{
    SignalMask, await_children, ignore_signal, shrug_interrupts, unblock_interrupt,
};
pub use linux::socket::{
    Received, accept, await_message, connect_abstract, hang_up, is_same_user, listen_abstract,
    receive_with_fds, send_with_fds, seqpacket_pair,
};
pub use linux::spawn::{Again, is_privileged, past_streams, put_at};
pub use linux::stream;
pub use linux::thread::{RunDelay, is_main_thread, voluntary_switches};
pub use lock::{Lock, LockGuard};
pub use spin::{Spin, spin_for, spin_or_yield_until, spin_until, spins, yield_turn};
pub use stack::Stack;
