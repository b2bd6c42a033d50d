//! A call as a pool of threads keeps it.

use crate::ffi;
use crate::future::Task;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

/// A task with its keywords packed beside its arguments.
#[inline]
pub fn task_of<'py>(
    func: Py<PyAny>,
    args: Bound<'py, PyTuple>,
    kwargs: Option<Bound<'py, PyDict>>,
) -> PyResult<Task> {
    let args = match kwargs {
        None => args.into_any().unbind(),
        Some(kwargs) => PyList::new(args.py(), [args.as_any(), kwargs.as_any()])?
            .into_any()
            .unbind(),
    };
    Ok(Task { func, args })
}

/// The same task, run in a copy of the caller's context.
pub fn contextual<'py>(
    func: &Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
    kwargs: Option<Bound<'py, PyDict>>,
) -> PyResult<Task> {
    let py = func.py();
    let run = ffi::copy_context(py)?.getattr(crate::once::interned!(py, "run"))?;
    let args = PyTuple::new(
        py,
        std::iter::once(func.clone())
            .chain(args.iter())
            .collect::<Vec<_>>(),
    )?;
    task_of(run.unbind(), args, kwargs)
}
