//! One end of a pipe, as the class has it that Python sees.
//!
//! The class has the standard library's as its second base, so what is not here (its making, its end) is that one's.

use crate::buffers::message::{Held, View};
use crate::channel::Channel;
use crate::detach;
use crate::once::Once;
use forkful_core::deadline::Deadline;
use forkful_core::sys::Cover;
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyNone, PyString, PyTuple, PyType,
};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes from which on strings and bytes are sent from where they lie, instead of from a pickle that has copied them.
const LARGE: usize = 32 << 10;

/// Values that are looked at before an object is given to the pickler that knows everything.
const LOOKED_AT: usize = 64;

/// What a connection is made of; its class has the standard library's as its second base.
#[pyclass(subclass, frozen, module = "forkful._engine")]
pub struct ConnectionBase {
    channel: Channel,
    readable: AtomicBool,
    writable: AtomicBool,
}

#[pymethods]
impl ConnectionBase {
    /// Everything else is for the `__init__` of the standard library's class.
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> ConnectionBase {
        ConnectionBase {
            channel: Channel::new(),
            readable: AtomicBool::new(true),
            writable: AtomicBool::new(true),
        }
    }

    // The standard library's own names for what it keeps: its methods, and some programs, read and write them.

    #[getter]
    fn _handle(&self) -> Option<i32> {
        self.channel.handle()
    }

    #[setter(_handle)]
    fn set_handle(&self, handle: Option<i32>) {
        self.channel.set_handle(handle);
    }

    #[getter]
    fn _readable(&self) -> bool {
        self.readable.load(Ordering::Relaxed)
    }

    #[setter(_readable)]
    fn set_readable(&self, readable: &Bound<'_, PyAny>) -> PyResult<()> {
        self.readable
            .store(readable.is_truthy()?, Ordering::Relaxed);
        Ok(())
    }

    #[getter]
    fn _writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    #[setter(_writable)]
    fn set_writable(&self, writable: &Bound<'_, PyAny>) -> PyResult<()> {
        self.writable
            .store(writable.is_truthy()?, Ordering::Relaxed);
        Ok(())
    }

    #[getter]
    fn closed(&self) -> bool {
        self.channel.handle().is_none()
    }

    #[getter]
    fn readable(&self) -> bool {
        self._readable()
    }

    #[getter]
    fn writable(&self) -> bool {
        self._writable()
    }

    fn fileno(&self) -> PyResult<i32> {
        self.channel.number()
    }

    #[pyo3(signature = (buf, offset = 0, size = None))]
    fn send_bytes(
        &self,
        py: Python<'_>,
        buf: &Bound<'_, PyAny>,
        offset: isize,
        size: Option<isize>,
    ) -> PyResult<()> {
        self.check_writable()?;
        let held = Held::new(buf)?;
        let len = held.len();
        let Ok(offset) = usize::try_from(offset) else {
            return Err(PyValueError::new_err("offset is negative"));
        };
        let Some(rest) = len.checked_sub(offset) else {
            return Err(PyValueError::new_err("buffer length < offset"));
        };
        let size = match size.map(usize::try_from) {
            None => rest,
            Some(Err(_)) => return Err(PyValueError::new_err("size is negative")),
            Some(Ok(size)) if size > rest => {
                return Err(PyValueError::new_err("buffer length < offset + size"));
            }
            Some(Ok(size)) => size,
        };
        self.channel
            .transmit(py, size, &mut [held.piece(offset, size)])
    }

    fn send(slf: &Bound<'_, Self>, obj: &Bound<'_, PyAny>) -> PyResult<()> {
        static DUMPS: Once<Py<PyAny>> = Once::new();
        let (py, this) = (slf.py(), slf.get());
        this.check_writable()?;
        let pickled = if is_plain(obj, &mut 0) {
            DUMPS.import(py, "pickle", "dumps")?.call1((obj, 5))?
        } else {
            // What is called may be a program's own code.
            let _cover = Cover::enter();
            slf.call_method1("_pickled", (obj,))?
        };
        let held = match pickled.cast_exact::<PyList>() {
            Ok(pieces) => pieces
                .iter()
                .map(|piece| Held::new(&piece))
                .collect::<PyResult<Vec<_>>>()?,
            Err(_) => vec![Held::new(&pickled)?],
        };
        let size = held.iter().map(Held::len).sum();
        let mut pieces: Vec<_> = held.iter().map(|held| held.piece(0, held.len())).collect();
        this.channel.transmit(py, size, &mut pieces)
    }

