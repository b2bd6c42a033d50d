//! The future as a Python object: the standard library's protocol over the engine's states.
//!
//! `forkful.futures.Future` derives from this class and from `concurrent.futures.Future`, whose `__init__` is masked: its
//! condition and its list of waiters exist from the moment that somebody asks for them, and from then on this future changes
//! its state under that condition only.

use crate::complete::{
    Told, add_hook, call_back, finish, finished_elsewhere, fire, under_condition, withdraw,
};
use crate::errors;
use crate::ffi;
use crate::home::{self, NOWHERE};
use crate::options::TaskOptions;
use crate::{detach, owed};
use forkful_core::error::WaitError;
use forkful_core::future::{Cancel, Core, Finish, Hook, Phase};
use forkful_core::sys::{Cover, Stamp};
use once_cell::race::OnceBox;
use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

/// What a pool runs.
#[derive(Debug)]
pub struct Task {
    /// The function.
    pub func: Py<PyAny>,
    /// Its arguments: a tuple; or a list of that tuple and a dictionary of keywords, which saves 8 bytes in every future.
    pub args: Py<PyAny>,
}

/// What is rarely there, in a box of its own.
#[derive(Default)]
struct Extras {
    /// The condition and the waiters of the standard library's protocol.
    watch: OnceBox<(Py<PyAny>, Py<PyList>)>,
    options: OnceBox<Py<TaskOptions>>,
}

/// A future. The engine's core, the pool that it came from, the time of its submission.
#[pyclass(frozen, subclass, module = "forkful._engine")]
pub struct FutureBase {
    pub core: Core<Task, Py<PyAny>, Py<PyAny>>,
    home: u32,
    submitted: u64,
    extras: OnceBox<Extras>,
}

impl FutureBase {
    /// A future that its maker completes.
    fn bare() -> FutureBase {
        FutureBase {
            core: Core::new(None),
            home: NOWHERE,
            submitted: 0,
            extras: OnceBox::new(),
        }
    }

    /// A future of a pool, with its task.
    #[inline]
    pub fn of_pool(task: Task, home: u32, submitted: Stamp) -> FutureBase {
        FutureBase {
            core: Core::new(Some(task)),
            home,
            submitted: submitted.nanos(),
            extras: OnceBox::new(),
        }
    }

    fn extras(&self) -> &Extras {
        self.extras.get_or_init(Box::default)
    }

    /// The pool's number.
    pub fn home(&self) -> u32 {
        self.home
    }

    /// When it was submitted.
    pub fn submitted(&self) -> Stamp {
        Stamp::from_nanos(self.submitted)
    }

    /// Gives it options, before anybody else sees it.
    pub fn set_options(&self, options: Py<TaskOptions>) {
        let _ = self.extras().options.set(Box::new(options));
    }

    /// How its task wants to be run, where somebody said so.
    #[inline]
    pub fn options(&self) -> Option<&Py<TaskOptions>> {
        self.extras.get()?.options.get()
    }

    /// Its state in the standard library's words.
    fn state_name(&self) -> &'static str {
        match self.core.state().phase() {
            Phase::Pending => "PENDING",
            Phase::Running => "RUNNING",
            Phase::Cancelled => "CANCELLED",
            Phase::CancelledAndNotified => "CANCELLED_AND_NOTIFIED",
            Phase::Finished => "FINISHED",
        }
    }

    /// The condition and the waiters, if somebody asked for them.
    pub fn watch(&self) -> Option<&(Py<PyAny>, Py<PyList>)> {
        self.extras.get()?.watch.get()
    }
}

impl FutureBase {
    /// Waits until the future is done, or raises.
    fn wait_done(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let deadline = detach::deadline(timeout)?;
        if deadline.passed() {
            return Err(errors::timed_out(py));
        }
        let mut _aside = None;
        if let Some(home) = home::find(this.home) {
            if home.is_inherited() {
                return Err(errors::inherited_future(py));
            }
            if deadline.is_never() && home.run_here(slf) {
                return Ok(());
            }
            if !this.core.state().phase().is_done() {
                _aside = home.step_aside(py);
            }
        }
        let waited = py.detach(|| this.core.wait(deadline, detach::check_signals));
        if this.home != NOWHERE {
            owed::collect(this);
        }
        match waited {
            Ok(()) => Ok(()),
            Err(WaitError::TimedOut) => Err(errors::timed_out(py)),
            Err(WaitError::Interrupted(error)) => Err(error),
        }
    }

