//! Shared objects as Python sees them: handles, and what makes and pickles them.

use crate::buffers::placed::Placed;
use crate::hold::{Hold, TICKET, hold_of, received};
use crate::once::Once;
use crate::sealed::{File, checked};
use crate::{ffi, kernel};
use forkful_core::sys::{Lock, seal, sealable_memfd};
use forkful_core::wire::Token;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyType};
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::Arc;

/// A handle of a shared object, as `forkful.share` makes it. Handles are equal where they mean the same object.
///
/// It is sent like any value, to processes of any kind. In a worker of a process pool it costs a look into a table from the second
/// task on. A context manager, which closes it.
#[pyclass(frozen, weakref, name = "Shared", module = "forkful")]
pub struct Handle {
    token: Token,
    hold: Lock<Option<Arc<Hold>>>,
}

impl Handle {
    /// A new one.
    pub fn of(py: Python<'_>, hold: Arc<Hold>) -> PyResult<Bound<'_, Handle>> {
        let (token, hold) = (hold.token, Lock::new(Some(hold)));
        Bound::new(py, Handle { token, hold })
    }

    fn hold(&self) -> PyResult<Arc<Hold>> {
        self.hold.lock().clone().ok_or_else(|| {
            PyValueError::new_err("this handle of a shared object has been closed in this process")
        })
    }

    /// What a task names it by, and what keeps it so long; None where that is not enough, or not to be had.
    pub fn to_give(&self) -> Option<([u8; TICKET], Arc<Hold>)> {
        let hold = self.hold.lock().clone().filter(|hold| !hold.names)?;
        let ticket = hold.ticket().ok()?;
        Some((ticket, hold))
    }
}

#[pymethods]
impl Handle {
    /// The object; the same one for all handles of this process, made when it is first asked for. Arrays in it are read-only.
    ///
    /// ValueError where this handle has been closed, and in a forked worker whose parent, which it has it from, holds it no more.
    #[getter]
    fn value(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.hold()?
            .value(py, |placed| sharing(py)?.0.call1(py, (placed,)))
    }

    /// Whether this handle has been closed.
    #[getter]
    fn closed(&self) -> bool {
        self.hold.lock().is_none()
    }

    /// Bytes of memory that the object takes, once for all processes. ValueError where this handle has been closed.
    #[getter]
    fn nbytes(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.hold()?.mapping(py)?.len())
    }

    /// Gives this handle up. Arrays that were taken from its value stay valid, and tasks that were given it still have it.
    fn close(&self) {
        let hold = self.hold.lock().take();
        drop(hold);
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        slf.get().hold()?;
        Ok(slf)
    }

    #[pyo3(signature = (*_exc))]
    fn __exit__(&self, _exc: &Bound<'_, PyAny>) {
        self.close();
    }

    fn __copy__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Handle>> {
        Handle::of(py, self.hold()?)
    }

    fn __deepcopy__<'py>(
        &self,
        py: Python<'py>,
        memo: &Bound<'_, PyAny>,
    ) -> PyResult<Bound<'py, Handle>> {
        let _ = memo;
        self.__copy__(py)
    }

    fn __reduce__(slf: Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.get().hold()?;
        let py = slf.py();
        sharing(py)?.1.call1(py, (slf,))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let other = other.cast_exact::<Handle>();
        other.is_ok_and(|other| other.get().token == self.token)
    }

    fn __hash__(&self) -> u64 {
        let (half, _) = self.token.0.split_first_chunk().unwrap_or((&[0; 8], &[]));
        u64::from_le_bytes(*half)
    }

    fn __repr__(&self) -> String {
        let here = self.hold.lock().clone();
        match here {
            None => "<forkful.Shared, closed>".into(),
            Some(hold) => match hold.mapped() {
                Some(bytes) => format!("<forkful.Shared, {bytes} bytes>"),
                None => "<forkful.Shared>".into(),
            },
        }
    }

    #[classmethod]
    fn __class_getitem__(class: &Bound<'_, PyType>, item: &Bound<'_, PyAny>) -> Py<PyAny> {
        // For annotations that are evaluated.
        let _ = item;
        class.clone().into_any().unbind()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Held by threads that have the interpreter's lock only, so they are free. What others hold too is not this handle's alone.
        if let Some(here) = self.hold.try_lock()
            && let Some(hold) = &*here
            && Arc::strong_count(hold) == 1
        {
            return hold.visit(&visit);
        }
        Ok(())
    }

    fn __clear__(&self) {
        self.close();
    }
}

