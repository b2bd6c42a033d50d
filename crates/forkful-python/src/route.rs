//! The base class of `AutoExecutor`: `submit` without a Python frame in between, for functions whose calls belong in threads.
//!
//! What is to be decided, looked at or sent elsewhere is Python's.

use crate::crew::Crew;
use crate::errors;
use crate::ffi;
use crate::future::FutureBase;
use forkful_core::sys::{Cover, Lock};
use once_cell::race::OnceBox;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyFunction, PyTuple};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// By what a function is known: the address of its code, or its own.
type Routes = Arc<Lock<HashMap<usize, Arc<AtomicI64>, BuildHasherDefault<Spread>>>>;

/// A hash of one address. Nobody chooses these, so they need no secret, which would cost half of a look into the table.
#[derive(Default)]
pub struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_usize(byte.into());
        }
    }

    fn write_usize(&mut self, number: usize) {
        // Of the golden ratio: the table looks at the highest and at the lowest bits, and addresses differ in neither.
        let mixed = (self.0 ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 32);
    }
}

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
        // Over the way through Python too, where a late daemon thread meets the interpreter's end most likely.
        let _cover = Cover::enter();
        let (crew, routes) = slf.get().parts.get().ok_or_else(errors::not_initialised)?;
        // Counted with the table in hand: an Arc of its own would be two more atomic steps.
        let goes_on = |left: &Arc<AtomicI64>| {
            left.load(Ordering::Relaxed) > 0 && left.fetch_sub(1, Ordering::Relaxed) > 0
        };
        if let Some(address) = known_by(r#fn)
            && routes.lock().get(&address).is_some_and(goes_on)
        {
            let submitted: PyResult<Bound<'py, FutureBase>> =
                crew.get().shared.submit(r#fn, args, kwargs, None);
            return submitted.map(Bound::into_any);
        }
        slf.call_method1(
            crate::once::interned!(py, "_submit"),
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
#[inline]
fn known_by(func: &Bound<'_, PyAny>) -> Option<usize> {
    if let Ok(function) = func.cast_exact::<PyFunction>() {
        return Some(ffi::address_of_code(function));
    }
    func.cast_exact::<PyCFunction>()
        .is_ok()
        .then(|| func.as_ptr() as usize)
}
