//! Waiting for one future, and asking it: by its word, by its pool, or by the standard library's condition.

use crate::complete::{self, Told, fire, under_condition, withdraw};
use crate::extras::{BEGUN, NOTHING};
use crate::future::FutureBase;
use crate::home::{self, NOWHERE};
use crate::{detach, errands, errors, ffi, owed};
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::future::{Cancel, Phase};
use forkful_core::sys::{Cover, Stamp, spin_until};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::time::Duration;

/// How long a waiter lets callbacks begin: the thread that calls them may have to be started, on a machine that is busy.
const PATIENCE_NANOS: u64 = 250_000_000;
/// Whether an event loop runs in this thread: it is told by a callback, and must not be held up.
fn runs_loop(py: Python<'_>) -> bool {
    let loop_of = || -> PyResult<bool> {
        let modules = py.import("sys")?.getattr("modules")?;
        let events = modules.call_method1("get", ("asyncio.events",))?;
        Ok(!events.is_none() && !events.call_method0("_get_running_loop")?.is_none())
    };
    loop_of().unwrap_or(false)
}

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
                this.let_calls_go_first(py);
                Ok(())
            }
            Err(WaitError::TimedOut) => Err(errors::timed_out(py)),
            Err(WaitError::Interrupted(error)) => Err(error),
        }
    }

    /// Lets the callbacks of a future that is done be called before whoever takes its result goes on, unless they take long. Once.
    ///
    /// With the standard library they mostly are, as the thread that calls them has the interpreter's lock when it wakes the
    /// waiter, who gets it 5 ms later at worst; those of earlier futures always are. Programs rely on it: tqdm's bars would end short.
    fn let_calls_go_first(&self, py: Python<'_>) {
        // Not where somebody is told by a callback himself, nor where nobody will call them.
        if self.owed() == NOTHING || complete::is_calling() || runs_loop(py) {
            return;
        }
        let Some(home) = home::find(self.home()) else {
            return;
        };
        if home.is_inherited() {
            return;
        }
        // One call that takes long must not cost all of them their patience.
        let Some(calls_nanos) = home.patience() else {
            return;
        };
        let _cover = Cover::enter();
        py.detach(|| {
            let (mut begun, mut owed) = (Stamp::now(), self.owed());
            while owed != NOTHING {
                if !spin_until(|| self.owed() != owed) {
                    std::thread::sleep(Duration::from_micros(50));
                }
                let now = self.owed();
                if now != owed {
                    (begun, owed) = (Stamp::now(), now);
                }
                let patience = if owed == BEGUN {
                    calls_nanos
                } else {
                    PATIENCE_NANOS
                };
                if Stamp::now().since(begun) > patience {
                    home.calls_take_long();
                    return self.has_called();
                }
            }
        });
    }

    pub fn done_or_wait(slf: &Bound<'_, Self>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let this = slf.get();
        if this.core.state().phase().is_done() {
            this.let_calls_go_first(slf.py());
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
