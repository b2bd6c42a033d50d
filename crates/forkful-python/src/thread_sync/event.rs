//! An event.

use super::{in_time, limit, park};
use forkful_core::sync::Flag;
use pyo3::prelude::*;

/// The compiled part of `forkful.threading.Event`.
#[pyclass(frozen, subclass, module = "forkful._engine")]
pub struct EventBase(Flag);

#[pymethods]
impl EventBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        EventBase(Flag::default())
    }

    fn __init__(&self) {}

    fn is_set(&self) -> bool {
        self.0.is_set()
    }

    fn set(&self) {
        self.0.set();
    }

    fn clear(&self) {
        self.0.clear();
    }

    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        if self.0.is_set() {
            return Ok(true);
        }
        let deadline = limit::deadline(timeout)?;
        in_time(self.0.wait(|parker| park(py, parker, deadline)))
    }

    fn _at_fork_reinit(&self) {
        self.0.reset();
    }

    #[getter]
    fn _flag(&self) -> bool {
        self.0.is_set()
    }
}
