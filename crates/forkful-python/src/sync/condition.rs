//! Conditions of several processes: over a lock of ours all in one call, over any other one in steps.

use super::lock::{ProcessLock, ProcessRLock, warn};
use super::place::{Place, Words};
use crate::detach;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::sync::condition::{Left, Waiter};
use forkful_core::sync::{ConditionCell, Owner, RLockCell, Taken};
use forkful_core::sys::Cover;
use pyo3::PyTraverseError;
use pyo3::exceptions::{PyAssertionError, PyRuntimeError};
use pyo3::gc::PyVisit;
use pyo3::prelude::*;
use std::convert::Infallible;

/// What it waits under.
enum Under {
    Lock(Py<ProcessLock>),
    RLock(Py<ProcessRLock>),
    Another(Py<PyAny>),
}

/// The waiters of a condition, and the lock that they give up meanwhile.
#[pyclass(subclass, frozen, module = "forkful._engine")]
pub struct ProcessCondition {
    words: Words<ConditionCell>,
    under: Under,
}

/// What a wait under a lock of ours ends with, the lock in hand.
struct Ended {
    /// Whether it was notified; or what a signal handler raised.
    result: PyResult<bool>,
    /// The holder that died while this one waited.
    dead: Option<Owner>,
}

/// Waits, from inside of the lock to inside of the lock.
fn wait_under(lock: &RLockCell, words: &ConditionCell, deadline: Deadline) -> Ended {
    let me = Owner::me();
    let waiter = words.enter(me);
    let mut dead = None;
    let mut raised: Option<PyErr> = None;
    loop {
        let count = lock.release_all(me).unwrap_or(1);
        let left = words.sleep(waiter, deadline, detach::check_signals);
        // It ends with the lock in hand whatever happens; of what signal handlers raise meanwhile, the first counts.
        let taken = lock.acquire_once(me, Deadline::NEVER, || {
            if let Err(error) = detach::check_signals()
                && raised.is_none()
            {
                raised = Some(error);
            }
            Ok::<_, Infallible>(())
        });
        lock.restore(count);
        if let Ok(Taken::Recovered(owner)) = taken {
            dead = Some(owner);
        }
        let over = match left {
            Err(WaitError::Interrupted(error)) => {
                raised = Some(error);
                true
            }
            Err(WaitError::TimedOut) | Ok(Left::TimedOut) => true,
            Ok(Left::Roused) => raised.is_some() || words.is_roused(waiter),
        };
        if over {
            let notified = words.leave(waiter);
            let result = match raised {
                None => Ok(notified),
                Some(error) => {
                    // The program will not see the notification: it is another one's.
                    if notified {
                        words.notify(1);
                    }
                    Err(error)
                }
            };
            return Ended { result, dead };
        }
    }
}

fn number(waiter: Waiter) -> usize {
    match waiter {
        Waiter::Placed(nth) => nth + 1,
        Waiter::Crowded => 0,
    }
}

fn waiter(number: usize) -> Waiter {
    match number.checked_sub(1) {
        Some(nth) => Waiter::Placed(nth.min(forkful_core::shm::WAITER_PLACES - 1)),
        None => Waiter::Crowded,
    }
}

impl ProcessCondition {
    fn cell<'a>(&'a self, py: Python<'a>) -> Option<&'a RLockCell> {
        match &self.under {
            Under::Lock(lock) => Some(lock.bind(py).get().cell()),
            Under::RLock(lock) => Some(lock.bind(py).get().cell()),
            Under::Another(_) => None,
        }
    }
}

#[pymethods]
impl ProcessCondition {
    #[new]
    #[pyo3(signature = (lock, place=None))]
    fn new(lock: Bound<'_, PyAny>, place: Option<Place<'_>>) -> PyResult<ProcessCondition> {
        let under = match lock.cast::<ProcessLock>() {
            Ok(lock) => Under::Lock(lock.clone().unbind()),
            Err(_) => match lock.cast::<ProcessRLock>() {
                Ok(lock) => Under::RLock(lock.clone().unbind()),
                Err(_) => Under::Another(lock.unbind()),
            },
        };
        Ok(ProcessCondition {
            words: Words::at(place)?,
            under,
        })
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match &self.under {
            Under::Lock(lock) => visit.call(lock),
            Under::RLock(lock) => visit.call(lock),
            Under::Another(lock) => visit.call(lock),
        }
    }

