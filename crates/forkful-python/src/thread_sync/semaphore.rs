//! A semaphore, with or without a bound.

use super::{in_time, limit, park};
use forkful_core::sync::{Permits, permits};
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use std::sync::atomic::{AtomicU64, Ordering};

/// The compiled part of `forkful.threading.Semaphore` and `BoundedSemaphore`.
#[pyclass(frozen, subclass, module = "forkful._engine")]
pub struct SemaphoreBase {
    permits: Permits,
    /// What it began with.
    initial: AtomicU64,
    /// How many there may be.
    most: AtomicU64,
}

impl SemaphoreBase {
    fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

#[pymethods]
impl SemaphoreBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        SemaphoreBase {
            permits: Permits::new(1),
            initial: AtomicU64::new(1),
            most: AtomicU64::new(permits::MOST),
        }
    }

    #[pyo3(signature = (value))]
    fn __init__(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if value.lt(0)? {
            return Err(PyValueError::new_err(
                "semaphore initial value must be >= 0",
            ));
        }
        let count = value.extract::<u64>()?;
        if count > permits::MOST {
            return Err(PyOverflowError::new_err(
                "semaphore initial value too large",
            ));
        }
        self.permits.set(count);
        self.initial.store(count, Ordering::Relaxed);
        Ok(())
    }

    /// From here on there may be no more than there were to begin with.
    fn _bind(&self) {
        self.most
            .store(self.initial.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    #[pyo3(
        signature = (blocking=None, timeout=None),
        text_signature = "($self, blocking=True, timeout=None)"
    )]
    fn acquire(
        &self,
        py: Python<'_>,
        blocking: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        let blocking = blocking.map_or(Ok(true), Bound::is_truthy)?;
        if !blocking && timeout.is_some() {
            return Err(PyValueError::new_err(
                "can't specify timeout for non-blocking acquire",
            ));
        }
        if self.permits.try_acquire() {
            return Ok(true);
        }
        if !blocking {
            return Ok(false);
        }
        let deadline = limit::deadline(timeout)?;
        in_time(self.permits.acquire(|parker| park(py, parker, deadline)))
    }

    #[pyo3(
        signature = (blocking=None, timeout=None),
        text_signature = "($self, blocking=True, timeout=None)"
    )]
    fn __enter__(
        &self,
        py: Python<'_>,
        blocking: Option<&Bound<'_, PyAny>>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<bool> {
        self.acquire(py, blocking, timeout)
    }

    #[pyo3(signature = (n=1))]
    fn release(&self, n: i64) -> PyResult<()> {
        if n < 1 {
            return Err(PyValueError::new_err("n must be one or more"));
        }
        let too_many = |_| PyValueError::new_err("Semaphore released too many times");
        self.permits
            .release(n.unsigned_abs(), self.most())
            .map_err(too_many)
    }

    #[getter]
    fn _value(&self) -> u64 {
        self.permits.available()
    }

    #[setter(_value)]
    fn set_value(&self, value: u64) {
        // Private, but read and now and then set by programs, which hold no lock of ours either way.
        let now = self.permits.available();
        if value >= now {
            let _ = self.permits.release(value - now, permits::MOST);
        } else {
            (value..now).for_each(|_| _ = self.permits.try_acquire());
        }
    }

    #[getter]
    fn _initial_value(&self) -> u64 {
        self.initial.load(Ordering::Relaxed)
    }

    fn _at_fork_reinit(&self) {
        self.permits.reset(self.permits.available());
    }
}
