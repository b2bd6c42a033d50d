//! A queue between processes, as its Python classes have it.

use crate::once::Once;
use crate::queue_items::{Item, read, serve_queues, warn};
use crate::{detach, ffi, kernel};
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::sync::Owner;
use forkful_core::sync::queue::{Message, Queue, QueueError, Stopped, Tried};
use forkful_core::sys::{self, Cover};
use once_cell::race::OnceBox;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use std::cell::Cell;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes from which on copying takes longer than letting others use the interpreter meanwhile.
const LONG: usize = 64 << 10;

thread_local! {
    /// Memory for the next short message.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What a queue between processes does in each of them. `Queue`, `JoinableQueue` and `SimpleQueue` add what they are called by.
#[pyclass(frozen, subclass, module = "forkful._engine")]
pub struct SharedQueue {
    queue: OnceBox<Queue>,
    closed: AtomicBool,
    used: AtomicBool,
}

impl SharedQueue {
    fn queue(&self) -> PyResult<&Queue> {
        let made = self.queue.get();
        made.ok_or_else(|| PyRuntimeError::new_err("the queue was not initialised"))
    }

    fn set(&self, queue: Queue) -> PyResult<()> {
        let set = self.queue.set(Box::new(queue));
        set.map_err(|_| PyRuntimeError::new_err("the queue was initialised already"))
    }

    fn open<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a Queue> {
        if slf.get().closed.load(Ordering::Relaxed) {
            let text = format!("Queue {} is closed", slf.repr()?);
            return Err(PyValueError::new_err(text));
        }
        slf.get().queue()
    }

    fn put_message(
        py: Python<'_>,
        queue: &Queue,
        message: &Message<'_>,
        deadline: Option<Deadline>,
    ) -> PyResult<()> {
        if message.len() < LONG {
            match queue.try_put(message).map_err(refused)? {
                Tried::Done(()) => return Ok(()),
                Tried::NotNow if deadline.is_none() => return Err(full(py)),
                Tried::NotNow | Tried::Busy => {}
            }
        }
        let deadline = deadline.unwrap_or_else(now);
        let _cover = Cover::enter();
        loop {
            match py.detach(|| queue.put(message, deadline, detach::check_signals)) {
                Ok(()) => return Ok(()),
                Err(Stopped::Recovered(owner)) => warn(py, owner)?,
                Err(Stopped::TimedOut) => return Err(full(py)),
                Err(Stopped::Interrupted(error)) => return Err(error),
                Err(Stopped::Failed(error)) => return Err(refused(error)),
            }
        }
    }
}

/// Until when a caller waits; `None` if not at all.
fn limit(
    block: Option<&Bound<'_, PyAny>>,
    timeout: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<Deadline>> {
    match block {
        Some(block) if !block.is_truthy()? => Ok(None),
        _ => detach::deadline(timeout).map(Some),
    }
}

fn now() -> Deadline {
    Deadline::after(std::time::Duration::ZERO)
}

macro_rules! raised {
    ($name:ident, $class:literal) => {
        fn $name(py: Python<'_>) -> PyErr {
            static CLASS: Once<Py<PyType>> = Once::new();
            match CLASS.import(py, "queue", $class) {
                Ok(class) => PyErr::from_type(class.clone(), ()),
                Err(error) => error,
            }
        }
    };
}

raised!(full, "Full");
raised!(empty, "Empty");

fn refused(error: QueueError) -> PyErr {
    match error {
        QueueError::Damaged(damaged) => PyOSError::new_err(damaged.to_string()),
        QueueError::Lack(error) if error.kind() == io::ErrorKind::OutOfMemory => {
            let text = format!(
                "there is no memory for an item of a queue: {}",
                sys::in_words(&error)
            );
            PyMemoryError::new_err(text)
        }
        QueueError::Lack(error) => {
            kernel::refused("a queue could not take or give an item", &error)
        }
    }
}

#[pymethods]
impl SharedQueue {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> SharedQueue {
        SharedQueue {
            queue: OnceBox::new(),
            closed: AtomicBool::new(false),
            used: AtomicBool::new(false),
        }
    }

    /// Makes its memory; for at most `maxsize` items, or any number if that is 0.
    fn _create(&self, maxsize: u32) -> PyResult<()> {
        let made = Queue::create(maxsize);
        self.set(made.map_err(|error| kernel::refused("a queue could not be made", &error))?)
    }

    /// Takes part in one that another process has made; the descriptors stay the caller's.
    fn _attach(&self, fd: i32, ready: i32) -> PyResult<()> {
        let opened = Queue::open(ffi::lent_fd(&fd), Some(ffi::lent_fd(&ready)));
        self.set(opened.map_err(|error| kernel::refused("a queue could not be opened", &error))?)
    }

    /// The descriptor of its memory, and that which can be watched, lent.
    fn _filenos(&self) -> PyResult<(i32, i32)> {
        let queue = self.queue()?;
        let both = queue.fd().zip(queue.ready_fd());
        let both = both.map(|(fd, ready)| (fd.as_raw_fd(), ready.as_raw_fd()));
        both.ok_or_else(|| PyOSError::new_err("this process had no descriptor left for the queue"))
    }

    /// The descriptor that can be read while items wait, kept so from now on.
    fn _watch(&self, py: Python<'_>) -> PyResult<i32> {
        let queue = self.queue()?;
        let _cover = Cover::enter();
        loop {
            let watch = || queue.watch(detach::check_signals).map(|fd| fd.as_raw_fd());
            match py.detach(watch) {
                Ok(fd) => return Ok(fd),
                Err(Stopped::Recovered(owner)) => warn(py, owner)?,
                Err(Stopped::Interrupted(error)) => return Err(error),
                Err(Stopped::Failed(error)) => return Err(refused(error)),
                Err(Stopped::TimedOut) => {}
            }
        }
    }

    /// Whether an item waits, or does so before the timeout.
    #[pyo3(signature = (timeout=None))]
    fn _poll(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let queue = self.queue()?;
        if !queue.is_empty() {
            return Ok(true);
        }
        let deadline = detach::deadline(timeout)?;
        let _cover = Cover::enter();
        match py.detach(|| queue.poll(deadline, detach::check_signals)) {
            Ok(()) => Ok(true),
            Err(WaitError::TimedOut) => Ok(false),
            Err(WaitError::Interrupted(error)) => Err(error),
        }
    }

    /// Puts an item.
    #[pyo3(signature = (obj, block=None, timeout=None), text_signature = "($self, obj, block=True, timeout=None)")]
    fn put(
        slf: &Bound<'_, Self>,
        obj: &Bound<'_, PyAny>,
        block: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let queue = SharedQueue::open(slf)?;
        slf.get().used.store(true, Ordering::Relaxed);
        let deadline = limit(block, timeout)?;
        let item = Item::of(obj)?;
        let put = SharedQueue::put_message(py, queue, &item.message()?, deadline);
        item.release(py);
        put
    }

    /// Takes an item.
    #[pyo3(signature = (block=None, timeout=None), text_signature = "($self, block=True, timeout=None)")]
    fn get<'py>(
        slf: &Bound<'py, Self>,
        block: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let queue = SharedQueue::open(slf)?;
        let deadline = limit(block, timeout)?;
        let mut content = SCRATCH.take();
        content.clear();
        match queue.try_get(&mut content, LONG).map_err(refused)? {
            Tried::Done(kind) => {
                let item = read(py, kind, &mut content);
                SCRATCH.set(content);
                return item;
            }
            Tried::NotNow if deadline.is_none() => return Err(empty(py)),
            Tried::NotNow | Tried::Busy => {}
        }
        let deadline = deadline.unwrap_or_else(now);
        let _cover = Cover::enter();
        loop {
            let got = py.detach(|| queue.get(&mut content, deadline, detach::check_signals));
            match got {
                Ok(kind) => return read(py, kind, &mut content),
                Err(Stopped::Recovered(owner)) => warn(py, owner)?,
                Err(Stopped::TimedOut) => return Err(empty(py)),
                Err(Stopped::Interrupted(error)) => return Err(error),
                Err(Stopped::Failed(error)) => return Err(refused(error)),
            }
        }
    }

    /// Items that wait.
    fn qsize(&self) -> PyResult<u32> {
        Ok(self.queue()?.len())
    }

    /// Whether none waits.
    fn empty(&self) -> PyResult<bool> {
        if self.closed.load(Ordering::Relaxed) && self.used.load(Ordering::Relaxed) {
            return Err(PyOSError::new_err("handle is closed"));
        }
        Ok(self.queue()?.is_empty())
    }

    /// Whether as many wait as may.
    fn full(&self) -> PyResult<bool> {
        Ok(self.queue()?.is_full())
    }

    /// Ends its use in this process.
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Whether `close` was called.
    #[getter]
    fn _closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// The process that died last with one of its locks in hand, or None.
    #[getter]
    fn owner_died(&self) -> PyResult<Option<u32>> {
        Ok(self.queue()?.owner_died().map(Owner::pid))
    }

    /// Counts one item as finished. Whether there was one.
    fn _task_done(&self, py: Python<'_>) -> PyResult<bool> {
        let queue = self.queue()?;
        let _cover = Cover::enter();
        loop {
            match py.detach(|| queue.task_done(detach::check_signals)) {
                Ok(done) => return Ok(done),
                Err(Stopped::Recovered(owner)) => warn(py, owner)?,
                Err(Stopped::Interrupted(error)) => return Err(error),
                Err(Stopped::Failed(error)) => return Err(refused(error)),
                Err(Stopped::TimedOut) => {}
            }
        }
    }

    /// Waits until all that was put is counted as finished.
    fn _join(&self, py: Python<'_>) -> PyResult<()> {
        let queue = self.queue()?;
        if queue.unfinished() == 0 {
            return Ok(());
        }
        let _cover = Cover::enter();
        match py.detach(|| queue.join(Deadline::NEVER, detach::check_signals)) {
            Ok(()) | Err(WaitError::TimedOut) => Ok(()),
            Err(WaitError::Interrupted(error)) => Err(error),
        }
    }
}

/// Adds what is here to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(serve_queues, m)?)?;
    m.add_class::<SharedQueue>()
}
