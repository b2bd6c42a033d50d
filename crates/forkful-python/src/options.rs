//! How a task wants to be run: what `with_options` collects, and how it travels through a `submit` that does not know of it.

use forkful_core::procs::Limits;
use forkful_core::stats::Meter;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::sync::Arc;

/// Options of a task; immutable, shared by all tasks of a view.
#[pyclass(frozen, module = "forkful._engine")]
pub struct TaskOptions {
    /// Smaller runs first.
    pub priority: i32,
    /// How often it may be run again.
    pub retries: u32,
    /// After which errors.
    pub retry_on: Py<PyAny>,
    /// What it is called.
    pub name: Option<Py<PyString>>,
    /// Where its cost is counted.
    pub meter: Option<Arc<Meter>>,
    /// What a pool of processes allows.
    pub limits: Option<Arc<Limits>>,
}

/// A function that carries options; called, it is just the function.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Optioned {
    pub options: Py<TaskOptions>,
    pub func: Py<PyAny>,
}

#[pymethods]
impl Optioned {
    #[new]
    fn new(options: Py<TaskOptions>, r#fn: Py<PyAny>) -> Optioned {
        Optioned {
            options,
            func: r#fn,
        }
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        crate::ffi::call(self.func.bind(py), &args, kwargs.as_ref())
    }

    /// The options, for a machinery that runs the function in its own way.
    #[getter]
    fn _options(&self, py: Python<'_>) -> Py<TaskOptions> {
        self.options.clone_ref(py)
    }

    /// The function, as `inspect.unwrap` looks for it.
    #[getter]
    fn __wrapped__(&self, py: Python<'_>) -> Py<PyAny> {
        self.func.clone_ref(py)
    }

    fn __getattr__<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.func.bind(py).getattr(name)
    }
}
