//! Descriptors that travel with tasks and outcomes, as Python sees them.

use crate::kernel::refused;
use crate::link::Link;
use crate::{detach, errands, ffi, labour};
use forkful_core::procs::parcels;
use forkful_core::procs::record::Payload;
use forkful_core::sys::errno::{EMFILE, ENOENT};
use forkful_core::sys::{Lock, code_of};
use forkful_core::wire::{Label, Token};
use forkful_core::worker::parcel::{self, Undelivered};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Objects that must live as long as a task; let go wherever that ends.
#[derive(Default)]
struct Kept(Vec<Py<PyAny>>);

impl Drop for Kept {
    fn drop(&mut self) {
        // Perhaps without the interpreter's lock.
        for object in self.0.drain(..) {
            errands::bury(None, Some(object), None);
        }
        // Some of them hold descriptors, whose peers wait for the end.
        errands::wake();
    }
}

/// The descriptors of a task; closed with it, or when it is dropped.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Parcel {
    content: Lock<Option<(Box<parcels::Parcel>, Kept)>>,
}

impl Parcel {
    /// Hands it over to the call that it belongs to.
    pub fn take(&self) -> Option<Box<parcels::Parcel>> {
        let (mut parcel, kept) = self.content.lock().take()?;
        if !kept.0.is_empty() {
            parcel.kept = Some(Box::new(kept));
        }
        Some(parcel)
    }

    fn with<R>(&self, change: impl FnOnce(&mut parcels::Parcel, &mut Kept) -> R) -> PyResult<R> {
        match &mut *self.content.lock() {
            Some((parcel, kept)) => Ok(change(parcel, kept)),
            None => Err(PyRuntimeError::new_err(
                "the parcel has been handed over to its task",
            )),
        }
    }
}

#[pymethods]
impl Parcel {
    #[new]
    fn new() -> Parcel {
        let parcel = Box::new(parcels::Parcel::default());
        Parcel {
            content: Lock::new(Some((parcel, Kept::default()))),
        }
    }

    /// What tasks call it by; the first call opens the hatch. None where this process can't have one.
    fn label<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        match self.with(|parcel, _| parcel.open())? {
            Ok(label) => Ok(Some(PyBytes::new(py, &label.to_bytes()))),
            Err(error) if is_full(&error) => Err(refused(UNSENT, &error)),
            Err(_) => Ok(None),
        }
    }

    /// Takes a copy of a descriptor; its place.
    fn add(&self, fd: i32) -> PyResult<u32> {
        self.with(|parcel, _| parcel.add(fd))?
            .map_err(|error| refused(UNSENT, &error))
    }

    /// Keeps an object alive as long.
    fn keep(&self, object: Py<PyAny>) -> PyResult<()> {
        self.with(|_, kept| kept.0.push(object))
    }
}

const UNSENT: &str = "a file descriptor among the arguments can't be sent to a worker";

/// Nothing else would do better.
fn is_full(error: &io::Error) -> bool {
    code_of(error) == Some(EMFILE)
}

fn undelivered(what: &str, error: Undelivered<PyErr>) -> PyErr {
    match error {
        Undelivered::Interrupted(error) => error,
        Undelivered::Failed(error) if code_of(&error) == Some(ENOENT) => refused(
            &format!("{what}, as the task is over or its pool has ended"),
            &error,
        ),
        Undelivered::Failed(error) => refused(what, &error),
    }
}

/// In a worker: the descriptors of a task, which are the caller's to close.
#[pyfunction]
pub fn fetch_parcel(py: Python<'_>, label: &[u8]) -> PyResult<Vec<i32>> {
    let label =
        Label::of_bytes(label).ok_or_else(|| PyValueError::new_err("this is no parcel's label"))?;
    let fds = py
        .detach(|| parcel::fetch(&label, &mut detach::check_signals))
        .map_err(|error| {
            let what = "the file descriptors of the task's arguments can't be had";
            undelivered(what, error)
        })?;
    Ok(fds.into_iter().map(IntoRawFd::into_raw_fd).collect())
}

/// In a worker: whether the parent takes descriptors.
#[pyfunction]
pub fn can_push(py: Python<'_>, link: &Link, index: u32) -> PyResult<bool> {
    let desk = labour::desk(link, index);
    match py.detach(|| parcel::find_hatch(&desk, &mut detach::check_signals)) {
        Ok(_) => Ok(true),
        Err(Undelivered::Failed(error)) if !is_full(&error) => Ok(false),
        Err(error) => Err(undelivered(UNPUSHED, error)),
    }
}

