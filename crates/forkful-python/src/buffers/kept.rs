//! Bytes of this process's own, which views of them keep.

use super::fill;
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::c_int;
use std::sync::Arc;

/// Some of the bytes, as a buffer.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Kept {
    _all: Arc<Vec<u8>>,
    address: usize,
    len: usize,
    readonly: bool,
}

impl Kept {
    /// `None` if they end before. Nobody has given two that overlap to different objects, or writes through the `Arc`.
    pub fn new(all: &Arc<Vec<u8>>, offset: usize, len: usize, readonly: bool) -> Option<Kept> {
        let range = all.get(offset..offset.checked_add(len)?)?;
        Some(Kept {
            address: range.as_ptr() as usize,
            len,
            readonly,
            _all: all.clone(),
        })
    }
}

#[pymethods]
impl Kept {
    fn __len__(&self) -> usize {
        self.len
    }

    /// A view of it.
    ///
    /// # Safety
    /// Called by the interpreter, with a view to be filled or null.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let kept = slf.get();
        // SAFETY: the interpreter's own view to be filled; the range is there as long as this object, which the view keeps. The bytes
        // are looked at by views only from here on.
        unsafe {
            fill(
                slf.as_any(),
                view,
                flags,
                (kept.address, kept.len, kept.readonly),
            )
        }
    }
}
