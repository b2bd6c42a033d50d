//! Waiting for many futures: for all of them, or for each as it comes.

use crate::complete;
use crate::future::FutureBase;
use crate::home;
use crate::once::interned;
use crate::{detach, errors, ffi, owed};
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::future::{Arrivals, Hook};
use forkful_core::sys::{Cover, Lock};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyFunction, PyList, PySet};
use std::any::Any;
use std::sync::Arc;

/// The futures of a list, or `None` if one of them is somebody else's.
fn ours<'py>(futures: &Bound<'py, PyList>) -> Option<Vec<Bound<'py, FutureBase>>> {
    let mut ours = Vec::with_capacity(futures.len());
    for future in futures.iter() {
        ours.push(ffi::into_future(future)?);
    }
    Some(ours)
}

/// The pools that these futures came from, each once.
fn homes<'a>(futures: impl Iterator<Item = &'a FutureBase>) -> Vec<u32> {
    let mut homes: Vec<u32> = Vec::new();
    for future in futures {
        // Nearly always all from one pool: compared with the last one, a set would only cost.
        if homes.last() != Some(&future.home()) && !homes.contains(&future.home()) {
            homes.push(future.home());
        }
    }
    homes
}

/// Lets other threads of every pool work that the caller is a worker of and waits for; refuses what can't come any more.
fn step_aside(py: Python<'_>, homes: &[u32]) -> PyResult<Vec<Box<dyn Any>>> {
    let mut guards = Vec::new();
    for home in homes.iter().filter_map(|&number| home::find(number)) {
        if home.is_inherited() {
            return Err(errors::inherited_future(py));
        }
        guards.extend(home.step_aside(py));
    }
    Ok(guards)
}

/// Waits until all futures are done and notified. True: they are. False: the timeout passed. None: not all are of this engine.
#[pyfunction]
#[pyo3(signature = (futures, timeout=None))]
pub fn wait_all(
    futures: &Bound<'_, PyList>,
    timeout: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<bool>> {
    let py = futures.py();
    let Some(futures) = ours(futures) else {
        return Ok(None);
    };
    let unsettled =
        |future: &&Bound<'_, FutureBase>| !future.get().core.state().phase().is_settled();
    crate::errands::sweep(py);
    if !futures.iter().any(|future| unsettled(&future)) {
        return Ok(Some(true));
    }
    let _cover = Cover::enter();
    let deadline = detach::deadline(timeout)?;
    if deadline.passed() {
        return Ok(Some(false));
    }
    let waiting = futures.iter().filter(unsettled);
    let _aside = step_aside(py, &homes(waiting.map(Bound::get)))?;
    // The last one first: pools begin in order, so when it is done nearly all are, after one sleep instead of one for each.
    let order: Vec<&FutureBase> = futures.iter().rev().map(Bound::get).collect();
    let mut waited = py.detach(|| {
        let done = |future: &&FutureBase| future.wait_detached(deadline);
        order.iter().try_for_each(done)
    });
    if waited.is_ok() {
        waited = futures
            .iter()
            .try_for_each(|future| notified(future, deadline));
    }
    crate::errands::sweep(py);
    if !owed::is_empty() {
        futures
            .iter()
            .for_each(|future| owed::collect(future.get()));
    }
    match waited {
        Ok(()) => Ok(Some(true)),
        Err(WaitError::TimedOut) => Ok(Some(false)),
        Err(WaitError::Interrupted(error)) => Err(error),
    }
}

/// Waits until `wait` may count a future that is done: one that its maker cancelled must still be notified.
fn notified(future: &Bound<'_, FutureBase>, deadline: Deadline) -> Result<(), WaitError<PyErr>> {
    let core = &future.get().core;
    if core.state().phase().is_settled() {
        return Ok(());
    }
    let arrivals = Arc::new(Arrivals::default());
    complete::add_hook(future, Hook::Arrive(arrivals.clone(), 0))
        .map_err(WaitError::Interrupted)?;
    let waited = future
        .py()
        .detach(|| arrivals.next(deadline, detach::check_signals));
    core.hooks().sweep(&arrivals);
    complete::fire(future).map_err(WaitError::Interrupted)?;
    waited.map(drop)
}

/// Whether a future has failed, as far as that can be said without reading what another process has sent.
#[pyfunction]
pub fn has_failed(future: &Bound<'_, FutureBase>) -> bool {
    let core = &future.get().core;
    core.value()
        .is_some_and(|value| value.raised(core.state().raised()))
}

/// Raises BrokenExecutor for a future that was pending at a fork, whose task only the parent can run.
#[pyfunction]
pub fn refuse_inherited(future: &Bound<'_, FutureBase>) -> PyResult<()> {
    match home::find(future.get().home()) {
        Some(home) if home.is_inherited() => Err(errors::inherited_future(future.py())),
        _ => Ok(()),
    }
}

/// Raises TypeError for the callback of `asyncio.wait`, which knows no thread but its own: it would wait for ever.
pub fn refuse_asyncio_wait(callback: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = callback.py();
    // Only a function's module is looked up: anybody else's may be a property.
    if callback.is_instance_of::<PyFunction>()
        && callback
            .getattr(interned!(py, "__module__"))?
            .eq(interned!(py, "asyncio.tasks"))?
    {
        return Err(PyTypeError::new_err(
            "asyncio.wait takes tasks only, and this is a future of an executor: give it asyncio.ensure_future(future)",
        ));
    }
    Ok(())
}

/// Whether another process runs its task, which can therefore be stopped.
#[pyfunction]
pub fn is_remote(future: &Bound<'_, FutureBase>) -> bool {
    future.get().is_remote()
}

/// Splits futures into those that `wait` may count as done and the others.
#[pyfunction]
pub fn partition<'py>(
    futures: &Bound<'py, PyList>,
) -> PyResult<(Bound<'py, PySet>, Bound<'py, PySet>)> {
    let py = futures.py();
    let (done, not_done) = (PySet::empty(py)?, PySet::empty(py)?);
    for future in futures.iter() {
        let settled = future
            .cast::<FutureBase>()?
            .get()
            .core
            .state()
            .phase()
            .is_settled();
        if settled { &done } else { &not_done }.add(future)?;
    }
    Ok((done, not_done))
}

