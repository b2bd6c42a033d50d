//! Leaving the interpreter while a thread waits, and coming back for a signal.

use pyo3::prelude::*;
use pyo3::types::PyAny;
use std::cell::Cell;
use std::time::Duration;

use forkful_core::deadline::Deadline;

thread_local! {
    static MAIN: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Whether this is the thread that runs the signal handlers of the interpreter.
fn is_main_thread() -> bool {
    if let Some(known) = MAIN.get() {
        return known;
    }
    let main = forkful_core::sys::is_main_thread();
    MAIN.set(Some(main));
    main
}

/// In a forked child the forking thread is the main thread, whatever it was before.
pub fn forget_main_thread() {
    MAIN.set(None);
}

/// The interrupt check of every wait: runs pending signal handlers; an exception from one ends the wait.
///
/// Other threads than the main one have no signal handlers to run, and are spared the interpreter's lock.
pub fn check_signals() -> PyResult<()> {
    if is_main_thread() {
        Python::attach(|py| py.check_signals())
    } else {
        Ok(())
    }
}

/// A timeout in seconds as the standard library takes it: `None` for ever, negative for "don't wait".
pub fn deadline(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Deadline> {
    match timeout {
        None => Ok(Deadline::NEVER),
        Some(seconds) => deadline_in(seconds.extract()?),
    }
}

/// So many seconds from now.
pub fn deadline_in(seconds: f64) -> PyResult<Deadline> {
    if seconds.is_nan() {
        return Err(pyo3::exceptions::PyValueError::new_err(
            "timeout must be a number of seconds, not nan",
        ));
    }
    let clipped = seconds.clamp(0.0, 1e15);
    Ok(Deadline::after(Duration::from_secs_f64(clipped)))
}
