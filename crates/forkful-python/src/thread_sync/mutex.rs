//! The lock of a queue: a mutex that is one word, and looks like the standard library's lock.

use super::{in_time, limit, park};
use forkful_core::deadline::Deadline;
use forkful_core::sync::Permits;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::sync::Arc;

/// A lock that any thread may release.
#[pyclass(frozen, weakref, module = "forkful._engine")]
pub struct Mutex(pub Arc<Permits>);

#[pymethods]
impl Mutex {
    #[new]
    fn new() -> Self {
        Mutex(Arc::new(Permits::new(1)))
    }

    #[pyo3(
        signature = (blocking=true, timeout=None),
        text_signature = "($self, blocking=True, timeout=-1)"
    )]
    fn acquire(
        &self,
        py: Python<'_>,
        blocking: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let deadline = match timeout {
            None => Deadline::NEVER,
            Some(timeout) if timeout.eq(-1)? => Deadline::NEVER,
            Some(_) if !blocking => {
                return Err(PyValueError::new_err(
                    "can't specify a timeout for a non-blocking call",
                ));
            }
            Some(timeout) if limit::is_negative(timeout)? => {
                return Err(PyValueError::new_err(
                    "timeout value must be a non-negative number",
                ));
            }
            timeout => limit::deadline(timeout)?,
        };
        if self.0.try_acquire() {
            return Ok(true);
        }
        if !blocking {
            return Ok(false);
        }
        in_time(self.0.acquire(|parker| park(py, parker, deadline)))
    }

    fn release(&self) -> PyResult<()> {
        let free = |_| PyRuntimeError::new_err("release unlocked lock");
        self.0.release(1, 1).map_err(free)
    }

    fn locked(&self) -> bool {
        self.0.available() == 0
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        self.acquire(py, true, None)
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, _args: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.release()
    }

    #[pyo3(
        signature = (blocking=true, timeout=None),
        text_signature = "($self, blocking=True, timeout=-1)"
    )]
    fn acquire_lock(
        &self,
        py: Python<'_>,
        blocking: bool,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        self.acquire(py, blocking, timeout)
    }

    fn release_lock(&self) -> PyResult<()> {
        self.release()
    }

    fn locked_lock(&self) -> bool {
        self.locked()
    }

    fn _at_fork_reinit(&self) {
        self.0.reset(1);
    }

    fn __repr__(slf: &Bound<'_, Self>) -> String {
        let state = if slf.get().locked() {
            "locked"
        } else {
            "unlocked"
        };
        format!("<{state} forkful.queue.Mutex object at {:p}>", slf.as_ptr())
    }
}
