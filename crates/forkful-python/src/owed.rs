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

fn list() -> &'static Lock<Vec<Py<FutureBase>>> {
    static LIST: OnceLock<Lock<Vec<Py<FutureBase>>>> = OnceLock::new();
    LIST.get_or_init(|| Lock::new(Vec::with_capacity(64)))
}

/// A future whose waiters are still to be told.
///
/// The address is a number, as it crosses the part of a thread's way that holds no lock of the interpreter.
pub struct Owed(usize);

impl Owed {
    /// Puts a finished future aside. Its waiters wait until [`Owed::tell`].
    pub fn keep(future: Py<FutureBase>) -> Owed {
        let place = std::ptr::from_ref(future.get());
        list().lock().push(future);
        Owed(place as usize)
    }

    fn place(&self) -> *const FutureBase {
        self.0 as *const FutureBase
    }

    /// Lets its waiters go; called without the interpreter's lock.
    pub fn tell(&self) {
        crate::ffi::tell(self.place());
    }

    /// Whether nobody has come for it.
    pub fn is_left(&self) -> bool {
        list()
            .lock()
            .iter()
            .any(|kept| std::ptr::eq(kept.get(), self.place()))
    }

    /// Drops the reference, if nobody has come for it.
    pub fn forget(self, _py: Python<'_>) {
        collect(self.place());
    }
}

/// Whether no worker owes anything.
pub fn is_empty() -> bool {
    list().lock().is_empty()
}

/// Drops what a worker owes this future, after a wait for it. Call it attached.
pub fn collect(future: *const FutureBase) {
    let kept = {
        let mut list = list().lock();
        let index = list
            .iter()
            .position(|kept| std::ptr::eq(kept.get(), future));
        index.map(|index| list.swap_remove(index))
    };
    drop(kept);
}

/// In a forked child: nobody tells anything; the references are leaked, as their list may be half written.
pub fn after_in_child() {
    std::mem::forget(list().reset(Vec::with_capacity(64)));
}
