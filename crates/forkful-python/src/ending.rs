//! The end of a pool of processes, or of all: joined, or brought about in a hurry.

use crate::remote::{self, RemoteJob};
use crate::{callers, detach, errands};
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::procs::{Kept, Pool};
use forkful_core::sys::Cover;
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Duration;

/// Waits until the last worker is gone and all callbacks have run; whether it is so. The pool must be closed.
pub fn join(py: Python<'_>, pool: &Arc<Pool<RemoteJob>>, deadline: Deadline) -> PyResult<bool> {
    let _cover = Cover::enter();
    if callers::is_inside(pool) || errands::is_completer() {
        // It would wait for itself, or for what only it can do.
        return Ok(pool.is_finished());
    }
    loop {
        let waited = py.detach(|| {
            match pool.lead(|| pool.is_finished(), deadline, detach::check_signals) {
                Ok(false) => {
                    // Somebody else drains: a moment, then look again.
                    std::thread::sleep(Duration::from_millis(2));
                    detach::check_signals()
                        .map_err(WaitError::Interrupted)
                        .map(|()| pool.is_finished())
                }
                other => other,
            }
        });
        errands::sweep(py);
        match waited {
            Ok(true) => return Ok(true),
            Ok(false) if deadline.passed() => return Ok(false),
            Ok(false) => {}
            Err(WaitError::TimedOut) => return Ok(false),
            Err(WaitError::Interrupted(error)) => return Err(error),
        }
    }
}

/// Tells the owners of what `take` takes out of the pool that it is cancelled, while the pool is kept.
fn withdraw_all(
    py: Python<'_>,
    pool: &Arc<Pool<RemoteJob>>,
    take: impl FnOnce(&Arc<Pool<RemoteJob>>) -> (Vec<RemoteJob>, Kept<RemoteJob>) + Send,
) {
    let (jobs, kept) = py.detach(|| take(pool));
    for job in jobs {
        remote::withdraw(py, job, &kept);
    }
    errands::sweep(py);
    drop(kept);
    pool.kick();
}

/// Cancels what no worker has.
pub fn cancel_pending(py: Python<'_>, pool: &Arc<Pool<RemoteJob>>) {
    withdraw_all(py, pool, |pool| pool.cancel_pending());
}

/// Ends a pool: no more tasks, none again, and what no worker has is cancelled.
pub fn end(py: Python<'_>, pool: &Arc<Pool<RemoteJob>>) {
    withdraw_all(py, pool, |pool| pool.end());
}

/// Closes all pools, those of forgotten executors included, and waits for their ends; whether they have.
#[pyfunction]
#[pyo3(signature = (timeout=None))]
pub fn join_pools(py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    let deadline = detach::deadline(timeout)?;
    let pools = errands::pools();
    for pool in &pools {
        py.detach(|| pool.close());
    }
    for pool in &pools {
        if !join(py, pool, deadline)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Ends all pools.
#[pyfunction]
pub fn end_pools(py: Python<'_>) {
    for pool in errands::pools() {
        end(py, &pool);
    }
}

/// Interrupts the workers of all pools that run something.
#[pyfunction]
pub fn interrupt_pools() {
    for pool in errands::pools() {
        pool.interrupt();
    }
}

/// Sends a signal that ends them to all workers of all pools; after `end_pools`.
#[pyfunction]
pub fn strike_pools(number: i32) {
    for pool in errands::pools() {
        pool.strike(number);
    }
}
