//! Sealed memory as an object with a buffer, which nobody can write to; it stays mapped as long as something looks at it.

#![allow(unsafe_code)]

use forkful_core::sys::Mapping;
use pyo3::exceptions::PyBufferError;
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
        let (base, len) = (mapping.base().as_ptr().cast(), mapping.len());
        let len = ffi::Py_ssize_t::try_from(len)
            .map_err(|_| PyBufferError::new_err("it is too large"))?;
        // SAFETY: the mapping is as long and lives as long as this object, of which the view gets a reference; it is declared to be
        // read-only, so a request to write is answered with an error.
        match unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), base, len, 1, flags) } {
            0 => Ok(()),
            _ => Err(PyErr::fetch(slf.py())),
        }
    }
}