const UNPUSHED: &str = "the file descriptors of the result can't be sent";

/// In a worker: hands descriptors over to the parent, for an outcome that names this token. They are closed here in any case.
#[pyfunction]
pub fn push_parcel(
    py: Python<'_>,
    link: &Link,
    index: u32,
    token: [u8; 16],
    fds: Vec<i32>,
) -> PyResult<()> {
    let desk = labour::desk(link, index);
    let owned: Vec<OwnedFd> = fds.into_iter().map(ffi::own_fd).collect();
    let fds: Vec<_> = owned.iter().map(AsFd::as_fd).collect();
    py.detach(|| parcel::push(&desk, Token(token), &fds, &mut detach::check_signals))
        .map_err(|error| undelivered(UNPUSHED, error))
}

thread_local! {
    /// This thread's number, for as long as the process lives.
    static ME: u32 = {
        static LAST: AtomicU32 = AtomicU32::new(0);
        LAST.fetch_add(1, Ordering::Relaxed) + 1
    };
}

/// What an outcome has brought besides its bytes.
pub struct Brought {
    token: Token,
    /// None where the parent does not have it: the worker has named something else.
    fds: Lock<Option<Vec<OwnedFd>>>,
    /// Which thread of which generation is reading; 0 for none.
    reader: AtomicU64,
}

impl Brought {
    /// Waits while another thread reads the value; `false` once that has. A reader that reads it again inside does not wait.
    pub fn begin(&self, py: Python<'_>, is_read: impl Fn() -> bool) -> PyResult<bool> {
        let generation = u64::from(forkful_core::fork::generation()) << 32;
        let me = generation | ME.with(|me| u64::from(*me));
        while !is_read() {
            let reader = self.reader.load(Ordering::SeqCst);
            // In a forked child the thread that was reading is not there.
            let nobody = reader == 0 || reader >> 32 != generation >> 32;
            if reader == me || nobody && self.take_reading(reader, me) {
                return Ok(true);
            }
            py.detach(|| std::thread::sleep(Duration::from_micros(100)));
            py.check_signals()?;
        }
        Ok(false)
    }

    fn take_reading(&self, reader: u64, me: u64) -> bool {
        let order = Ordering::SeqCst;
        self.reader
            .compare_exchange(reader, me, order, order)
            .is_ok()
    }

    /// The reading that was begun is over.
    pub fn end(&self) {
        self.reader.store(0, Ordering::SeqCst);
    }

    /// Takes the token off an outcome's payload, and the descriptors out of the register. Without a token it is none.
    pub fn collect(payload: &mut Payload) -> Box<Brought> {
        let token = Token::split(payload).map_or(Token([0; 16]), |(token, _)| token);
        // In place: there may be no memory for a copy.
        payload.drain(..payload.len().min(token.0.len()));
        Box::new(Brought {
            token,
            fds: Lock::new(parcels::collect(token)),
            reader: AtomicU64::new(0),
        })
    }

    /// Reads the value, which gets descriptors of its own: another thread may read it as well, and a Ctrl-C may come in between.
    pub fn unpack<'py>(
        &self,
        py: Python<'py>,
        pickle: Bound<'py, PyAny>,
        buffers: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let copies = {
            let fds = self.fds.lock();
            let copied = |fds: &Vec<OwnedFd>| fds.iter().map(OwnedFd::try_clone).collect();
            fds.as_ref().map(copied).transpose()
        };
        // Where there is no room for copies, it gets the only ones.
        let fds: Option<Vec<OwnedFd>> = copies.unwrap_or_else(|_| self.fds.lock().take());
        let numbers: Option<Vec<i32>> =
            fds.map(|fds| fds.into_iter().map(IntoRawFd::into_raw_fd).collect());
        errands::words(py)?.unpack.bind(py).call1((
            pickle,
            PyBytes::new(py, &self.token.0),
            numbers,
            buffers,
        ))
    }

    /// It has been read: nobody needs them any more.
    pub fn let_go(&self) {
        let fds = self.fds.lock().take();
        drop(fds);
    }
}
