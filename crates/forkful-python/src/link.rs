//! A pool's shared memory, as its workers see it.

use crate::ffi;
use crate::kernel::refused;
use forkful_core::wire::{Bell, Link as CoreLink};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A pool's shared memory, as its workers see it.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Link {
    pub link: Arc<CoreLink>,
    pub bell: Arc<Bell>,
}

#[pymethods]
impl Link {
    /// Maps it in a process that did not inherit it; the descriptors are closed.
    #[staticmethod]
    fn open(link: i32, bell: i32) -> PyResult<Link> {
        use std::os::fd::AsFd;
        let (link, bell): (OwnedFd, OwnedFd) = (ffi::own_fd(link), ffi::own_fd(bell));
        let opened = CoreLink::open(link.as_fd()).map_err(|error| {
            PyRuntimeError::new_err(format!("the pool's memory can't be used: {error}"))
        })?;
        let bell = Bell::open(bell.as_fd())
            .map_err(|error| refused("the pool's bell can't be used", &error))?;
        Ok(Link {
            link: Arc::new(opened),
            bell: Arc::new(bell),
        })
    }

    /// An entry of the library.
    fn entry<'py>(&self, py: Python<'py>, number: u32) -> PyResult<Bound<'py, PyBytes>> {
        let mut bytes = Vec::new();
        self.link
            .entry(number, &mut bytes)
            .map_err(|error| PyRuntimeError::new_err(format!("library entry {number}: {error}")))?;
        Ok(PyBytes::new(py, &bytes))
    }
}