    #[pyo3(signature = (maxlength = None))]
    fn recv_bytes<'py>(
        slf: &Bound<'py, Self>,
        maxlength: Option<isize>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        slf.get().check_readable()?;
        let limit = match maxlength.map(u64::try_from) {
            None => u64::MAX,
            Some(Ok(limit)) => limit,
            Some(Err(_)) => return Err(PyValueError::new_err("negative maxlength")),
        };
        let size = slf.get().channel.receive_size(slf.py())?;
        if size > limit {
            return Err(bad_length(slf)?);
        }
        slf.get().channel.receive_body(slf.py(), size)
    }

    #[pyo3(signature = (buf, offset = 0))]
    fn recv_bytes_into(
        &self,
        py: Python<'_>,
        buf: &Bound<'_, PyAny>,
        offset: isize,
    ) -> PyResult<usize> {
        static TOO_SHORT: Once<Py<PyType>> = Once::new();
        self.check_readable()?;
        let mut view = View::new(buf, true)?;
        let Ok(offset) = usize::try_from(offset) else {
            return Err(PyValueError::new_err("negative offset"));
        };
        let Some(rest) = view.len().checked_sub(offset) else {
            return Err(PyValueError::new_err("offset too large"));
        };
        let size = self.channel.receive_size(py)?;
        match usize::try_from(size) {
            Ok(size) if size <= rest => {
                self.channel.fill(py, &mut view.room(offset, size), false)?;
                Ok(size)
            }
            _ => {
                let message = self.channel.receive_body(py, size)?;
                let class = TOO_SHORT.import(py, "multiprocessing", "BufferTooShort")?;
                Err(PyErr::from_type(class.clone(), (message.unbind(),)))
            }
        }
    }

    fn recv<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        static LOADS: Once<Py<PyAny>> = Once::new();
        self.check_readable()?;
        let size = self.channel.receive_size(py)?;
        let message = self.channel.receive_body(py, size)?;
        let loads = LOADS.import(py, "pickle", "loads")?;
        let _cover = Cover::enter();
        loads.call1((message,))
    }

    fn _poll(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let deadline = timeout.map_or(Ok(Deadline::NEVER), detach::deadline_in)?;
        self.channel.poll(py, deadline)
    }

    #[pyo3(signature = (timeout = Some(0.0)), text_signature = "($self, timeout=0.0)")]
    fn poll(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        self.check_readable()?;
        self._poll(py, timeout)
    }
}

impl ConnectionBase {
    fn check_readable(&self) -> PyResult<()> {
        self.channel.number()?;
        if self._readable() {
            Ok(())
        } else {
            Err(PyOSError::new_err("connection is write-only"))
        }
    }

    fn check_writable(&self) -> PyResult<()> {
        self.channel.number()?;
        if self._writable() {
            Ok(())
        } else {
            Err(PyOSError::new_err("connection is read-only"))
        }
    }
}

/// Whether every pickler writes it alike: exact types only, none of which anybody can have registered anything for.
fn is_plain(object: &Bound<'_, PyAny>, looked_at: &mut usize) -> bool {
    *looked_at += 1;
    if *looked_at > LOOKED_AT {
        return false;
    }
    if object.is_exact_instance_of::<PyInt>()
        || object.is_exact_instance_of::<PyFloat>()
        || object.is_exact_instance_of::<PyBool>()
        || object.is_exact_instance_of::<PyNone>()
    {
        return true;
    }
    if object.is_exact_instance_of::<PyString>() || object.is_exact_instance_of::<PyBytes>() {
        return object.len().is_ok_and(|len| len < LARGE);
    }
    if let Ok(items) = object.cast_exact::<PyTuple>() {
        return items.iter().all(|item| is_plain(&item, looked_at));
    }
    if let Ok(items) = object.cast_exact::<PyList>() {
        return items.iter().all(|item| is_plain(&item, looked_at));
    }
    if let Ok(items) = object.cast_exact::<PyDict>() {
        return items
            .iter()
            .all(|(key, value)| is_plain(&key, looked_at) && is_plain(&value, looked_at));
    }
    false
}

/// What the standard library does with a connection whose next message is longer than it may be, and the error that it raises.
fn bad_length(slf: &Bound<'_, ConnectionBase>) -> PyResult<PyErr> {
    if slf.get()._writable() {
        slf.get().readable.store(false, Ordering::Relaxed);
    } else {
        slf.call_method0("close")?;
    }
    Ok(PyOSError::new_err("bad message length"))
}
