//! Events of several processes.

use super::place::{Place, Words};
use crate::detach;
use forkful_core::error::WaitError;
use forkful_core::sync::EventCell;
use pyo3::prelude::*;

/// A flag that processes wait for.
#[pyclass(subclass, frozen, module = "forkful._engine")]
pub struct ProcessEvent {
    words: Words<EventCell>,
}

#[pymethods]
impl ProcessEvent {
    #[new]
    #[pyo3(signature = (place=None))]
    fn new(place: Option<Place<'_>>) -> PyResult<ProcessEvent> {
        Ok(ProcessEvent {
            words: Words::at(place)?,
        })
    }

    /// Whether it is set.
    fn is_set(&self) -> bool {
        self.words.get().is_set()
    }

    /// Sets it, and lets all go who wait.
    fn set(&self) {
        self.words.get().set();
    }

    /// Clears it.
    fn clear(&self) {
        self.words.get().clear();
    }

    /// Waits until it is set; whether it was.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let words = self.words.get();
        if words.is_set() {
            return Ok(true);
        }
        let deadline = detach::deadline(timeout)?;
        if deadline.passed() {
            return Ok(false);
        }
        match py.detach(|| words.wait(deadline, detach::check_signals)) {
            Ok(()) => Ok(true),
            Err(WaitError::TimedOut) => Ok(false),
            Err(WaitError::Interrupted(error)) => Err(error),
        }
    }

    fn _hand_over(&self) -> PyResult<(i32, usize)> {
        self.words.hand_over()
    }

    fn _identity(&self) -> (u64, u64, usize) {
        self.words.identity()
    }
}