    /// The condition and the waiters of the standard library's protocol, made when they are first asked for.
    fn watched<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a (Py<PyAny>, Py<PyList>)> {
        let py = slf.py();
        if slf.get().watch().is_none() {
            let condition = py
                .import("threading")?
                .getattr("Condition")?
                .call0()?
                .unbind();
            // Somebody else may have made one meanwhile: then his counts.
            let _ = slf
                .get()
                .extras()
                .watch
                .set(Box::new((condition, PyList::empty(py).unbind())));
            slf.get().core.state().watch();
            ffi::track(slf);
        }
        // A worker that asks is about to wait in the standard library's way, for a task that may be queued behind its own.
        if slf.get().home != NOWHERE
            && !slf.get().core.state().phase().is_done()
            && let Some(home) = home::find(slf.get().home)
        {
            home.step_aside_for_task(py);
        }
        slf.get()
            .watch()
            .ok_or_else(|| PyRuntimeError::new_err("the future lost its condition"))
    }

    fn done_or_wait(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if slf.get().core.state().phase().is_done() {
            return Ok(());
        }
        let _cover = Cover::enter();
        FutureBase::wait_done(slf, timeout)
    }

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
        // Nobody but the queue waits for the task of a pool: it is withdrawn here, so everybody may know at once.
        let pooled = this.home != NOWHERE;
        let change = |this: &FutureBase| {
            let (verdict, task) = this.core.cancel(pooled);
            let told = match verdict {
                Cancel::Now(_) if pooled => Told::Cancelled,
                _ => Told::Nothing,
            };
            ((verdict, task), told)
        };
        let (verdict, task) = if this.core.state().is_watched() {
            under_condition(slf, change)?
        } else {
            change(this).0
        };
        match verdict {
            Cancel::Now(_) => {
                withdraw(slf, true);
                drop(task);
                fire(slf)?;
                Ok(true)
            }
            Cancel::Already => Ok(true),
            Cancel::TooLate => Ok(false),
        }
    }

    /// Whether it was cancelled.
    fn cancelled(&self) -> bool {
        self.core.state().phase().is_cancelled()
    }

    /// Whether its task is being run.
    fn running(&self) -> bool {
        self.core.state().phase() == Phase::Running
    }

    /// Whether it has finished or was cancelled.
    fn done(&self) -> bool {
        self.core.state().phase().is_done()
    }

    /// The value, waiting for it at most `timeout` seconds; raises what the task raised, CancelledError or TimeoutError.
    ///
    /// In a thread of the pool that has the task queued, and without a timeout, the task is run here.
    #[pyo3(signature = (timeout=None))]
    fn result(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        FutureBase::done_or_wait(slf, timeout)?;
        match slf.get().core.value() {
            None => Err(errors::cancelled(py)),
            Some(error) if slf.get().core.state().raised() => {
                Err(PyErr::from_value(error.bind(py).clone()))
            }
            Some(value) => Ok(value.clone_ref(py)),
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
        match slf.get().core.value() {
            None => Err(errors::cancelled(py)),
            Some(error) if slf.get().core.state().raised() => Ok(Some(error.clone_ref(py))),
            Some(_) => Ok(None),
        }
    }

    /// Has ``fn(future)`` called when the future is done: in order, in the thread that completes it, or here and now.
    ///
    /// What a callback raises is logged to ``concurrent.futures``.
    #[pyo3(signature = (r#fn))]
    fn add_done_callback(slf: &Bound<'_, Self>, r#fn: Bound<'_, PyAny>) -> PyResult<()> {
        let this = slf.get();
        if this.core.state().phase().is_done() {
            return call_back(slf, &r#fn);
        }
        ffi::track(slf);
        add_hook(slf, Hook::Call(r#fn.unbind()))
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
    fn _get_snapshot(&self, py: Python<'_>) -> (bool, bool, Option<Py<PyAny>>, Option<Py<PyAny>>) {
        let phase = self.core.state().phase();
        let raised = self.core.state().raised();
        let value = self.core.value().map(|value| value.clone_ref(py));
        let (result, error) = if raised { (None, value) } else { (value, None) };
        (phase.is_done(), phase.is_cancelled(), result, error)
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
        let state = match this.core.state().phase() {
            Phase::CancelledAndNotified => "cancelled".to_owned(),
            _ => this.state_name().to_lowercase(),
        };
        let outcome = match this.core.value() {
            Some(value) if this.core.state().raised() => {
                format!(" raised {}", value.bind(py).get_type().name()?)
            }
            Some(value) => format!(" returned {}", value.bind(py).get_type().name()?),
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
    fn _result(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self._get_snapshot(py).2
    }

    #[getter]
    fn _exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self._get_snapshot(py).3
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
