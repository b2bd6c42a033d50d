//! The future as a Python object: the standard library's protocol over the engine's states.
//!
//! `forkful.futures.Future` derives from this class and from `concurrent.futures.Future`, whose `__init__` is masked: its
//! condition and its list of waiters exist from the moment that somebody asks for them, and from then on this future changes
//! its state under that condition only.

use crate::complete::{
    Told, add_hook, call_back, finish, finished_elsewhere, fire, under_condition, withdraw,
};
use crate::errors;
use crate::extras::Extras;
use crate::ffi;
use crate::home::{self, NOWHERE, REMOTE};
use crate::value::Value;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::future::{Cancel, Core, Finish, Hook, Phase};
use forkful_core::procs::Struck;
use forkful_core::sys::{Cover, Stamp};
use once_cell::race::OnceBox;
use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a pool runs.
#[derive(Debug)]
pub struct Task {
    /// The function.
    pub func: Py<PyAny>,
    /// Its arguments: a tuple; or a list of that tuple and a dictionary of keywords, which saves 8 bytes in every future.
    pub args: Py<PyAny>,
}

/// Done, cancelled, the value, the error.
type Snapshot = (bool, bool, Option<Py<PyAny>>, Option<Py<PyAny>>);

/// In the mark of a remote task: its worker is to be killed for it, and nobody shall run it again.
const STRUCK: u64 = 1 << 63;
/// The same, only that its attempt had ended when that was asked for.
const GIVEN_UP: u64 = 1 << 62;

/// A future. The engine's core, the pool that it came from, the time of its submission.
#[pyclass(frozen, subclass, module = "forkful._engine")]
pub struct FutureBase {
    pub core: Core<Task, Value, Py<PyAny>>,
    home: u32,
    /// When it was submitted; for a task that another process runs its place in the ring, 0 for none.
    mark: AtomicU64,
    pub(crate) extras: OnceBox<Extras>,
}

impl FutureBase {
    /// A future that its maker completes.
    fn bare() -> FutureBase {
        FutureBase {
            core: Core::new(None),
            home: NOWHERE,
            mark: AtomicU64::new(0),
            extras: OnceBox::new(),
        }
    }

    /// A future of a pool, with its task.
    #[inline]
    pub fn of_pool(task: Task, home: u32, submitted: Stamp) -> FutureBase {
        FutureBase {
            core: Core::new(Some(task)),
            home,
            mark: AtomicU64::new(submitted.nanos()),
            extras: OnceBox::new(),
        }
    }

    /// A future whose task another process will run.
    pub fn of_remote(home: u32) -> FutureBase {
        FutureBase {
            core: Core::new(None),
            home,
            mark: AtomicU64::new(0),
            extras: OnceBox::new(),
        }
    }

    /// Whether its task is run by another process.
    #[inline]
    pub fn is_remote(&self) -> bool {
        self.home & REMOTE != 0
    }

    /// Where a remote task is.
    pub fn place(&self) -> u64 {
        self.mark.load(Ordering::Acquire) & !(STRUCK | GIVEN_UP)
    }

    /// Says that a remote task's present attempt is its last one, as it is to be stopped.
    pub fn strike(&self) {
        self.mark.fetch_or(STRUCK, Ordering::AcqRel);
    }

    /// Whether a remote task's present attempt is its last one, whatever it ends with.
    pub fn is_given_up(&self) -> bool {
        self.mark.load(Ordering::Acquire) & (STRUCK | GIVEN_UP) != 0
    }

    fn is_struck(&self) -> bool {
        self.mark.load(Ordering::Acquire) & STRUCK != 0
    }

    /// Says where a remote task is: waiting, or in another attempt.
    pub fn set_place(&self, place: u64) {
        self.mark.store(place, Ordering::Release);
    }

    /// Cancels a remote task that its pool has just withdrawn; its hooks are still to be fired.
    pub fn cancel_core(&self) -> bool {
        matches!(self.core.cancel(true).0, Cancel::Now(_))
    }