    /// The lock.
    #[getter]
    fn _lock<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        match &self.under {
            Under::Lock(lock) => lock.bind(py).clone().into_any(),
            Under::RLock(lock) => lock.bind(py).clone().into_any(),
            Under::Another(lock) => lock.bind(py).clone(),
        }
    }

    /// Whether it is one of ours, which `wait` and `notify` need.
    #[getter]
    fn _native(&self) -> bool {
        !matches!(self.under, Under::Another(_))
    }

    /// Gives the lock up, waits to be notified and takes the lock again; whether it was notified.
    #[pyo3(signature = (timeout=None))]
    fn wait(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let (py, this) = (slf.py(), slf.get());
        let Some(lock) = this.cell(py) else {
            let _cover = Cover::enter();
            return slf.call_method1("_wait_in_steps", (timeout,))?.is_truthy();
        };
        if !lock.is_mine(Owner::me()) {
            return Err(PyAssertionError::new_err(
                "must acquire() condition before using wait()",
            ));
        }
        let deadline = detach::deadline(timeout)?;
        let words = this.words.get();
        let ended = py.detach(|| wait_under(lock, words, deadline));
        if let Some(dead) = ended.dead
            && let Err(error) = warn(py, dead)
        {
            // Where the warning is an error, the caller has the lock all the same, as he is inside of it; what he was notified of is
            // another one's.
            if matches!(ended.result, Ok(true)) {
                words.notify(1);
            }
            return Err(error);
        }
        ended.result
    }

    /// Notifies those that have waited longest.
    #[pyo3(signature = (n=1))]
    fn notify(slf: &Bound<'_, Self>, n: i64) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let mine = match this.cell(py) {
            Some(lock) => lock.is_mine(Owner::me()),
            None => {
                let _cover = Cover::enter();
                slf.call_method0("_owns_other")?.is_truthy()?
            }
        };
        if !mine {
            return Err(PyAssertionError::new_err("lock is not owned"));
        }
        this.words.get().notify(usize::try_from(n).unwrap_or(0));
        Ok(())
    }

    /// Notifies all.
    fn notify_all(slf: &Bound<'_, Self>) -> PyResult<()> {
        ProcessCondition::notify(slf, i64::MAX)
    }

    /// How many wait.
    fn _waiting(&self) -> usize {
        self.words.get().waiting()
    }

    /// Of a wait in steps, the first: takes a place, with the lock in hand.
    fn _enter(&self) -> usize {
        number(self.words.get().enter(Owner::me()))
    }

    /// The second, without the lock: whether the sleep ended before the time.
    fn _sleep(
        &self,
        py: Python<'_>,
        place: usize,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let deadline = detach::deadline(timeout)?;
        let words = self.words.get();
        match py.detach(|| words.sleep(waiter(place), deadline, detach::check_signals)) {
            Ok(left) => Ok(left == Left::Roused),
            Err(WaitError::TimedOut) => Ok(false),
            Err(WaitError::Interrupted(error)) => Err(error),
        }
    }

    /// The third, with the lock again: whether it may end, or has to sleep on.
    fn _is_roused(&self, place: usize) -> bool {
        self.words.get().is_roused(waiter(place))
    }

    /// The last, with the lock in hand: whether it was notified. `pass_on`: then another one is, instead of this one.
    fn _leave(&self, place: usize, pass_on: bool) -> bool {
        let notified = self.words.get().leave(waiter(place));
        if notified && pass_on {
            self.words.get().notify(1);
        }
        notified
    }

    fn _hand_over(&self) -> PyResult<(i32, usize)> {
        self.words.hand_over()
    }

    fn _identity(&self) -> (u64, u64, usize) {
        self.words.identity()
    }

    fn __enter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // A lock of the program's own may be Python code, which an interpreter that ends leaves by unwinding.
        let _cover = Cover::enter();
        self._lock(py).call_method0("__enter__")
    }

    #[pyo3(signature = (*args))]
    fn __exit__<'py>(
        &self,
        py: Python<'py>,
        args: &Bound<'py, pyo3::types::PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if args.len() > 3 {
            return Err(PyRuntimeError::new_err("__exit__ takes 3 arguments"));
        }
        let _cover = Cover::enter();
        self._lock(py).call_method1("__exit__", args.clone())
    }
}
