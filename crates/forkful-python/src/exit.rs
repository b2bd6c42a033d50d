//! Whether the interpreter has begun to end: from then on no pool takes work.

use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};

static BEGUN: AtomicBool = AtomicBool::new(false);

/// Whether [`interpreter_exits`] was called.
#[inline]
pub fn begun() -> bool {
    BEGUN.load(Ordering::Acquire)
}

/// Registered with `threading._register_atexit`: runs before the interpreter joins the threads that are left.
#[pyfunction]
pub fn interpreter_exits() {
    BEGUN.store(true, Ordering::Release);
}

static OVER: AtomicBool = AtomicBool::new(false);

/// Whether the pools of processes are gone, and nobody needs serving any more.
pub fn over() -> bool {
    OVER.load(Ordering::Acquire)
}

/// Called when they are: the completer ends.
#[pyfunction]
pub fn pools_are_over() {
    OVER.store(true, Ordering::Release);
    crate::errands::wake();
}
