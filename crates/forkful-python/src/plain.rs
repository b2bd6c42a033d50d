//! The few bytes of plain values: numbers, strings and what else needs no pickler, on either side.
//!
//! A pickler and an unpickler are made anew for every message, which costs more than most tasks do. A value is a tag and what
//! the tag says; arguments follow each other. What comes from a worker may be garbage: it is read with checks, and refused.

use crate::ffi;
use crate::handle::Handle;
use crate::hold::{Hold, TICKET, received};
use crate::once::Once;
use forkful_core::procs::record::Payload;
use forkful_core::wire::{RAISED, RETURNED};
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use std::sync::Arc;

/// A task's flag: its payload is its arguments, one behind the other.
pub const PLAIN_ARGS: u32 = 1 << 30;
/// An outcome's kind: a plain value.
pub const PLAIN: u16 = 2;

const _: () = assert!(PLAIN != RETURNED && PLAIN != RAISED);

const NONE: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const STR: u8 = 5;
const BYTES: u8 = 6;
/// Of arguments only: a shared object, by what its worker finds it by.
const SHARED: u8 = 7;

/// Bytes from which on a value goes into a segment, in one copy.
pub const LONG: usize = 120 << 10;

/// Bytes that there might be no memory for.
const LARGE: usize = 64 << 10;

/// Where bytes are appended.
pub trait Sink {
    /// Appends.
    fn add(&mut self, bytes: &[u8]);
    /// Whether there is memory for so many bytes more; the allocator would end the program.
    fn has_memory(&mut self, len: usize) -> bool;
}

impl Sink for Payload {
    #[inline]
    fn add(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn has_memory(&mut self, len: usize) -> bool {
        self.try_reserve(len).is_ok()
    }
}

impl Sink for Vec<u8> {
    #[inline]
    fn add(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn has_memory(&mut self, len: usize) -> bool {
        self.try_reserve(len).is_ok()
    }
}

/// What is kept until a worker takes it, as far as its pool has room.
struct Kept<F> {
    payload: Payload,
    has_room: F,
}

impl<F: Fn(usize) -> bool> Sink for Kept<F> {
    #[inline]
    fn add(&mut self, bytes: &[u8]) {
        self.payload.add(bytes);
    }

