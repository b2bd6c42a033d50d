//! Sealed memory as an object with a buffer, which nobody can write to; it stays mapped as long as something looks at it.

#![allow(unsafe_code)]

use super::fill;
use forkful_core::sys::Mapping;
use pyo3::ffi;
use pyo3::prelude::*;
use std::os::raw::c_int;
use std::sync::Arc;

/// A whole memfd, to be read.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Placed {
    pub mapping: Arc<Mapping>,
}

#[pymethods]
impl Placed {
    /// # Safety
    /// `view` is the caller's to be filled.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let mapping = &slf.get().mapping;
        let range = (mapping.base().as_ptr() as usize, mapping.len(), true);
        // SAFETY: the mapping is as long and lives as long as this object, of which the view gets a reference; it is declared to be
        // read-only, so a request to write is answered with an error.
        unsafe { fill(slf.as_any(), view, flags, range) }
    }
}