/// Futures that arrive one by one.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Gathering {
    arrivals: Arc<Arrivals>,
    futures: Lock<Vec<Option<Py<FutureBase>>>>,
    left: Lock<usize>,
    homes: Vec<u32>,
}

#[pymethods]
impl Gathering {
    /// Watches all futures of a list; `None` instead if one of them is not of this engine.
    #[staticmethod]
    fn of(futures: &Bound<'_, PyList>) -> PyResult<Option<Gathering>> {
        let Some(futures) = ours(futures) else {
            return Ok(None);
        };
        let arrivals = Arc::new(Arrivals::default());
        for (index, future) in futures.iter().enumerate() {
            if future.get().core.state().phase().is_settled() {
                arrivals.arrive(index);
            } else {
                complete::add_hook(future, Hook::Arrive(arrivals.clone(), index))?;
            }
        }
        Ok(Some(Gathering {
            left: Lock::new(futures.len()),
            homes: homes(futures.iter().map(Bound::get)),
            futures: Lock::new(
                futures
                    .into_iter()
                    .map(|future| Some(future.unbind()))
                    .collect(),
            ),
            arrivals,
        }))
    }

    /// How many have not been taken.
    fn __len__(&self) -> usize {
        *self.left.lock()
    }

    /// The next one that has come already, or None.
    fn poll(&self) -> Option<Py<FutureBase>> {
        self.arrivals.pop().and_then(|index| self.take(index))
    }

    /// The next one to come; waits for it. None: the timeout passed.
    #[pyo3(signature = (timeout=None))]
    fn next(
        &self,
        py: Python<'_>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Py<FutureBase>>> {
        // Those that were yielded are nobody's any more.
        crate::errands::sweep(py);
        if let Some(ready) = self.poll() {
            return Ok(Some(ready));
        }
        let _cover = Cover::enter();
        let deadline = detach::deadline(timeout)?;
        if deadline.passed() {
            return Ok(None);
        }
        let aside = step_aside(py, &self.homes)?;
        let waited = py.detach(|| self.next_detached(deadline));
        crate::errands::sweep(py);
        drop(aside);
        match waited {
            Ok(index) => Ok(self.take(index)),
            Err(WaitError::TimedOut) => Ok(None),
            Err(WaitError::Interrupted(error)) => Err(error),
        }
    }

    /// Stops watching those that have not come.
    fn close(&self, py: Python<'_>) {
        let futures = std::mem::take(&mut *self.futures.lock());
        for future in futures.iter().flatten() {
            let future = future.bind(py);
            let core = &future.get().core;
            if core.state().phase().is_settled() {
                continue;
            }
            core.hooks().sweep(&self.arrivals);
            // It may have been completed while the sweep held its hooks.
            if core.state().phase().is_done()
                && let Err(error) = complete::fire(future)
            {
                error.write_unraisable(py, Some(future));
            }
        }
    }
}

impl Gathering {
    /// The next token, without the interpreter's lock: other processes' outcomes are taken in here, or in the background.
    fn next_detached(
        &self,
        deadline: forkful_core::deadline::Deadline,
    ) -> Result<usize, WaitError<PyErr>> {
        let remote = self
            .homes
            .iter()
            .filter(|&&number| number & home::REMOTE != 0);
        let remote: Vec<_> = remote.filter_map(|&number| home::find(number)).collect();
        let mut _interests = Vec::new();
        if let ([home], 1) = (&remote[..], self.homes.len()) {
            let ready = || !self.arrivals.is_empty();
            if home.lead(&ready, deadline, &mut detach::check_signals)?
                && let Some(token) = self.arrivals.pop()
            {
                return Ok(token);
            }
        }
        _interests.extend(remote.iter().map(|home| home.interest()));
        self.arrivals.next(deadline, detach::check_signals)
    }

    fn take(&self, index: usize) -> Option<Py<FutureBase>> {
        let taken = self.futures.lock().get_mut(index).and_then(Option::take);
        if taken.is_some() {
            *self.left.lock() -= 1;
        }
        taken
    }
}
