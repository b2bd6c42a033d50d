//! A net under a fork: its child ends with this process from its very first moment on, before any hook of anybody's runs in it.

use super::thread::is_main_thread;
use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use std::cell::Cell;
use std::sync::Once;

thread_local! {
    /// The process whose fork by this thread is guarded, or 0; and whether the thread lives as long as the process.
    static NET: Cell<(i32, bool)> = const { Cell::new((0, false)) };
}

/// Guards the next fork of this thread, until [`unguard_fork`]. The kernel watches the thread: see [`outlive_thread`].
pub fn guard_fork() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the handler is a function that is never unloaded, and does only what a child may do before anything else.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    NET.set((Pid::as_raw(Some(getpid())), is_main_thread()));
}

/// Guards no more; in the parent, and in the child, which is what it has become.
pub fn unguard_fork() {
    let (_, main) = NET.get();
    NET.set((0, main));
}

/// In a child that was forked under guard, and watches its parent itself now: it need not end with the thread that forked it,
/// where that is not the parent's first, which stays.
pub fn outlive_thread() {
    if !NET.get().1 {
        let _ = set_parent_process_death_signal(None);
    }
}

extern "C" fn in_child() {
    let (parent, _) = NET.get();
    if parent == 0 {
        return;
    }
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    if Pid::as_raw(getppid()) != parent {
        // It died before the kernel heard of the wish.
        // SAFETY: ends the process, whatever state its memory is in.
        unsafe { libc::_exit(1) };
    }
}
