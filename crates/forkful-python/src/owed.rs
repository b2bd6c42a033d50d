//! The last future of a worker that goes to rest, kept alive until its waiter has been let go.
//!
//! A waiter should be let go only after the worker has given the interpreter's lock back, or it falls asleep a second time, on
//! that lock. But without the lock the worker can't drop its reference to the future, and dropping it before would free the word
//! that the waiter sleeps on. So the reference lies here: the waiter that was let go drops it, as it holds the lock anyway; if
//! nobody came for it while the worker spun, the worker does before it sleeps, and an idle pool keeps no finished work alive.

use crate::future::FutureBase;
use forkful_core::sys::Lock;
use pyo3::prelude::*;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The ticket tells two futures apart that lie at the same address one after the other.
type List = Lock<Vec<(u64, Py<FutureBase>)>>;

fn list() -> &'static List {
    static LIST: OnceLock<List> = OnceLock::new();
    LIST.get_or_init(|| Lock::new(Vec::with_capacity(64)))
}

/// A future whose waiters are still to be told.
///
/// The address is a number, as it crosses the part of a thread's way that holds no lock of the interpreter.
pub struct Owed {
    place: usize,
    ticket: u64,
}

impl Owed {
    /// Puts a finished future aside. Its waiters wait until [`Owed::tell`].
    pub fn keep(future: Py<FutureBase>) -> Owed {
        static TICKET: AtomicU64 = AtomicU64::new(0);
        let ticket = TICKET.fetch_add(1, Ordering::Relaxed);
        let place = std::ptr::from_ref(future.get()) as usize;
        list().lock().push((ticket, future));
        Owed { place, ticket }
    }

    /// Lets its waiters go; once, and called without the interpreter's lock.
    pub fn tell(&self) {
        crate::ffi::tell(self.place as *const FutureBase);
    }

    /// Whether nobody has come for it.
    pub fn is_left(&self) -> bool {
        list()
            .lock()
            .iter()
            .any(|(ticket, _)| *ticket == self.ticket)
    }

    /// Drops the reference, if nobody has come for it.
    pub fn forget(self, _py: Python<'_>) {
        drop(take(|ticket, _| ticket == self.ticket));
    }
}

/// Whether no worker owes anything.
pub fn is_empty() -> bool {
    list().lock().is_empty()
}

/// Drops what a worker owes this future, after a wait for it. Call it attached.
///
/// Only once the waiters were told: a wait that timed out a moment before leaves the reference to the worker, who still needs it.
pub fn collect(future: &FutureBase) {
    if future.core.state().told() {
        drop(take(|_, kept| std::ptr::eq(kept, future)));
    }
}

fn take(wanted: impl Fn(u64, &FutureBase) -> bool) -> Option<(u64, Py<FutureBase>)> {
    let mut list = list().lock();
    let index = list
        .iter()
        .position(|(ticket, kept)| wanted(*ticket, kept.get()))?;
    Some(list.swap_remove(index))
}

/// In a forked child: nobody tells anything; the references are leaked, as their list may be half written.
pub fn after_in_child() {
    std::mem::forget(list().reset(Vec::with_capacity(64)));
}
