//! What is found once, and never half found by a forked child.
//!
//! pyo3's lock of this kind gives up the interpreter's lock when it begins, even to make a number: a thread that forks in that moment
//! leaves its child one that is held for ever. Here it is found first, perhaps by several threads, and then put there in one step,
//! with the interpreter's lock. The first one's counts.

use pyo3::PyTypeCheck;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::convert::Infallible;

/// A place for it. Finding it must have no effect of its own.
#[derive(Default)]
pub struct Once<T>(PyOnceLock<T>);

impl<T> Once<T> {
    /// An empty one.
    pub const fn new() -> Once<T> {
        Once(PyOnceLock::new())
    }

    /// What is there.
    pub fn get(&self, py: Python<'_>) -> Option<&T> {
        self.0.get(py)
    }

    /// Puts it there, if nothing is.
    pub fn set(&self, py: Python<'_>, found: T) -> Result<(), T> {
        self.0.set(py, found)
    }

    /// What is there, or is found now.
    pub fn get_or_init(&self, py: Python<'_>, find: impl FnOnce() -> T) -> &T {
        match self.get_or_try_init(py, || Ok::<T, Infallible>(find())) {
            Ok(found) => found,
            Err(never) => match never {},
        }
    }

    /// What is there, or is found now, unless that fails.
    pub fn get_or_try_init<E>(
        &self,
        py: Python<'_>,
        find: impl FnOnce() -> Result<T, E>,
    ) -> Result<&T, E> {
        if let Some(found) = self.get(py) {
            return Ok(found);
        }
        let found = find()?;
        drop(self.set(py, found));
        Ok(self.get(py).unwrap_or_else(|| unreachable!("it was set")))
    }
}

impl<T: PyTypeCheck> Once<Py<T>> {
    /// A module's attribute.
    pub fn import<'py>(
        &self,
        py: Python<'py>,
        module: &str,
        name: &str,
    ) -> PyResult<&Bound<'py, T>> {
        let find = || PyResult::Ok(py.import(module)?.getattr(name)?.cast_into()?.unbind());
        Ok(self.get_or_try_init(py, find)?.bind(py))
    }
}

/// A string that is made once, for the names of attributes.
macro_rules! interned {
    ($py:expr, $text:expr) => {{
        static TEXT: $crate::once::Once<pyo3::Py<pyo3::types::PyString>> =
            $crate::once::Once::new();
        let intern = || pyo3::types::PyString::intern($py, $text).unbind();
        TEXT.get_or_init($py, intern).bind($py)
    }};
}
pub(crate) use interned;
