//! Barriers of several processes.

use super::place::{Place, Words};
use crate::{detach, errors};
use forkful_core::error::WaitError;
use forkful_core::sync::{Arrival, BarrierCell, Broken, Owner};
use forkful_core::sys::Cover;
use pyo3::prelude::*;
use std::cell::RefCell;

thread_local! {
    /// The barriers whose action this thread calls at the moment, by their identity.
    static ACTS_FOR: RefCell<Vec<(u64, u64, usize)>> = const { RefCell::new(Vec::new()) };
}

/// A place where so many wait for each other.
#[pyclass(subclass, frozen, module = "forkful._engine")]
pub struct ProcessBarrier {
    words: Words<BarrierCell>,
}

impl ProcessBarrier {
    /// Calls the action. An interpreter that ends while it runs parks this thread.
    fn act(&self, action: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let _cover = Cover::enter();
        ACTS_FOR.with_borrow_mut(|all| all.push(self.words.identity()));
        let called = action.map_or(Ok(()), |action| action.call0().map(drop));
        ACTS_FOR.with_borrow_mut(Vec::pop);
        called
    }

    /// Whether it is the barrier's action that calls. The round is over then, and only waits for the action; to break or to reset it comes
    /// to nothing, as with the standard library's barriers of processes.
    fn is_acting(&self) -> bool {
        ACTS_FOR.with_borrow(|all| all.contains(&self.words.identity()))
    }
}

fn checked<T>(py: Python<'_>, result: Result<Result<T, Broken>, WaitError<PyErr>>) -> PyResult<T> {
    match result {
        Ok(Ok(value)) => Ok(value),
        // A deadline that passes has broken it.
        Ok(Err(Broken)) | Err(WaitError::TimedOut) => Err(errors::broken_barrier(py)),
        Err(WaitError::Interrupted(error)) => Err(error),
    }
}

#[pymethods]
impl ProcessBarrier {
    #[new]
    #[pyo3(signature = (parties=1, place=None))]
    fn new(parties: u32, place: Option<Place<'_>>) -> PyResult<ProcessBarrier> {
        let fresh = place.is_none();
        let words: Words<BarrierCell> = Words::at(place)?;
        if fresh {
            words.get().init(parties);
        }
        Ok(ProcessBarrier { words })
    }

    /// Waits for the others; how many had come before. The last one calls `action` before any of them goes on.
    #[pyo3(signature = (timeout=None, action=None))]
    fn wait(
        &self,
        py: Python<'_>,
        timeout: Option<&Bound<'_, PyAny>>,
        action: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u32> {
        let (words, me) = (self.words.get(), Owner::me());
        let (deadline, acts) = (detach::deadline(timeout)?, action.is_some());
        let arrival = py.detach(|| words.arrive(me, acts, detach::check_signals));
        match checked(py, arrival)? {
            Arrival::Last(place) => Ok(place.index),
            Arrival::Act(place) => {
                let called = self.act(action);
                words.acted(place, called.is_ok());
                called.map(|()| place.index)
            }
            Arrival::Early(place) => {
                let waited = py.detach(|| words.wait(me, place, deadline, detach::check_signals));
                checked(py, waited).map(|()| place.index)
            }
        }
    }

    /// Makes it new; whoever waits finds it broken.
    fn reset(&self, py: Python<'_>) -> PyResult<()> {
        let words = self.words.get();
        if self.is_acting() {
            return Ok(());
        }
        let reset = py.detach(|| words.reset(Owner::me(), detach::check_signals));
        checked(py, reset.map(Ok))
    }

    /// Breaks it.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        let words = self.words.get();
        if self.is_acting() {
            return Ok(());
        }
        let aborted = py.detach(|| words.abort(Owner::me(), detach::check_signals));
        checked(py, aborted.map(Ok))
    }

    #[getter]
    fn parties(&self) -> u32 {
        self.words.get().parties()
    }

    #[getter]
    fn n_waiting(&self) -> u32 {
        self.words.get().arrived()
    }

    #[getter]
    fn broken(&self) -> bool {
        self.words.get().is_broken()
    }

    fn _hand_over(&self) -> PyResult<(i32, usize)> {
        self.words.hand_over()
    }

    fn _identity(&self) -> (u64, u64, usize) {
        self.words.identity()
    }
}
