//! What this process does with signals that are meant for another one.

use std::mem::MaybeUninit;

/// A set of signals, as a thread blocks it.
#[derive(Clone, Copy)]
pub struct SignalMask(libc::sigset_t);

impl std::fmt::Debug for SignalMask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignalMask")
            .field("interrupt", &self.has_interrupt())
            .finish_non_exhaustive()
    }
}

impl SignalMask {
    /// None.
    pub fn empty() -> SignalMask {
        let mut set = MaybeUninit::uninit();
        // SAFETY: the call fills the set.
        SignalMask(unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            set.assume_init()
        })
    }

    /// What the calling thread blocks.
    pub fn current() -> SignalMask {
        let mut mask = SignalMask::empty();
        // SAFETY: only asks, into a whole set.
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &raw mut mask.0) };
        mask
    }

    /// Whether Ctrl-C's is one of them.
    pub fn has_interrupt(&self) -> bool {
        // SAFETY: reads a whole set.
        unsafe { libc::sigismember(&raw const self.0, libc::SIGINT) == 1 }
    }

    /// The same and Ctrl-C's.
    #[must_use]
    pub fn with_interrupt(mut self) -> SignalMask {
        // SAFETY: changes a whole set.
        unsafe { libc::sigaddset(&raw mut self.0, libc::SIGINT) };
        self
    }

    pub(super) fn as_ptr(&self) -> *const libc::sigset_t {
        &raw const self.0
    }
}

/// Lets Ctrl-C reach this thread (again).
pub fn unblock_interrupt() {
    let set = SignalMask::empty().with_interrupt();
    // SAFETY: changes this thread's mask only.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), std::ptr::null_mut()) };
}

extern "C" fn nothing(_: libc::c_int) {}

/// From now on Ctrl-C does nothing here: another process decides what it means.
///
/// By a handler that does nothing, and not by ignoring it: a program that is started from here would ignore it too, and outlive
/// what its user has ended.
pub fn shrug_interrupts() {
    act(libc::SIGINT, nothing as *const () as usize);
}

/// From now on this signal does nothing here, nor in programs that are started from here.
pub fn ignore_signal(signal: i32) {
    act(signal, libc::SIG_IGN);
}

/// Children are waited for by hand, though the one who started this process may have left that to the kernel.
pub fn await_children() {
    act(libc::SIGCHLD, libc::SIG_DFL);
}

fn act(signal: i32, handler: usize) {
    // SAFETY: zeroes are a valid value of this plain structure, whose set is filled next.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = libc::SA_RESTART;
    action.sa_mask = SignalMask::empty().0;
    // SAFETY: the handler is the default, none, or a function that does nothing and is never unloaded.
    unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_has_what_was_put_into_it() {
        let mask = SignalMask::empty();
        assert!(!mask.has_interrupt());
        assert!(mask.with_interrupt().has_interrupt());
        assert!(!SignalMask::current().has_interrupt());
    }
}
