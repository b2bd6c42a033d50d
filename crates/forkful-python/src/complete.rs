//! Completing a future: under the standard library's condition where somebody asked for it, with callbacks in order and once.

use crate::errors;
use crate::ffi;
use crate::future::{FutureBase, Task};
use crate::home;
use crate::value::Value;
use forkful_core::future::{Finish, Hook, Phase};
use pyo3::exceptions::{PyException, PyKeyboardInterrupt};
use pyo3::prelude::*;
use std::cell::Cell;

/// Adds a hook; callbacks that are due by now are called here.
pub fn add_hook(future: &Bound<'_, FutureBase>, hook: Hook<Py<PyAny>>) -> PyResult<()> {
    let mut outcome = Ok(());
    future.get().core.add_hook(hook, |callback| {
        if let Err(error) = call_back(future, callback.bind(future.py())) {
            outcome = Err(error);
        }
        future.get().has_called();
    });
    outcome
}

/// Which method of the standard library's waiters tells them.
#[derive(Clone, Copy)]
pub enum Told {
    /// None: nothing that they wait for.
    Nothing,
    /// `add_cancelled`
    Cancelled,
    /// `add_result` or `add_exception`
    Finished,
}

/// Changes a state under the condition that somebody else holds over the future, and tells whoever waits by it.
pub fn under_condition<R>(
    future: &Bound<'_, FutureBase>,
    change: impl FnOnce(&FutureBase) -> (R, Told),
) -> PyResult<R> {
    let py = future.py();
    let this = future.get();
    let Some((condition, waiters)) = this.watch() else {
        return Ok(change(this).0);
    };
    let condition = condition.bind(py);
    condition.call_method0(crate::once::interned!(py, "acquire"))?;
    let (result, told) = change(this);
    let tell = || -> PyResult<()> {
        let method = match told {
            Told::Nothing => return Ok(()),
            Told::Cancelled => "add_cancelled",
            Told::Finished if this.core.state().raised() => "add_exception",
            Told::Finished => "add_result",
        };
        for waiter in waiters.bind(py).iter() {
            waiter.call_method1(method, (future,))?;
        }
        Ok(())
    };
    let told = tell();
    let notified = condition.call_method0(crate::once::interned!(py, "notify_all"));
    let released = condition.call_method0(crate::once::interned!(py, "release"));
    if let Err(error) = told.and(notified.map(drop)).and(released.map(drop)) {
        report_late(py, error);
    }
    Ok(result)
}

/// An error after the state has changed: the caller must go on and let everybody else know, so it can't be raised here.
fn report_late(py: Python<'_>, error: PyErr) {
    let again = || -> PyResult<()> {
        py.import("_thread")?
            .call_method0("interrupt_main")
            .map(drop)
    };
    if error.is_instance_of::<PyKeyboardInterrupt>(py) && again().is_ok() {
        // A Ctrl-C that came meanwhile comes again, a moment later.
        return;
    }
    errors::log(
        py,
        "critical",
        "Exception while telling the waiters of a future",
        None,
        error,
    );
}

/// Finishes with an error, without the condition that could not be had: better than never.
pub fn finish_regardless(future: &Bound<'_, FutureBase>, error: Py<PyAny>) {
    let _ = put(future, Value::Object(error), true, true);
}

/// Calls the callbacks that are due. The error of the last one that was no `Exception` is returned.
pub fn fire(future: &Bound<'_, FutureBase>) -> PyResult<()> {
    if future.get().core.hooks().is_empty() {
        return Ok(());
    }
    let mut outcome = Ok(());
    future.get().core.fire(|callback| {
        if let Err(error) = call_back(future, callback.bind(future.py())) {
            outcome = Err(error);
        }
    });
    future.get().has_called();
    outcome
}

thread_local! {
    /// Callbacks that this thread is in.
    static CALLING: Cell<u32> = const { Cell::new(0) };
}

/// Whether the calling thread is in a callback.
pub fn is_calling() -> bool {
    CALLING.get() > 0
}

/// One callback; what it raises is logged, as the standard library does, unless it means to end the program.
pub fn call_back(future: &Bound<'_, FutureBase>, callback: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = future.py();
    CALLING.set(CALLING.get() + 1);
    let called = callback.call1((future,));
    CALLING.set(CALLING.get() - 1);
    match called {
        Err(error) if error.is_instance_of::<PyException>(py) => {
            errors::log(
                py,
                "exception",
                "exception calling callback for %r",
                Some(future),
                error,
            );
            Ok(())
        }
        other => other.map(drop),
    }
}

/// Finishes a future with a value or an error. The verdict says whether its waiters must still be told; callbacks have not run.
///
/// Where the condition that somebody holds over the future can't be had (a signal handler raised), nothing has changed.
pub fn finish(
    future: &Bound<'_, FutureBase>,
    value: Bound<'_, PyAny>,
    raised: bool,
) -> Result<PyResult<Finish>, Phase> {
    if ffi::is_container(&value) {
        ffi::track(future);
    }
    finish_value(future, Value::Object(value.unbind()), raised)
}

/// The same for a value of any kind.
pub fn finish_value(
    future: &Bound<'_, FutureBase>,
    mut value: Value,
    raised: bool,
) -> Result<PyResult<Finish>, Phase> {
    let state = future.get().core.state();
    if !state.is_watched() {
        match put(future, value, raised, false)? {
            Ok(verdict) => return Ok(Ok(verdict)),
            // Somebody has asked for its condition in this very moment.
            Err(back) => value = back,
        }
    }
    let put_watched = |_: &FutureBase| match put(future, value, raised, true) {
        Ok(verdict) => (Ok(verdict.unwrap_or(Finish::Tell)), Told::Finished),
        Err(phase) => (Err(phase), Told::Nothing),
    };
    match under_condition(future, put_watched) {
        Ok(Ok(verdict)) => Ok(Ok(verdict)),
        Ok(Err(phase)) => Err(phase),
        Err(error) => Ok(Err(error)),
    }
}

/// Writes and publishes; the value comes back if the future is watched and the caller does not hold its condition.
fn put(
    future: &Bound<'_, FutureBase>,
    value: Value,
    raised: bool,
    under_condition: bool,
) -> Result<Result<Finish, Value>, Phase> {
    let core = &future.get().core;
    let pending = core.state().phase() == Phase::Pending;
    let seized = core.state().seize()?;
    let task = core.put(&seized, value);
    match core.state().publish(seized, raised, under_condition) {
        Ok(verdict) => {
            if pending && task.is_some() {
                withdraw(future, false);
                finished_elsewhere(future, raised);
            }
            Ok(Ok(verdict))
        }
        Err(seized) => core.take_back(seized, task).map(Err).ok_or(Phase::Finished),
    }
}

/// PENDING -> RUNNING, under the condition that somebody may hold over the future; see `Core::begin`.
#[inline]
pub fn begin(future: &Bound<'_, FutureBase>) -> PyResult<Option<Option<Task>>> {
    if future.get().core.state().is_watched() {
        under_condition(future, |this| (this.core.begin(), Told::Nothing))
    } else {
        Ok(future.get().core.begin())
    }
}

/// Counts a task of a pool that no worker finishes.
pub fn finished_elsewhere(future: &Bound<'_, FutureBase>, raised: bool) {
    if let Some(home) = home::find(future.get().home()) {
        home.finished_elsewhere(raised);
    }
}

/// Tells the pool that a queued task is not its any more.
pub fn withdraw(future: &Bound<'_, FutureBase>, cancelled: bool) {
    if let Some(home) = home::find(future.get().home()) {
        home.job_taken(future.py(), cancelled);
    }
}
