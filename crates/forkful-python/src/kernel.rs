//! The kernel's refusals in words, and calls of it that some interpreters were built without.

use crate::ffi;
use forkful_core::sys;
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use std::io;
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::Mutex;

/// The error as Python has it: what could not be done, why, and the way out.
pub fn refused(what: &str, error: &io::Error) -> PyErr {
    let text = format!("{what}: {}", sys::in_words(error));
    match sys::code_of(error) {
        Some(code) => PyOSError::new_err((code, text)),
        None => PyOSError::new_err(text),
    }
}

/// What a refusal of the kernel means to whoever runs the program, and the way out; None where the number says enough.
#[pyfunction]
pub fn advice(code: i32) -> Option<String> {
    sys::advice(code)
}

/// As `os.pidfd_open`.
#[pyfunction]
pub fn pidfd_open(pid: i32) -> PyResult<i32> {
    handed_over(sys::pidfd_open(pid))
}

/// As `os.memfd_create`.
#[pyfunction]
pub fn memfd_create(name: &str) -> PyResult<i32> {
    handed_over(sys::plain_memfd(name))
}

/// As `signal.pidfd_send_signal`.
#[pyfunction]
pub fn pidfd_send_signal(pidfd: i32, number: i32) -> PyResult<()> {
    Ok(sys::pidfd_signal(ffi::lent_fd(&pidfd), number).map_err(plain)?)
}

/// Has the kernel kill this process when `parent` ends; whether `parent` is still its parent.
#[pyfunction]
pub fn die_with(parent: i32) -> bool {
    sys::die_with(parent)
}

static GUARD: Mutex<Option<sys::Guard>> = Mutex::new(None);

/// Kills this process when that of a pidfd ends, however busy the interpreter is; the descriptor is the engine's. By a thread, until
/// `unwatch_parent`.
#[pyfunction]
pub fn watch_parent(pidfd: i32) -> PyResult<()> {
    let guard = sys::Guard::over(ffi::own_fd(pidfd))?;
    if let Ok(mut kept) = GUARD.lock() {
        *kept = Some(guard);
    }
    Ok(())
}

/// No more; the thread is gone.
#[pyfunction]
pub fn unwatch_parent(py: Python<'_>) {
    let guard = GUARD.lock().ok().and_then(|mut kept| kept.take());
    py.detach(|| guard.map(sys::Guard::end));
}

/// Has the child of this thread's next fork end with this process, before any hook runs in it, until `unguard_fork`.
#[pyfunction]
pub fn guard_fork() {
    sys::guard_fork();
}

/// No more, in the parent and in the child.
#[pyfunction]
pub fn unguard_fork() {
    sys::unguard_fork();
}

/// In a child that watches its parent itself: it need not end with the thread that forked it.
#[pyfunction]
pub fn outlive_thread() {
    sys::outlive_thread();
}

fn handed_over(made: io::Result<OwnedFd>) -> PyResult<i32> {
    Ok(made.map_err(plain)?.into_raw_fd())
}

/// The bare number, which Python has a class and words for.
fn plain(error: io::Error) -> io::Error {
    sys::code_of(&error).map_or(error, io::Error::from_raw_os_error)
}
