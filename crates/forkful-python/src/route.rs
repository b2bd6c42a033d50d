//! The base class of `AutoExecutor`: `submit` without a Python frame in between, for functions whose calls belong in threads.
//!
//! What is to be decided, looked at or sent elsewhere is Python's.

use crate::crew::Crew;
use crate::errors;
use crate::future::FutureBase;
use forkful_core::sys::{Cover, Lock};
use once_cell::race::OnceBox;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyFunction, PyTuple};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// By what a function is known: the address of its code, or its own.
type Routes = Arc<Lock<HashMap<usize, Arc<AtomicI64>>>>;

/// How many more calls of a function may go to threads before somebody has to look again; none while it is not decided.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Route {
    left: Arc<AtomicI64>,
}

#[pymethods]
impl Route {
    #[new]
    fn new() -> Route {
        Route {
            left: Arc::default(),
        }
    }

    /// Lets so many calls go to threads.
    fn open(&self, calls: i64) {
        self.left.store(calls, Ordering::Relaxed);
    }

    /// Those that have not gone yet; the next one is somebody's to look at.
    fn close(&self) -> i64 {
        self.left.swap(0, Ordering::Relaxed).max(0)
    }

    /// Those that have not gone yet.
    fn left(&self) -> i64 {
        self.left.load(Ordering::Relaxed).max(0)
    }
}

/// The routes of one executor.
#[pyclass(frozen, module = "forkful._engine")]
pub struct RouteTable {
    routes: Routes,
}

#[pymethods]
impl RouteTable {
    #[new]
    fn new() -> RouteTable {
        RouteTable {
            routes: Arc::default(),
        }
    }

    /// Calls of what lies at this address go by that route.
    fn put(&self, address: usize, route: &Route) {
        self.routes.lock().insert(address, route.left.clone());
    }

    /// What lies at this address is gone.
    fn forget(&self, address: usize) {
        self.routes.lock().remove(&address);
    }

    /// Nothing goes by any route from now on.
    fn clear(&self) {
        self.routes.lock().clear();
    }
}

/// `submit` of an executor whose crew and routes were handed over by its `__init__`.
#[pyclass(frozen, subclass, module = "forkful._engine")]
pub struct AutoPool {
    parts: OnceBox<(Py<Crew>, Routes)>,
}

#[pymethods]
impl AutoPool {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        AutoPool {
            parts: OnceBox::new(),
        }
    }

    /// Queues the call ``fn(*args, **kwargs)`` where it belongs, and returns its future.
    #[pyo3(signature = (r#fn, /, *args, **kwargs))]
    fn submit<'py>(
        slf: &Bound<'py, Self>,
        r#fn: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let (crew, routes) = slf.get().parts.get().ok_or_else(errors::not_initialised)?;
        if let Some(address) = known_by(r#fn)? {
            let left = routes.lock().get(&address).cloned();
            if let Some(left) = left
                && left.load(Ordering::Relaxed) > 0
                && left.fetch_sub(1, Ordering::Relaxed) > 0
            {
                let _cover = Cover::enter();
                let submitted: PyResult<Bound<'py, FutureBase>> =
                    crew.get().shared.submit(r#fn, args, kwargs, None);
                return submitted.map(Bound::into_any);
            }
        }
        slf.call_method1(
            pyo3::intern!(py, "_submit"),
            (
                py.None(),
                r#fn,
                args,
                kwargs.unwrap_or_else(|| PyDict::new(py)),
            ),
        )
    }

    /// Hands crew and routes over; once.
    fn _adopt(&self, crew: Py<Crew>, table: &RouteTable) {
        let _ = self.parts.set(Box::new((crew, table.routes.clone())));
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.parts.get() {
            Some((crew, _)) => visit.call(crew),
            None => Ok(()),
        }
    }
}

/// The address by which a plain function of Python's or C's is known; all others are asked in Python.
fn known_by(func: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    if func.cast_exact::<PyFunction>().is_ok() {
        // The function keeps its code.
        let code = func.getattr(pyo3::intern!(func.py(), "__code__"))?;
        return Ok(Some(code.as_ptr() as usize));
    }
    Ok(func
        .cast_exact::<PyCFunction>()
        .is_ok()
        .then(|| func.as_ptr() as usize))
}