    /// The pool's number.
    pub fn home(&self) -> u32 {
        self.home
    }

    /// When it was submitted.
    pub fn submitted(&self) -> Stamp {
        Stamp::from_nanos(self.mark.load(Ordering::Relaxed))
    }

    /// Its state in the standard library's words.
    fn state_name(&self) -> &'static str {
        match self.phase() {
            Phase::Pending => "PENDING",
            Phase::Running => "RUNNING",
            Phase::Cancelled => "CANCELLED",
            Phase::CancelledAndNotified => "CANCELLED_AND_NOTIFIED",
            Phase::Finished => "FINISHED",
        }
    }
}

impl FutureBase {
    /// Finishes on behalf of whoever called `set_result` or `set_exception`.
    fn set(slf: &Bound<'_, Self>, value: Bound<'_, PyAny>, raised: bool) -> PyResult<()> {
        // Begun by its user, not by a worker: nobody else counts it.
        let begun = slf.get().home != NOWHERE && slf.get().core.state().phase() == Phase::Running;
        match finish(slf, value, raised) {
            Err(_) => Err(errors::invalid_state(slf.py(), slf.get().state_name(), slf)),
            Ok(verdict) => {
                let verdict = verdict?;
                if begun {
                    finished_elsewhere(slf, raised);
                }
                if verdict == Finish::Tell {
                    slf.get().core.state().tell();
                }
                if slf.get().is_remote()
                    && let Some(home) = home::find(slf.get().home)
                {
                    home.kick();
                }
                fire(slf)
            }
        }
    }
}

