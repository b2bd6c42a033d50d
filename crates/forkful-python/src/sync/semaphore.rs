//! Semaphores of several processes.

use super::place::{Place, Words, patience};
use crate::detach;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::sync::{Owner, SemaphoreCell};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Permits that any process takes and gives.
#[pyclass(subclass, frozen, module = "forkful._engine")]
pub struct ProcessSemaphore {
    words: Words<SemaphoreCell>,
}

impl ProcessSemaphore {
    fn wait(&self, py: Python<'_>, deadline: Option<Deadline>) -> PyResult<bool> {
        let Some(deadline) = deadline else {
            return Ok(false);
        };
        let words = self.words.get();
        let taken = py.detach(|| words.acquire(Owner::me(), deadline, detach::check_signals));
        match taken {
            Ok(()) => Ok(true),
            Err(WaitError::TimedOut) => Ok(false),
            Err(WaitError::Interrupted(error)) => Err(error),
        }
    }
}

#[pymethods]
impl ProcessSemaphore {
    #[new]
    #[pyo3(signature = (value=1, most=2147483647, place=None))]
    fn new(value: i64, most: i64, place: Option<Place<'_>>) -> PyResult<ProcessSemaphore> {
        let number = |value: i64| u32::try_from(value).ok().filter(|_| value <= most);
        let (Some(value), Some(most)) = (number(value), number(most)) else {
            return Err(PyValueError::new_err("semaphore or lock value invalid"));
        };
        let fresh = place.is_none();
        let words: Words<SemaphoreCell> = Words::at(place)?;
        if fresh {
            words.get().init(value, most);
        }
        Ok(ProcessSemaphore { words })
    }

    /// Takes a permit; whether one was got.
    #[pyo3(signature = (block=None, timeout=None))]
    fn acquire(
        &self,
        py: Python<'_>,
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        if self.words.get().try_acquire(Owner::me()) {
            return Ok(true);
        }
        self.wait(py, patience(block, timeout)?)
    }

    /// Gives one.
    fn release(&self, py: Python<'_>) -> PyResult<()> {
        let (words, me) = (self.words.get(), Owner::me());
        let released = match words.try_release(me) {
            Some(released) => released,
            // Another process gives one at this moment, and may be stopped there.
            None => py.detach(|| words.release(me)),
        };
        released.map_err(|_| PyValueError::new_err("semaphore or lock released too many times"))
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
        if self.words.get().try_acquire(Owner::me()) {
            return Ok(true);
        }
        self.wait(py, Some(Deadline::NEVER))
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
        self.release(py)
    }

    /// The permits there are.
    fn get_value(&self) -> u32 {
        self.words.get().value()
    }

    /// The pid of the process that took a permit last, which may have given it back; None if none was taken.
    #[getter]
    fn last_acquired_by(&self) -> Option<u32> {
        self.words.get().last_taker().map(Owner::pid)
    }

    /// Whether there is no permit.
    fn locked(&self) -> bool {
        self.words.get().value() == 0
    }

    fn _is_zero(&self) -> bool {
        self.locked()
    }

    fn _get_value(&self) -> u32 {
        self.get_value()
    }

    #[getter]
    fn maxvalue(&self) -> u32 {
        self.words.get().most()
    }

    fn _hand_over(&self) -> PyResult<(i32, usize)> {
        self.words.hand_over()
    }

    fn _identity(&self) -> (u64, u64, usize) {
        self.words.identity()
    }
}
