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
