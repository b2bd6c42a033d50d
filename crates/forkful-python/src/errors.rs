//! Every error that the bindings raise, in the words that a user reads.
//!
//! The classes are the standard library's own, looked up once, so that `except` clauses of existing programs match.

use crate::once::Once;
use forkful_core::error::Refusal;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyType;

macro_rules! class {
    ($(#[$doc:meta])* $name:ident = $module:literal, $class:literal) => {
        $(#[$doc])*
        pub fn $name(py: Python<'_>) -> PyResult<&Bound<'_, PyType>> {
            static CLASS: Once<Py<PyType>> = Once::new();
            CLASS.import(py, $module, $class)
        }
    };
}

class!(/// `concurrent.futures.CancelledError`.
    cancelled_error = "concurrent.futures._base", "CancelledError");
class!(/// `concurrent.futures.TimeoutError`, the built-in one from 3.11 on.
    timeout_error = "concurrent.futures._base", "TimeoutError");
class!(/// `concurrent.futures.InvalidStateError`.
    invalid_state_error = "concurrent.futures._base", "InvalidStateError");
class!(/// `concurrent.futures.BrokenExecutor`.
    broken_executor = "concurrent.futures._base", "BrokenExecutor");
class!(/// `concurrent.futures.thread.BrokenThreadPool`.
    broken_thread_pool = "concurrent.futures.thread", "BrokenThreadPool");

fn raise(class: PyResult<&Bound<'_, PyType>>, text: impl ToString) -> PyErr {
    match class {
        Ok(class) => PyErr::from_type(class.clone(), (text.to_string(),)),
        Err(error) => error,
    }
}

/// The future was cancelled.
pub fn cancelled(py: Python<'_>) -> PyErr {
    match cancelled_error(py) {
        Ok(class) => PyErr::from_type(class.clone(), ()),
        Err(error) => error,
    }
}

/// The timeout passed first.
pub fn timed_out(py: Python<'_>) -> PyErr {
    match timeout_error(py) {
        Ok(class) => PyErr::from_type(class.clone(), ()),
        Err(error) => error,
    }
}

/// A result was set where there is one already, or a cancellation.
pub fn invalid_state(py: Python<'_>, state: &str, future: &Bound<'_, PyAny>) -> PyErr {
    match future.repr() {
        Ok(repr) => raise(invalid_state_error(py), format!("{state}: {repr}")),
        Err(error) => error,
    }
}

/// A wait, in a forked child, for a task that only the parent's threads can run.
pub fn inherited_future(py: Python<'_>) -> PyErr {
    raise(
        broken_executor(py),
        "this future was submitted before os.fork(); the thread that would run it exists only in the parent process",
    )
}

/// A map, read in a forked child, that only the parent's threads can run.
pub fn inherited_map(py: Python<'_>) -> PyErr {
    raise(
        broken_executor(py),
        "this map was begun before os.fork(), in the parent; the threads that run it exist only there",
    )
}

/// Why a submission was refused.
pub fn refused(py: Python<'_>, refusal: Refusal, broken: &str) -> PyErr {
    match refusal {
        Refusal::Closed if crate::exit::begun() => {
            PyRuntimeError::new_err("cannot schedule new futures after interpreter shutdown")
        }
        Refusal::Closed => PyRuntimeError::new_err("cannot schedule new futures after shutdown"),
        Refusal::Broken => raise(broken_thread_pool(py), broken),
        Refusal::Inherited => raise(
            broken_thread_pool(py),
            "this executor was created before os.fork() and its threads exist only in the parent process; \
             create a new executor in the child",
        ),
    }
}

/// The program is ending.
pub fn exiting() -> PyErr {
    PyRuntimeError::new_err("cannot schedule new futures after interpreter shutdown")
}

/// The executor's `__init__` was not called by a subclass.
pub fn not_initialised() -> PyErr {
    PyRuntimeError::new_err(
        "this executor is not initialised: a subclass that defines __init__ must call super().__init__()",
    )
}

/// The instance of an error, as a future keeps it.
pub fn broken_pool_instance(py: Python<'_>, text: &str) -> Py<PyAny> {
    raise(broken_thread_pool(py), text)
        .into_value(py)
        .into_any()
}

class!(/// What a lock warns with whose holder died.
    owner_died_warning = "forkful._errors", "OwnerDiedWarning");

class!(/// `concurrent.futures.process.BrokenProcessPool`.
    broken_process_pool = "concurrent.futures.process", "BrokenProcessPool");

/// A pool of processes that takes no work.
pub fn broken_process_pool_error(py: Python<'_>, text: &str) -> PyErr {
    raise(broken_process_pool(py), text)
}

/// Logs an error that nobody can be given, as the standard library's executors do, with its traceback.
pub fn log(
    py: Python<'_>,
    level: &str,
    text: &str,
    about: Option<&Bound<'_, PyAny>>,
    error: PyErr,
) {
    let logged = (|| -> PyResult<()> {
        static LOGGER: Once<Py<PyAny>> = Once::new();
        let logger = LOGGER.get_or_try_init(py, || {
            py.import("concurrent.futures._base")?
                .getattr("LOGGER")
                .map(Bound::unbind)
        })?;
        let kwargs = pyo3::types::PyDict::new(py);
        kwargs.set_item("exc_info", error.clone_ref(py).into_value(py))?;
        match about {
            Some(about) => logger
                .bind(py)
                .call_method(level, (text, about), Some(&kwargs))?,
            None => logger.bind(py).call_method(level, (text,), Some(&kwargs))?,
        };
        Ok(())
    })();
    if let Err(worse) = logged {
        worse.write_unraisable(py, about);
    }
}

class!(/// `threading.BrokenBarrierError`.
    broken_barrier_error = "threading", "BrokenBarrierError");
class!(/// `queue.Empty`.
    empty_error = "queue", "Empty");
class!(/// `queue.Full`.
    full_error = "queue", "Full");

fn bare(class: PyResult<&Bound<'_, PyType>>) -> PyErr {
    match class {
        Ok(class) => PyErr::from_type(class.clone(), ()),
        Err(error) => error,
    }
}

/// The barrier is broken, or was reset.
pub fn broken_barrier(py: Python<'_>) -> PyErr {
    bare(broken_barrier_error(py))
}

/// There is nothing in the queue, and nobody waits any longer.
pub fn queue_empty(py: Python<'_>) -> PyErr {
    bare(empty_error(py))
}

/// There is no room in the queue, and nobody waits any longer.
pub fn queue_full(py: Python<'_>) -> PyErr {
    bare(full_error(py))
}
