//! What threads wait for each other with: conditions, events, semaphores, barriers, queues and the queues' mutex.
//!
//! Knows: detach, errors, ffi. Does not know: futures, pools.
//!
//! Everything but a wait runs attached to the interpreter from its first look at an engine's lock to its last, so a fork,
//! which is made by an attached thread, finds none of these locks taken.

mod barrier;
mod condition;
mod event;
mod held;
mod limit;
mod mutex;
mod parts;
mod queue;
mod semaphore;
mod store;

use crate::detach;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::sync::park::Batch;
use forkful_core::sync::{Parker, park};
use forkful_core::sys::Cover;
use pyo3::prelude::*;

type Waited = Result<(), WaitError<PyErr>>;

/// Waits until the parker is told something, without the interpreter's lock.
fn park(py: Python<'_>, parker: &Parker, deadline: Deadline) -> Waited {
    park_and_ring(py, parker, deadline, Batch::default())
}

/// The same, and wakes others once that lock is free, who would come too early before.
fn park_and_ring(py: Python<'_>, parker: &Parker, deadline: Deadline, batch: Batch) -> Waited {
    if deadline.passed() {
        batch.ring();
        return Err(WaitError::TimedOut);
    }
    let _cover = Cover::enter();
    py.detach(|| {
        park::settle();
        if !batch.is_empty() {
            batch.ring();
            park::settle();
        }
        parker.wait(deadline, detach::check_signals)
    })
}

/// The same for a wait that must not end early: signal handlers run, and what one has raised is kept for later.
fn park_through(py: Python<'_>, parker: &Parker, raised: &mut Option<PyErr>) -> Waited {
    loop {
        match park(py, parker, Deadline::NEVER) {
            Err(WaitError::Interrupted(error)) => _ = raised.get_or_insert(error),
            waited => return waited,
        }
    }
}

/// Whether it ended in time; an interruption is raised.
fn in_time(waited: Waited) -> PyResult<bool> {
    match waited {
        Ok(()) => Ok(true),
        Err(WaitError::TimedOut) => Ok(false),
        Err(WaitError::Interrupted(error)) => Err(error),
    }
}

/// Puts all of them into the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<condition::ConditionBase>()?;
    m.add_class::<event::EventBase>()?;
    m.add_class::<semaphore::SemaphoreBase>()?;
    m.add_class::<barrier::BarrierBase>()?;
    m.add_class::<mutex::Mutex>()?;
    m.add_class::<parts::QueueBase>()?;
    m.add_function(wrap_pyfunction!(parts::set_queue_words, m)?)?;
    Ok(())
}