#[pymethods]
impl FutureBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        FutureBase::bare()
    }

    /// Cancels the future if nobody has begun; says whether it is cancelled.
    pub fn cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let this = slf.get();
        if this.is_remote()
            && let Some(home) = home::find(this.home)
        {
            if this.phase().is_done() {
                return Ok(this.core.state().phase().is_cancelled());
            }
            let change = |this: &FutureBase| match home.cancel(this) {
                true => (true, Told::Cancelled),
                false => (false, Told::Nothing),
            };
            let cancelled = if this.core.state().is_watched() {
                under_condition(slf, change)?
            } else {
                change(this).0
            };
            if cancelled {
                fire(slf)?;
            }
            return Ok(cancelled || this.core.state().phase().is_cancelled());
        }
        FutureBase::cancel_here(slf)
    }

    /// Stops a task that runs, by killing the process that runs it, and waits for that; whether it did. It is not retried.
    ///
    /// False where the task has not begun (`cancel()` it) or has ended. A task in a thread can't be stopped: RuntimeError.
    fn kill(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let this = slf.get();
        if !this.is_remote() {
            return Err(PyRuntimeError::new_err(
                "a task that runs in a thread can't be stopped; to be able to stop it, run it in a process (ProcessPoolExecutor)",
            ));
        }
        let _cover = Cover::enter();
        let (mut asked, mut patience) = (false, Duration::from_millis(5));
        while !this.phase().is_done() {
            let Some(home) = home::find(this.home) else {
                return Ok(false);
            };
            match home.kill(this) {
                Struck::Asked => asked = true,
                // It is about to be known how its worker has ended.
                Struck::Out if this.is_struck() => {}
                Struck::Out => {
                    // That attempt has ended by itself. Whoever decides on another one needs the interpreter's lock.
                    this.mark.fetch_or(GIVEN_UP, Ordering::AcqRel);
                    break;
                }
                Struck::Waiting => return Ok(false),
            }
            // It may have been taken and not begun, have gone back into the queue, or on to another process.
            let soon = Deadline::after(patience);
            patience = (2 * patience).min(Duration::from_secs(1));
            match slf.py().detach(|| this.wait_detached(soon)) {
                Ok(()) | Err(WaitError::TimedOut) => {}
                Err(WaitError::Interrupted(error)) => return Err(error),
            }
        }
        let killed = match this.core.value() {
            Some(Value::Remote(remote)) => remote.was_killed(),
            _ => false,
        };
        Ok(asked && killed)
    }

    /// Whether it was cancelled.
    fn cancelled(&self) -> bool {
        self.core.state().phase().is_cancelled()
    }

    /// Whether its task is being run.
    fn running(&self) -> bool {
        self.phase() == Phase::Running
    }

    /// Whether it has finished or was cancelled.
    fn done(&self) -> bool {
        self.phase().is_done()
    }

    /// The value, waiting for it at most `timeout` seconds; raises what the task raised, CancelledError or TimeoutError.
    ///
    /// In a thread of the pool that has the task queued, and without a timeout, the task is run here.
    #[pyo3(signature = (timeout=None))]
    fn result(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        FutureBase::done_or_wait(slf, timeout)?;
        match FutureBase::value(slf)? {
            None => Err(errors::cancelled(py)),
            Some((true, error)) => Err(PyErr::from_value(error.into_bound(py))),
            Some((false, value)) => Ok(value),
        }
    }

    /// What the task raised, or None; otherwise like `result`.
    #[pyo3(signature = (timeout=None))]
    fn exception(
        slf: &Bound<'_, Self>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<PyAny>>> {
        let py = slf.py();
        FutureBase::done_or_wait(slf, timeout)?;
        // A value from another process is read here: one that can't be is an error, and whoever asks for the error first
        // and for the value afterwards, as asyncio does, must be told the same both times.
        match FutureBase::value(slf)? {
            None => Err(errors::cancelled(py)),
            Some((true, error)) => Ok(Some(error)),
            Some((false, _)) => Ok(None),
        }
    }

    /// Has ``fn(future)`` called when the future is done: in order, in the thread that completes it (a process pool's: in the pool's own for that), or here and now.
    ///
    /// What a callback raises is logged to ``concurrent.futures``.
    #[pyo3(signature = (r#fn))]
    fn add_done_callback(slf: &Bound<'_, Self>, r#fn: Bound<'_, PyAny>) -> PyResult<()> {
        crate::gather::refuse_asyncio_wait(&r#fn)?;
        let this = slf.get();
        if this.core.state().phase().is_done() {
            return call_back(slf, &r#fn);
        }
        ffi::track(slf);
        if this.is_remote() {
            this.owe_calls();
        }
        add_hook(slf, Hook::Call(r#fn.unbind()))?;
        if this.is_remote()
            && !this.core.state().phase().is_done()
            && let Some(home) = home::find(this.home)
        {
            home.interest_on();
        }
        Ok(())
    }

    /// Begins the future (True), or lets everybody know that it was cancelled (False); for executors and tests.
    fn set_running_or_notify_cancel(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        let change = |this: &FutureBase| {
            if let Some(task) = this.core.begin() {
                (Some((true, task)), Told::Nothing)
            } else if this.core.state().notify() {
                (Some((false, None)), Told::Cancelled)
            } else {
                (None, Told::Nothing)
            }
        };
        let begun = if slf.get().core.state().is_watched() {
            under_condition(slf, change)?
        } else {
            change(slf.get()).0
        };
        match begun {
            Some((begun, task)) => {
                if task.is_some() {
                    withdraw(slf, false);
                }
                if !begun {
                    fire(slf)?;
                }
                Ok(begun)
            }
            None => {
                let state = slf.get().state_name();
                let text = format!(
                    "future {:#x} in unexpected state: {state}",
                    slf.as_ptr() as usize
                );
                let error = PyRuntimeError::new_err("Future in unexpected state");
                errors::log(py, "critical", &text, None, error.clone_ref(py));
                Err(error)
            }
        }
    }

    /// Finishes the future with a value; InvalidStateError if it is done.
    #[pyo3(signature = (result))]
    fn set_result(slf: &Bound<'_, Self>, result: Bound<'_, PyAny>) -> PyResult<()> {
        FutureBase::set(slf, result, false)
    }

    /// Finishes the future with an error; InvalidStateError if it is done.
    #[pyo3(signature = (exception))]
    fn set_exception(slf: &Bound<'_, Self>, exception: Bound<'_, PyAny>) -> PyResult<()> {
        // None and a class are what the standard library's futures take as well: success without a value, and what `raise`
        // makes of a class.
        let class = exception
            .cast::<PyType>()
            .is_ok_and(|class| class.is_subclass_of::<PyBaseException>().unwrap_or(false));
        if !(exception.is_none() || class || exception.is_instance_of::<PyBaseException>()) {
            return Err(PyTypeError::new_err(format!(
                "exception must be an exception, not {}",
                exception.get_type().name()?
            )));
        }
        let raised = !exception.is_none();
        FutureBase::set(slf, exception, raised)
    }

    /// (done, cancelled, result, exception) at one moment.
    fn _get_snapshot(slf: &Bound<'_, Self>) -> PyResult<Snapshot> {
        let phase = slf.get().phase();
        let (result, error) = match FutureBase::value(slf)? {
            None => (None, None),
            Some((true, error)) => (None, Some(error)),
            Some((false, value)) => (Some(value), None),
        };
        Ok((phase.is_done(), phase.is_cancelled(), result, error))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let this = slf.get();
        let class = slf.get_type().name()?;
        let name = match this
            .options()
            .and_then(|options| options.get().name.as_ref())
        {
            Some(name) => format!(" name={}", name.bind(py).repr()?),
            None => String::new(),
        };
        let state = match this.phase() {
            Phase::CancelledAndNotified => "cancelled".to_owned(),
            _ => this.state_name().to_lowercase(),
        };
        let outcome = match FutureBase::value(slf)? {
            Some((true, error)) => format!(" raised {}", error.bind(py).get_type().name()?),
            Some((false, value)) => format!(" returned {}", value.bind(py).get_type().name()?),
            None => String::new(),
        };
        Ok(format!(
            "<{class} at {:#x}{name} state={state}{outcome}>",
            slf.as_ptr() as usize
        ))
    }

    /// ``Future[int]``, for annotations.
    #[classmethod]
    fn __class_getitem__<'py>(
        cls: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        cls.py()
            .import("types")?
            .getattr("GenericAlias")?
            .call1((cls, item))
    }

    #[getter]
    fn _condition(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        FutureBase::watched(slf).map(|watch| watch.0.clone_ref(slf.py()))
    }

    #[getter]
    fn _waiters(slf: &Bound<'_, Self>) -> PyResult<Py<PyList>> {
        FutureBase::watched(slf).map(|watch| watch.1.clone_ref(slf.py()))
    }

    #[getter]
    fn _state(&self) -> &'static str {
        self.state_name()
    }

    #[getter]
    fn _result(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        FutureBase::_get_snapshot(slf).map(|snapshot| snapshot.2)
    }

    #[getter]
    fn _exception(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        FutureBase::_get_snapshot(slf).map(|snapshot| snapshot.3)
    }

    /// The callbacks that wait to be called.
    #[getter]
    fn _done_callbacks<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let this = slf.get();
        let calls = this.core.hooks().take_calls();
        let list = PyList::new(py, &calls)?;
        for call in calls {
            add_hook(slf, Hook::Call(call))?;
        }
        Ok(list)
    }

    #[getter(__dict__)]
    fn dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        ffi::track(slf);
        ffi::generic_dict(slf)
    }

    fn __setattr__(
        slf: &Bound<'_, Self>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        ffi::track(slf);
        ffi::generic_setattr(slf, name, Some(value))
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        ffi::generic_setattr(slf, name, None)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        ffi::traverse(self, &visit)?;
        if let Some((condition, waiters)) = self.watch() {
            visit.call(condition)?;
            visit.call(waiters)?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        ffi::clear(self);
    }
}
