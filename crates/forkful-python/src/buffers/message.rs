//! The memory of messages: what is sent stays where it is, and what is received is filled before anybody has seen it.

#![allow(unsafe_code)]

use forkful_core::sys::stream::{Piece, Room};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// A bytes object that nobody has seen yet.
pub struct Blank<'py>(Bound<'py, PyBytes>);

impl<'py> Blank<'py> {
    /// Of so many bytes, which mean nothing yet; or MemoryError.
    pub fn new(py: Python<'py>, len: usize) -> PyResult<Blank<'py>> {
        let len = ffi::Py_ssize_t::try_from(len)
            .map_err(|_| pyo3::exceptions::PyMemoryError::new_err(()))?;
        // SAFETY: without a source the bytes are left as they are; what is returned is a new reference, or null with an error.
        unsafe {
            let made = ffi::PyBytes_FromStringAndSize(std::ptr::null(), len);
            Ok(Blank(
                Bound::from_owned_ptr_or_err(py, made)?.cast_into_unchecked(),
            ))
        }
    }

    /// Where they go.
    pub fn room(&mut self) -> Room<'_> {
        // SAFETY: so many bytes are there, and nobody else has the object. (The empty one is everybody's, but has no bytes.)
        unsafe {
            let base = ffi::PyBytes_AS_STRING(self.0.as_ptr());
            let len = ffi::PyBytes_Size(self.0.as_ptr());
            Room::at(base.cast_mut().cast(), len.unsigned_abs())
        }
    }

    /// The object, all of which has been filled.
    pub fn filled(self) -> Bound<'py, PyBytes> {
        self.0
    }
}

/// Memory of the caller's, which stays where it is as long as this lives.
pub enum Held<'py> {
    /// A bytes object's own.
    Bytes(Bound<'py, PyBytes>),
    /// That of anything else with a buffer.
    View(View<'py>),
}

impl<'py> Held<'py> {
    /// What is to be read of `object`.
    pub fn new(object: &Bound<'py, PyAny>) -> PyResult<Held<'py>> {
        match object.cast_exact::<PyBytes>() {
            Ok(bytes) => Ok(Held::Bytes(bytes.clone())),
            Err(_) => Ok(Held::View(View::new(object, false)?)),
        }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        match self {
            Held::Bytes(bytes) => bytes.as_bytes().len(),
            Held::View(view) => view.len(),
        }
    }

    /// Some of them; fewer where there are fewer.
    pub fn piece(&self, offset: usize, len: usize) -> Piece<'_> {
        match self {
            Held::Bytes(bytes) => {
                let bytes = bytes.as_bytes();
                let from = offset.min(bytes.len());
                Piece::new(&bytes[from..from + len.min(bytes.len() - from)])
            }
            Held::View(view) => {
                let from = offset.min(view.len());
                // SAFETY: within the view, which is held as long as the piece lives.
                unsafe { Piece::at(view.base().add(from), len.min(view.len() - from)) }
            }
        }
    }
}

/// A view of contiguous memory, whatever its items are.
pub struct View<'py> {
    // On the heap, as exporters may keep its address.
    buffer: Box<ffi::Py_buffer>,
    py: Python<'py>,
}

impl<'py> View<'py> {
    /// Of what a memoryview of `object` shows; to be written to, if `writable`.
    pub fn new(object: &Bound<'py, PyAny>, writable: bool) -> PyResult<View<'py>> {
        let py = object.py();
        let mut buffer = Box::new(ffi::Py_buffer::new());
        // By way of a memoryview, whose words are those that the standard library's user reads.
        // SAFETY: a live object; what is returned is a new reference, or null with an error.
        let view: Bound<'py, PyAny> = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyMemoryView_FromObject(object.as_ptr()))?
        };
        if writable && view.getattr("readonly")?.is_truthy()? {
            return Err(PyTypeError::new_err(
                "readinto() argument must be read-write bytes-like object, not memoryview",
            ));
        }
        let flags = if writable {
            ffi::PyBUF_WRITABLE
        } else {
            ffi::PyBUF_SIMPLE
        };
        // SAFETY: a live memoryview and a structure to fill, which holds the memoryview from then on.
        match unsafe { ffi::PyObject_GetBuffer(view.as_ptr(), &raw mut *buffer, flags) } {
            0 => Ok(View { buffer, py }),
            _ => Err(PyErr::fetch(py)),
        }
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.buffer.len.unsigned_abs()
    }

    fn base(&self) -> *mut u8 {
        if self.buffer.buf.is_null() {
            std::ptr::NonNull::dangling().as_ptr()
        } else {
            self.buffer.buf.cast()
        }
    }

    /// Where `len` bytes go from `offset` on; fewer where there are fewer. Only of a view that may be written to.
    pub fn room(&mut self, offset: usize, len: usize) -> Room<'_> {
        debug_assert_eq!(self.buffer.readonly, 0);
        let from = offset.min(self.len());
        // SAFETY: within the view, which is held, and writable, as long as the room lives.
        unsafe { Room::at(self.base().add(from), len.min(self.len() - from)) }
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        let _attached = self.py;
        // SAFETY: filled by PyObject_GetBuffer, and released once, with the interpreter's lock.
        unsafe { ffi::PyBuffer_Release(&raw mut *self.buffer) }
    }
}
