//! Calls that a pool of threads has accepted, and that wait for somebody to decide where they run.
//!
//! Their futures are the pool's and hold their tasks, but are in no queue. They are queued in the end, or begun for a pool of
//! processes, whose own future then is their double. Whoever waits for one on a thread of the pool runs it there, as if it were queued.

use crate::complete;
use crate::crew::{Crew, Shared};
use crate::future::FutureBase;
use crate::options::TaskOptions;
use crate::procs::ProcessCrew;
use crate::shared::How;
use crate::value::Value;
use crate::{errors, exit};
use forkful_core::error::Refusal;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::sync::Arc;

/// The function, its arguments, its keywords.
type Taken<'py> = (Py<PyAny>, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

/// Accepts a call without queueing it, for whoever decides later where it runs: by `queue_held` or `take_held`.
#[pyfunction]
#[pyo3(signature = (crew, options, r#fn, args, kwargs=None))]
pub fn hold<'py>(
    crew: &Crew,
    options: Option<&Bound<'py, TaskOptions>>,
    r#fn: &Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
    kwargs: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, FutureBase>> {
    let (py, shared) = (r#fn.py(), &crew.shared);
    if exit::begun() {
        return Err(errors::exiting());
    }
    let task = shared.task(r#fn, args, kwargs.filter(|kwargs| !kwargs.is_empty()))?;
    let future = shared.future(py, task, options.map(Bound::as_unbound))?;
    match shared.pool.hold() {
        Ok(()) => Ok(future),
        Err(refusal) => Err(shared.refused(py, refusal)),
    }
}

/// Queues a call that was held; one that has been begun or cancelled meanwhile is passed over by the workers.
#[pyfunction]
pub fn queue_held(crew: &Crew, future: &Bound<'_, FutureBase>) -> PyResult<()> {
    let shared: &Arc<Shared> = &crew.shared;
    let py = future.py();
    if shared.pool.refusal() == Some(Refusal::Broken) {
        let reason = shared.broken.lock().clone();
        shared.fail(future, &reason);
        return Ok(());
    }
    let options = future.get().options();
    let priority = options.map_or(0, |options| options.get().priority);
    if let Some(berth) = shared.pool.queue_held(future.clone().unbind(), priority)
        && let Err(error) = shared.start(py, berth)
        && !shared.pool.has_workers()
    {
        // Nobody is there who would run it.
        shared.cancel_pending(py)?;
        return Err(error);
    }
    Ok(())
}

/// Begins a call that was held, for whoever runs it elsewhere and finishes its future. None if it has been begun or cancelled meanwhile.
#[pyfunction]
pub fn take_held<'py>(
    crew: &Crew,
    future: &Bound<'py, FutureBase>,
) -> PyResult<Option<Taken<'py>>> {
    let Some(Some(task)) = complete::begin(future)? else {
        return Ok(None);
    };
    crew.shared.pool.began();
    let args = task.args.into_bound(future.py());
    match args.cast::<PyList>() {
        Ok(both) => Ok(Some((
            task.func,
            both.get_item(0)?,
            Some(both.get_item(1)?),
        ))),
        Err(_) => Ok(Some((task.func, args, None))),
    }
}

/// Queues a call that was accepted before in a pool of processes, and returns its future; or the error, if it can't be pickled.
#[pyfunction]
#[pyo3(signature = (crew, options, r#fn, args, kwargs=None))]
pub fn try_submit<'py>(
    crew: &Bound<'py, ProcessCrew>,
    options: Option<Py<TaskOptions>>,
    r#fn: &Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
    kwargs: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let shared = &crew.get().shared;
    if let Some(refusal) = shared.pool.refusal()
        && refusal != Refusal::Closed
    {
        return Err(shared.refused(crew.py(), refusal));
    }
    let how = How {
        rest: true,
        ..How::default()
    };
    let future = shared.accept(crew, r#fn, args, kwargs, options.as_ref(), how)?;
    // What a worker says comes as bytes: this one never left.
    if let Some(Value::Object(error)) = future.get().core.value()
        && future.get().core.state().raised()
    {
        return Ok(error.bind(crew.py()).clone());
    }
    Ok(future.into_any())
}
