//! The door to large buffers: Python's own, held until they are copied, and views of segments that are lent.

#![allow(unsafe_code)]

pub mod births;
pub mod kept;
pub mod message;
pub mod placed;

use crate::errands;
use forkful_core::procs::arena::Loan;
use forkful_core::shm::{Cargo, Part, append};
use forkful_core::worker::holdings::{Hold, Holdings};
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyBufferError, PyMemoryError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::c_int;
use std::ptr::NonNull;
use std::sync::Arc;

/// Buffers of the caller's, as they are until somebody copies them.
pub struct Buffers {
    held: Vec<PyBuffer<u8>>,
    parts: Vec<Part>,
}

impl Buffers {
    /// Of nothing.
    pub fn new() -> Buffers {
        Buffers {
            held: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Adds one, of plain contiguous bytes; `apart` as [`Part`] has it.
    pub fn add(&mut self, buffer: &Bound<'_, PyAny>, apart: bool) -> PyResult<usize> {
        let view = PyBuffer::<u8>::get(buffer)?;
        let len = view.len_bytes();
        self.parts
            .push(Part::new(view.buf_ptr().cast_const().cast(), len, apart));
        self.held.push(view);
        Ok(len)
    }

    /// Adds so many zeros, fewer than 16.
    pub fn pad(&mut self, len: usize) {
        static ZEROS: [u8; 16] = [0; 16];
        let zeros = &ZEROS[..len];
        self.parts
            .push(Part::new(zeros.as_ptr(), zeros.len(), false));
    }
}

impl Buffers {
    /// A copy of all of them, which are let go.
    pub fn copied(self, py: Python<'_>) -> PyResult<Copied> {
        let mut bytes = Vec::new();
        let copied = py.detach(|| append(&self, &mut bytes));
        let room = self.room();
        self.release(py);
        copied.map_err(|_| {
            PyMemoryError::new_err(format!(
                "there is no memory to copy {room} bytes of arguments"
            ))
        })?;
        let part = Part::new(bytes.as_ptr(), bytes.len(), true);
        Ok(Copied {
            _bytes: bytes,
            part: [part],
        })
    }

    /// Lets go of all of them here.
    pub fn release(mut self, _py: Python<'_>) {
        self.held.clear();
    }
}

// SAFETY: an exporter keeps its memory where it is while a view of it is held, which ends with this; and what lies in a segment is held
// by a view of that.
unsafe impl Cargo for Buffers {
    fn parts(&self) -> &[Part] {
        &self.parts
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // Perhaps without the interpreter's lock.
        errands::bury_buffers(std::mem::take(&mut self.held));
    }
}

/// A copy of buffers, as they lie in a segment.
pub struct Copied {
    _bytes: Vec<u8>,
    part: [Part; 1],
}

// SAFETY: the bytes stay where they are as long as this owns them, and nobody changes them.
unsafe impl Cargo for Copied {
    fn parts(&self) -> &[Part] {
        &self.part
    }
}

/// Ranges of a segment that its worker has marked.
pub struct Marked(Vec<Part>);

impl Marked {
    /// Each where it begins in the arena, and its bytes. The segment stays marked as long as this lives.
    pub fn new(holdings: &Holdings, ranges: impl Iterator<Item = (u64, u64)>) -> Marked {
        let part = |(offset, len): (u64, u64)| {
            let address = holdings.at(offset, len)?.as_ptr();
            Some(Part::new(address, usize::try_from(len).ok()?, true))
        };
        Marked(ranges.filter_map(part).collect())
    }
}

// SAFETY: within a mapping that stays; what is marked is given to nobody.
unsafe impl Cargo for Marked {
    fn parts(&self) -> &[Part] {
        &self.0
    }
}

/// Who has the segment of a view.
pub enum Lender {
    /// This process is a pool's.
    Parent(Arc<Loan>),
    /// This process is a worker.
    Worker(Arc<Hold>),
}

impl Clone for Lender {
    fn clone(&self) -> Self {
        match self {
            Lender::Parent(loan) => Lender::Parent(loan.clone()),
            Lender::Worker(hold) => Lender::Worker(hold.clone()),
        }
    }
}

impl Lender {
    fn at(&self, offset: u64, len: u64) -> Option<NonNull<u8>> {
        match self {
            Lender::Parent(loan) => loan.at(offset, len),
            Lender::Worker(hold) => hold.at(offset, len),
        }
    }
}

/// A range of a segment, as a buffer. The segment is lent as long as this lives, or a view of it.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Lent {
    _lender: Lender,
    address: usize,
    len: usize,
    readonly: bool,
}

impl Lent {
    /// `None` if the segment ends before.
    pub fn new(lender: &Lender, offset: u64, len: u64, readonly: bool) -> Option<Lent> {
        let address = lender.at(offset, len)?.as_ptr() as usize;
        Some(Lent {
            _lender: lender.clone(),
            address,
            len: usize::try_from(len).ok()?,
            readonly,
        })
    }
}

#[pymethods]
impl Lent {
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
        let lent = slf.get();
        // SAFETY: the interpreter's own view to be filled; the range is mapped as long as the lender lives, which this object keeps,
        // and the view keeps this object. A writable view of what was sent read-only is refused there.
        unsafe {
            fill(
                slf.as_any(),
                view,
                flags,
                (lent.address, lent.len, lent.readonly),
            )
        }
    }
}

/// Where a buffer's bytes lie, how many there are, and whether they can't be written.
pub fn place_of(buffer: &Bound<'_, PyAny>) -> PyResult<(usize, usize, bool)> {
    let view = PyBuffer::<u8>::get(buffer)?;
    Ok((view.buf_ptr() as usize, view.len_bytes(), view.readonly()))
}

/// An array of bytes of the interpreter's own, with a copy of these, or MemoryError.
pub fn bytearray<'py>(py: Python<'py>, content: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let len = content.len() as ffi::Py_ssize_t;
    // SAFETY: so many bytes are read there, and what is returned is a new reference, or null with an error.
    unsafe {
        let made = ffi::PyByteArray_FromStringAndSize(content.as_ptr().cast(), len);
        Bound::from_owned_ptr_or_err(py, made)
    }
}

/// Fills a view of a range (its address, its length, whether it is read-only) that an object keeps.
///
/// # Safety
/// The view is the interpreter's or null, and the range can be read as long as `owner` lives, and written to unless it is read-only.
unsafe fn fill(
    owner: &Bound<'_, PyAny>,
    view: *mut ffi::Py_buffer,
    flags: c_int,
    (address, len, readonly): (usize, usize, bool),
) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("there is no place for the view"));
    }
    let len =
        ffi::Py_ssize_t::try_from(len).map_err(|_| PyBufferError::new_err("it is too large"))?;
    let (address, readonly) = (address as *mut _, c_int::from(readonly));
    // SAFETY: as the caller says; the view gets a reference to the owner.
    let filled =
        unsafe { ffi::PyBuffer_FillInfo(view, owner.as_ptr(), address, len, readonly, flags) };
    match filled {
        0 => Ok(()),
        _ => Err(PyErr::fetch(owner.py())),
    }
}
