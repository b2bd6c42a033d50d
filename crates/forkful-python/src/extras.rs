//! What few futures have, in a box that is made when somebody asks for it.

use crate::future::FutureBase;
use crate::options::TaskOptions;
use once_cell::race::OnceBox;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is rarely there, in a box of its own.
#[derive(Default)]
pub struct Extras {
    /// The condition and the waiters of the standard library's protocol.
    pub watch: OnceBox<(Py<PyAny>, Py<PyList>)>,
    options: OnceBox<Py<TaskOptions>>,
    /// Of a remote future: whether it has callbacks that the completer has not called yet.
    calls: AtomicBool,
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

    /// Whether the completer owes this future calls.
    pub fn owes_calls(&self) -> bool {
        let extras = self.extras.get();
        extras.is_some_and(|extras| extras.calls.load(Ordering::SeqCst))
    }

    /// It has callbacks, which the completer is to call.
    pub fn owe_calls(&self) {
        self.extras().calls.store(true, Ordering::SeqCst);
    }

    /// The callbacks have been called.
    pub fn has_called(&self) {
        if let Some(extras) = self.extras.get() {
            extras.calls.store(false, Ordering::SeqCst);
        }
    }

    /// The condition and the waiters, if somebody asked for them.
    pub fn watch(&self) -> Option<&(Py<PyAny>, Py<PyList>)> {
        self.extras.get()?.watch.get()
    }
}
