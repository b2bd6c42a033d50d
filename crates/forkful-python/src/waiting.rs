//! Waiting for one future, and asking it: by its word, by its pool, or by the standard library's condition.

use crate::complete::{Told, fire, under_condition, withdraw};
use crate::future::FutureBase;
use crate::home::{self, NOWHERE};
use crate::{callers, detach, errands, errors, ffi, owed};
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::future::{Cancel, Phase};
use forkful_core::sys::{Cover, Stamp, spin_until};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::time::Duration;

/// How long a waiter lets callbacks go first.
const PATIENCE_NANOS: u64 = 25_000_000;

impl FutureBase {
    /// The phase, after what has come from other processes was taken in.
    pub fn phase(&self) -> Phase {
        let phase = self.core.state().phase();
        if !self.is_remote() || phase.is_done() {
            return phase;
        }
        let Some(home) = home::find(self.home()) else {
            return phase;
        };
        home.poll();
        match self.core.state().phase() {
            Phase::Pending if home.is_taken(self.place()) => Phase::Running,
            now => now,
        }
    }

    /// Waits, without the interpreter's lock.
    pub fn wait_detached(&self, deadline: Deadline) -> Result<(), WaitError<PyErr>> {
        let mut _interest = None;
        if self.is_remote()
            && let Some(home) = home::find(self.home())
        {
            let ready = || self.core.state().told();
            if home.lead(&ready, deadline, &mut detach::check_signals)? {
                return Ok(());
            }
            _interest = home.interest();
        }
        self.core.wait(deadline, detach::check_signals)
    }

    /// Waits until the future is done, or raises.
    pub fn wait_done(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let this = slf.get();
        let deadline = detach::deadline(timeout)?;
        if deadline.passed() {
            return Err(errors::timed_out(py));
        }
        let mut _aside = None;
        if let Some(home) = home::find(this.home()) {
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
        let waited = py.detach(|| this.wait_detached(deadline));
        if this.is_remote() {
            errands::sweep(py);
        } else if this.home() != NOWHERE {
            owed::collect(this);
        }
        match waited {
            Ok(()) => {
                if this.owes_calls() {
                    py.detach(|| this.let_calls_begin());
                }
                Ok(())
            }
            Err(WaitError::TimedOut) => Err(errors::timed_out(py)),
            Err(WaitError::Interrupted(error)) => Err(error),
        }
    }

    /// Lets the callbacks of a future that is done be called before its waiter goes on, unless they take long.
    ///
    /// With the standard library they mostly are, as the thread that calls them has the interpreter's lock when it wakes the
    /// waiter, who gets it 5 ms later at worst. Programs rely on it: tqdm's bars would end one short.
    /// Here the thread that calls them may first have to be started, on a machine that is busy.
    fn let_calls_begin(&self) {
        if callers::is_on_duty() {
            // It may be one of these callbacks that asks.
            return;
        }
        let begun = Stamp::now();
        while self.owes_calls() && Stamp::now().since(begun) < PATIENCE_NANOS {
            if !spin_until(|| !self.owes_calls()) {
                std::thread::sleep(Duration::from_micros(50));
            }
        }
    }

    pub fn done_or_wait(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let this = slf.get();
        if this.core.state().phase().is_done() {
            if this.owes_calls() {
                let _cover = Cover::enter();
                slf.py().detach(|| this.let_calls_begin());
            }
            return Ok(());
        }
        let _cover = Cover::enter();
        FutureBase::wait_done(slf, timeout)
    }

    /// The condition and the waiters of the standard library's protocol, made when they are first asked for.
    pub fn watched<'a>(slf: &'a Bound<'_, Self>) -> PyResult<&'a (Py<PyAny>, Py<PyList>)> {
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
        if slf.get().home() != NOWHERE
            && !slf.get().core.state().phase().is_done()
            && let Some(home) = home::find(slf.get().home())
        {
            home.interest_on();
            home.step_aside_for_task(py);
        }
        slf.get()
            .watch()
            .ok_or_else(|| PyRuntimeError::new_err("the future lost its condition"))
    }

    /// The value (false) or the error (true), read now if it is from another process.
    pub fn value(slf: &Bound<'_, Self>) -> PyResult<Option<(bool, Py<PyAny>)>> {
        let py = slf.py();
        let Some(value) = slf.get().core.value() else {
            return Ok(None);
        };
        let (raised, object) = value.object(py, slf.get().core.state().raised())?;
        if slf.get().is_remote() && ffi::is_container(object.bind(py)) {
            ffi::track(slf);
        }
        Ok(Some((raised, object)))
    }

    /// Cancels where the task is nobody else's.
    pub fn cancel_here(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let verdict = FutureBase::cancel_untold(slf)?;
        if let Cancel::Now(_) = verdict {
            fire(slf)?;
        }
        Ok(!matches!(verdict, Cancel::TooLate))
    }

    /// The same, but the callbacks are still to be called.
    pub fn cancel_untold(slf: &Bound<'_, Self>) -> PyResult<Cancel> {
        let this = slf.get();
        // Nobody but the queue waits for the task of a pool: it is withdrawn here, so everybody may know at once.
        let pooled = this.home() != NOWHERE;
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
        if let Cancel::Now(_) = verdict {
            withdraw(slf, true);
            drop(task);
        }
        Ok(verdict)
    }
}