/// What reads an object's memory, and what reduces a handle for picklers.
type Sharing = (Py<PyAny>, Py<PyAny>);

static GIVES_SHARING: Once<Py<PyAny>> = Once::new();

/// Says what gives the two when they are first needed. The first call counts.
#[pyfunction]
pub fn set_sharing(py: Python<'_>, gives: Py<PyAny>) {
    let _ = GIVES_SHARING.set(py, gives);
}

fn sharing(py: Python<'_>) -> PyResult<&Sharing> {
    static SHARING: Once<Sharing> = Once::new();
    SHARING.get_or_try_init(py, || {
        let gives = GIVES_SHARING
            .get(py)
            .ok_or_else(|| PyRuntimeError::new_err("this process shares nothing"))?;
        gives.bind(py).call0()?.extract()
    })
}

/// An empty memfd that is to be filled, for [`place_shared`].
#[pyfunction]
pub fn memfd_for_sharing() -> PyResult<i32> {
    let made = sealable_memfd("forkful-shared");
    let fd = made.map_err(|error| kernel::refused("an object can't be shared", &error))?;
    Ok(fd.into_raw_fd())
}

/// A shared object of a memfd that was filled for it, which is sealed now, and owned.
#[pyfunction]
pub fn place_shared(py: Python<'_>, fd: i32, names: bool) -> PyResult<Bound<'_, Handle>> {
    let fd = ffi::own_fd(fd);
    let made = seal(&fd).and_then(|()| Ok((Token::random()?, File::of(fd)?)));
    let (token, file) =
        made.map_err(|error| kernel::refused("an object can't be shared", &error))?;
    Handle::of(py, hold_of(token, file, names))
}

/// A shared object that has come otherwise than with a task, or else what is here by this token; the descriptor is owned.
#[pyfunction]
pub fn adopt_shared(
    py: Python<'_>,
    token: [u8; 16],
    fd: i32,
    names: bool,
) -> PyResult<Bound<'_, Handle>> {
    let file = checked(ffi::own_fd(fd))?;
    Handle::of(py, hold_of(Token(token), file, names))
}

/// What a task has named; for unpicklers.
#[pyfunction]
pub fn receive_shared<'py>(
    py: Python<'py>,
    ticket: &[u8],
    names: bool,
) -> PyResult<Bound<'py, Handle>> {
    Handle::of(py, received(py, ticket, names)?)
}

/// For picklers: the token, and the number of a descriptor that lasts as long as the handle.
#[pyfunction]
pub fn shared_file(handle: &Bound<'_, Handle>) -> PyResult<([u8; 16], i32)> {
    let py = handle.py();
    let hold = handle.get().hold()?;
    hold.mapping(py)?;
    let fd = hold
        .fd()
        .map_err(|error| kernel::refused("a shared object can't be sent", &error))?;
    Ok((hold.token.0, fd.as_raw_fd()))
}

/// For picklers: what a task names it by; None where this process can't have the socket that this takes.
#[pyfunction]
pub fn shared_ticket<'py>(handle: &Bound<'py, Handle>) -> PyResult<Option<Bound<'py, PyBytes>>> {
    let py = handle.py();
    let hold = handle.get().hold()?;
    hold.mapping(py)?;
    match hold.ticket() {
        Ok(ticket) => Ok(Some(ffi::bytes(py, &ticket)?)),
        Err(_) => Ok(None),
    }
}

/// For picklers: the memory.
#[pyfunction]
pub fn shared_memory<'py>(handle: &Bound<'py, Handle>) -> PyResult<Bound<'py, Placed>> {
    let mapping = handle.get().hold()?.mapping(handle.py())?;
    Bound::new(handle.py(), Placed { mapping })
}