    fn has_memory(&mut self, len: usize) -> bool {
        (self.has_room)(self.payload.len() + len) && self.payload.has_memory(len)
    }
}

/// Appends a value; `false`, and nothing appended, if it is not one of these.
#[inline]
pub fn put(value: &Bound<'_, PyAny>, sink: &mut impl Sink) -> bool {
    if value.is_none() {
        sink.add(&[NONE]);
    } else if let Ok(value) = value.cast_exact::<PyInt>() {
        // Larger ones are a pickler's.
        let Ok(number) = value.extract::<i64>() else {
            return false;
        };
        fixed(INT, number.to_le_bytes(), sink);
    } else if let Ok(value) = value.cast_exact::<PyString>() {
        // A lone surrogate has no form in UTF-8.
        let Ok(text) = value.to_str() else {
            return false;
        };
        return long(STR, text.as_bytes(), sink);
    } else if let Ok(value) = value.cast_exact::<PyFloat>() {
        fixed(FLOAT, value.value().to_le_bytes(), sink);
    } else if let Ok(value) = value.cast_exact::<PyBytes>() {
        return long(BYTES, value.as_bytes(), sink);
    } else if let Ok(value) = value.cast_exact::<PyBool>() {
        sink.add(&[if value.is_true() { TRUE } else { FALSE }]);
    } else {
        return false;
    }
    true
}

#[inline]
fn fixed(tag: u8, value: [u8; 8], sink: &mut impl Sink) {
    let mut all = [tag; 9];
    all[1..].copy_from_slice(&value);
    sink.add(&all);
}

fn long(tag: u8, value: &[u8], sink: &mut impl Sink) -> bool {
    let Ok(len) = u32::try_from(value.len()) else {
        return false;
    };
    if value.len() >= LONG {
        return false;
    }
    // A pickler says so where there is none.
    if value.len() >= LARGE && !sink.has_memory(5 + value.len()) {
        return false;
    }
    let mut head = [tag; 5];
    head[1..].copy_from_slice(&len.to_le_bytes());
    sink.add(&head);
    sink.add(value);
    true
}

/// All arguments of a call, and the shared objects among them, or nothing if one of them is not plain, or so large that the pool has
/// no room for it.
#[inline]
pub fn put_args(
    args: &Bound<'_, PyTuple>,
    has_room: impl Fn(usize) -> bool,
) -> Option<(Payload, Vec<Arc<Hold>>)> {
    let mut sink = Kept {
        payload: Payload::new(),
        has_room,
    };
    let mut holds = Vec::new();
    args.iter_borrowed()
        .all(|arg| put(&arg, &mut sink) || put_shared(&arg, &mut sink, &mut holds))
        .then_some((sink.payload, holds))
}

fn put_shared(arg: &Bound<'_, PyAny>, sink: &mut impl Sink, holds: &mut Vec<Arc<Hold>>) -> bool {
    let handle = arg.cast_exact::<Handle>();
    let Some((ticket, hold)) = handle.ok().and_then(|handle| handle.get().to_give()) else {
        return false;
    };
    sink.add(&[SHARED]);
    sink.add(&ticket);
    holds.push(hold);
    true
}

/// What the plainest pickler does without asking anybody: scalars, short rows of them, and rows of numbers that are as long as a
/// chunk of a map.
#[inline]
pub fn is_flat(value: &Bound<'_, PyAny>) -> bool {
    const MOST: usize = 256;
    const MOST_NUMBERS: usize = 16 << 10;
    let fits = |item: &Bound<'_, PyAny>, len| {
        if len <= MOST {
            is_scalar(item)
        } else {
            is_number(item)
        }
    };
    if is_scalar(value) {
        true
    } else if let Ok(row) = value.cast_exact::<PyTuple>() {
        let len = row.len();
        len <= MOST_NUMBERS && row.iter_borrowed().all(|item| fits(&item, len))
    } else if let Ok(row) = value.cast_exact::<PyList>() {
        let len = row.len();
        len <= MOST_NUMBERS && row.iter().all(|item| fits(&item, len))
    } else if let Ok(dict) = value.cast_exact::<PyDict>() {
        dict.len() <= MOST
            && dict
                .iter()
                .all(|(key, item)| is_scalar(&key) && is_scalar(&item))
    } else {
        false
    }
}

#[inline]
fn is_scalar(value: &Bound<'_, PyAny>) -> bool {
    value.is_none()
        || value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyString>() && is_short(value)
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBytes>() && is_short(value)
        || value.is_exact_instance_of::<PyBool>()
}

#[inline]
fn is_number(value: &Bound<'_, PyAny>) -> bool {
    value.is_exact_instance_of::<PyInt>()
        || value.is_exact_instance_of::<PyFloat>()
        || value.is_exact_instance_of::<PyBool>()
        || value.is_none()
}

fn is_short(value: &Bound<'_, PyAny>) -> bool {
    value.len().is_ok_and(|len| len < LONG)
}

/// The pickle of what is flat.
pub fn dump<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    static DUMPS: Once<Py<PyAny>> = Once::new();
    let dumps = DUMPS.import(value.py(), "_pickle", "dumps")?;
    Ok(dumps.call1((value, 5))?.cast_into()?)
}

fn garbage() -> PyErr {
    PyValueError::new_err("the other process has sent bytes that are no value")
}

/// Why there is no object of so many bytes: they are none, or there is no memory for it, which an interpreter says without a word.
fn told(py: Python<'_>, error: PyErr, len: usize) -> PyErr {
    if error.is_instance_of::<PyMemoryError>(py) {
        PyMemoryError::new_err(format!(
            "this process has no memory for a value of {len} bytes"
        ))
    } else {
        garbage()
    }
}

