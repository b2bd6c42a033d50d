//! What few futures have, in a box that is made when somebody asks for it.

use crate::future::FutureBase;
use crate::options::TaskOptions;
use once_cell::race::OnceBox;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::atomic::{AtomicU8, Ordering};

/// No calls.
pub const NOTHING: u8 = 0;
/// Calls that nobody has begun.
pub const CALLS: u8 = 1;
/// Calls that somebody is making.
pub const BEGUN: u8 = 2;

/// What is rarely there, in a box of its own.
#[derive(Default)]
pub struct Extras {
    /// The condition and the waiters of the standard library's protocol.
    pub watch: OnceBox<(Py<PyAny>, Py<PyList>)>,
    options: OnceBox<Py<TaskOptions>>,
    /// Of a remote future: whether it has callbacks that its pool's caller has not called yet.
    calls: AtomicU8,
}

impl FutureBase {
    /// The box.
    pub fn extras(&self) -> &Extras {
        self.extras.get_or_init(Box::default)
    }

    /// Gives it options, before anybody else sees it.
    pub fn set_options(&self, options: Py<TaskOptions>) {
        let _ = self.extras().options.set(Box::new(options));
    }

    /// How its task wants to be run, where somebody said so.
    #[inline]
    pub fn options(&self) -> Option<&Py<TaskOptions>> {
        self.extras.get()?.options.get()
    }

    /// What is owed to this future's callbacks: [`NOTHING`], [`CALLS`], or the rest of calls that have [`BEGUN`].
    pub fn owed(&self) -> u8 {
        let extras = self.extras.get();
        extras.map_or(NOTHING, |extras| extras.calls.load(Ordering::SeqCst))
    }

    /// It has callbacks, which its pool's caller is to call.
    pub fn owe_calls(&self) {
        self.extras().calls.store(CALLS, Ordering::SeqCst);
    }

    /// The callbacks are being called.
    pub fn begins_calls(&self) {
        if let Some(extras) = self.extras.get() {
            extras.calls.store(BEGUN, Ordering::SeqCst);
        }
    }

    /// The callbacks have been called, or nobody waits for that any more.
    pub fn has_called(&self) {
        if let Some(extras) = self.extras.get() {
            extras.calls.store(NOTHING, Ordering::SeqCst);
        }
    }

    /// The condition and the waiters, if somebody asked for them.
    pub fn watch(&self) -> Option<&(Py<PyAny>, Py<PyList>)> {
        self.extras.get()?.watch.get()
    }
}
