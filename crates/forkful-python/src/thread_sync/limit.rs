//! A timeout, with the errors that the standard library's locks raise for those that they can't take.

use forkful_core::deadline::Deadline;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyInt};
use std::time::Duration;

/// Timeouts beyond are asked of the standard library, which says in each version's words what is wrong with them.
const PLAIN: f64 = 1e9;

/// `None` for ever, negative or zero for "don't wait".
pub fn deadline(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Deadline> {
    match timeout {
        None => Ok(Deadline::NEVER),
        Some(timeout) => Ok(
            seconds(timeout)?.map_or(Deadline::after(Duration::ZERO), |seconds| {
                Deadline::after(Duration::from_secs_f64(seconds))
            }),
        ),
    }
}

/// So many seconds, `None` where there is nothing to wait for.
fn seconds(timeout: &Bound<'_, PyAny>) -> PyResult<Option<f64>> {
    if timeout.is_exact_instance_of::<PyFloat>() || timeout.is_exact_instance_of::<PyInt>() {
        let seconds = timeout.extract::<f64>().unwrap_or(f64::INFINITY);
        if seconds.is_nan() || seconds <= 0.0 {
            return Ok(None);
        }
        if seconds < PLAIN {
            return Ok(Some(seconds));
        }
    } else if !timeout.gt(0)? {
        return Ok(None);
    }
    // A lock that nobody has is taken at once, whatever the timeout, unless it is none.
    let lock = timeout
        .py()
        .import("_thread")?
        .call_method0("allocate_lock")?;
    lock.call_method1("acquire", (true, timeout))?;
    // What it takes is a number, or can be made one.
    let seconds = match timeout.extract::<f64>() {
        Ok(seconds) => seconds,
        Err(_) => timeout.call_method0("__index__")?.extract()?,
    };
    Ok(Some(seconds.clamp(0.0, 1e15)))
}

/// Whether it is less than nothing, for those who refuse that.
pub fn is_negative(timeout: &Bound<'_, PyAny>) -> PyResult<bool> {
    if timeout.is_exact_instance_of::<PyFloat>() {
        return Ok(timeout.extract::<f64>()? < 0.0);
    }
    timeout.lt(0)
}