/// Takes `count` bytes off the front.
fn split<'a>(bytes: &mut &'a [u8], count: usize) -> PyResult<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(count).ok_or_else(garbage)?;
    *bytes = rest;
    Ok(front)
}

fn split_word(bytes: &mut &[u8]) -> PyResult<[u8; 8]> {
    split(bytes, 8)?.try_into().map_err(|_| garbage())
}

fn split_long<'a>(bytes: &mut &'a [u8]) -> PyResult<&'a [u8]> {
    let len: [u8; 4] = split(bytes, 4)?.try_into().map_err(|_| garbage())?;
    split(bytes, u32::from_le_bytes(len) as usize)
}

/// The next value.
fn next<'py>(py: Python<'py>, bytes: &mut &[u8]) -> PyResult<Bound<'py, PyAny>> {
    Ok(match split(bytes, 1)?[0] {
        NONE => py.None().into_bound(py),
        FALSE => PyBool::new(py, false).to_owned().into_any(),
        TRUE => PyBool::new(py, true).to_owned().into_any(),
        INT => ffi::integer(py, i64::from_le_bytes(split_word(bytes)?))?,
        FLOAT => ffi::float(py, f64::from_le_bytes(split_word(bytes)?))?,
        STR => {
            let content = split_long(bytes)?;
            ffi::text(py, content).map_err(|error| told(py, error, content.len()))?
        }
        BYTES => {
            let content = split_long(bytes)?;
            let made = ffi::bytes(py, content);
            made.map_err(|error| told(py, error, content.len()))?
                .into_any()
        }
        _ => return Err(garbage()),
    })
}

/// A single value.
pub fn get<'py>(py: Python<'py>, mut bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let value = next(py, &mut bytes)?;
    if bytes.is_empty() {
        Ok(value)
    } else {
        Err(garbage())
    }
}

/// A call's arguments.
pub fn get_args<'py>(py: Python<'py>, mut bytes: &[u8]) -> PyResult<Bound<'py, PyTuple>> {
    if bytes.is_empty() {
        return Ok(PyTuple::empty(py));
    }
    let first = next_arg(py, &mut bytes)?;
    if bytes.is_empty() {
        return ffi::tuple(py, &[first]);
    }
    let mut all = vec![first];
    while !bytes.is_empty() {
        all.push(next_arg(py, &mut bytes)?);
    }
    ffi::tuple(py, &all)
}

fn next_arg<'py>(py: Python<'py>, bytes: &mut &[u8]) -> PyResult<Bound<'py, PyAny>> {
    match bytes.split_first() {
        Some((&SHARED, rest)) => {
            *bytes = rest;
            let hold = received(py, split(bytes, TICKET)?, false)?;
            Ok(Handle::of(py, hold)?.into_any())
        }
        _ => next(py, bytes),
    }
}

/// A plain value that another process has sent, read when somebody asks.
pub struct Plain {
    bytes: Payload,
    object: Once<(bool, Py<PyAny>)>,
}

impl Plain {
    pub fn new(bytes: Payload) -> Plain {
        Plain {
            bytes,
            object: Once::new(),
        }
    }

    /// Whether it is an error, and the object: always the same, once there was the memory to make it. Until then whoever asks gets
    /// the lack of memory as an error, and may ask again.
    pub fn object(&self, py: Python<'_>) -> (bool, Py<PyAny>) {
        let made = self
            .object
            .get_or_try_init(py, || match get(py, &self.bytes) {
                Ok(value) => Ok((false, value.unbind())),
                Err(error) if error.is_instance_of::<PyMemoryError>(py) => Err(error),
                Err(error) => Ok((true, error.into_value(py).into_any())),
            });
        match made {
            Ok((raised, object)) => (*raised, object.clone_ref(py)),
            Err(error) => (true, error.into_value(py).into_any()),
        }
    }
}
