//! The base class of `ProcessPoolExecutor`: `submit`, without a Python frame in between.

use crate::errors;
use crate::future::FutureBase;
use crate::options::Optioned;
use crate::procs::ProcessCrew;
use crate::shared::How;
use forkful_core::sys::Cover;
use once_cell::race::OnceBox;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// `submit` of an executor whose crew was handed over by its `__init__`.
#[pyclass(frozen, subclass, module = "forkful._engine")]
pub struct ProcessPool {
    crew: OnceBox<Py<ProcessCrew>>,
}

#[pymethods]
impl ProcessPool {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        ProcessPool {
            crew: OnceBox::new(),
        }
    }

    /// Queues the call ``fn(*args, **kwargs)`` and returns its future.
    ///
    /// Raises BrokenProcessPool once the pool is broken, RuntimeError after `shutdown`. What can't be pickled fails its future.
    #[pyo3(signature = (r#fn, /, *args, **kwargs))]
    fn submit<'py>(
        &self,
        r#fn: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, FutureBase>> {
        let _cover = Cover::enter();
        let crew = self.crew.get().ok_or_else(errors::not_initialised)?;
        let crew = crew.bind(r#fn.py());
        let shared = &crew.get().shared;
        match r#fn.cast_exact::<Optioned>() {
            Ok(optioned) => {
                let optioned = optioned.get();
                let func = optioned.func.bind(r#fn.py());
                shared.submit(
                    crew,
                    func,
                    args,
                    kwargs,
                    Some(&optioned.options),
                    How::default(),
                )
            }
            Err(_) => shared.submit(crew, r#fn, args, kwargs, None, How::default()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.crew.get() {
            Some(crew) => visit.call(crew),
            None => Ok(()),
        }
    }

    /// Hands the crew over; once.
    fn _adopt(&self, crew: Py<ProcessCrew>) {
        let _ = self.crew.set(Box::new(crew));
    }

    /// The crew, or None before `__init__`.
    #[getter]
    fn _crew(&self, py: Python<'_>) -> Option<Py<ProcessCrew>> {
        self.crew.get().map(|crew| crew.clone_ref(py))
    }
}
