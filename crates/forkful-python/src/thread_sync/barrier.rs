//! A barrier.

use super::{limit, park};
use crate::errors;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::sync::Parker;
use forkful_core::sync::gate::{Arrival, BROKEN, Gate};
use forkful_core::sys::Cover;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::sync::{Arc, OnceLock};

struct Terms {
    parties: usize,
    action: Option<Py<PyAny>>,
    timeout: Option<Py<PyAny>>,
}

/// The compiled part of `forkful.threading.Barrier`.
#[pyclass(frozen, subclass, module = "forkful._engine")]
pub struct BarrierBase {
    gate: Gate,
    terms: OnceLock<Terms>,
}

impl BarrierBase {
    fn terms(&self) -> PyResult<&Terms> {
        self.terms.get().ok_or_else(|| {
            PyRuntimeError::new_err("Barrier.__init__() was not called by a subclass")
        })
    }

    /// What the last one to come does before the gate opens.
    fn act(&self, py: Python<'_>, action: &Py<PyAny>) -> PyResult<()> {
        let _cover = Cover::enter();
        match action.call0(py) {
            Ok(_) => self.gate.open(),
            Err(error) => {
                self.gate.break_down(true);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Waits inside, as number `index`.
    fn wait_inside(
        &self,
        py: Python<'_>,
        parker: &Arc<Parker>,
        index: usize,
        deadline: Deadline,
    ) -> PyResult<usize> {
        let told = match park(py, parker, deadline) {
            Ok(()) => parker.told(),
            Err(WaitError::TimedOut) => match self.gate.give_up(parker, true) {
                0 => BROKEN,
                told => told,
            },
            Err(WaitError::Interrupted(error)) => {
                self.gate.give_up(parker, false);
                return Err(error);
            }
        };
        if told == BROKEN {
            return Err(errors::broken_barrier(py));
        }
        Ok(index)
    }
}

#[pymethods]
impl BarrierBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        BarrierBase {
            gate: Gate::default(),
            terms: OnceLock::new(),
        }
    }

    #[pyo3(signature = (parties, action=None, timeout=None))]
    fn __init__(
        &self,
        parties: i64,
        action: Option<Py<PyAny>>,
        timeout: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        if parties < 1 {
            return Err(PyValueError::new_err("parties must be > 0"));
        }
        let _ = self.terms.set(Terms {
            parties: parties as usize,
            action,
            timeout,
        });
        Ok(())
    }

    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<usize> {
        let terms = self.terms()?;
        let usual = terms.timeout.as_ref().map(|timeout| timeout.bind(py));
        let timeout = timeout.or(usual);
        let action = match &terms.action {
            Some(action) if action.is_truthy(py)? => Some(action),
            _ => None,
        };
        loop {
            match self.gate.arrive(terms.parties, action.is_some()) {
                Arrival::Broken => return Err(errors::broken_barrier(py)),
                Arrival::Last(index) => {
                    if let Some(action) = action {
                        self.act(py, action)?;
                    }
                    return Ok(index);
                }
                Arrival::Inside(parker, index) => {
                    let deadline = match limit::deadline(timeout) {
                        Ok(deadline) => deadline,
                        Err(error) => {
                            self.gate.give_up(&parker, false);
                            return Err(error);
                        }
                    };
                    let waited = self.wait_inside(py, &parker, index, deadline);
                    Parker::give(parker);
                    return waited;
                }
                Arrival::Door(parker) => {
                    let waited = park(py, &parker, Deadline::NEVER);
                    if let Err(WaitError::Interrupted(error)) = waited {
                        self.gate.leave_door(&parker);
                        return Err(error);
                    }
                }
            }
        }
    }

    fn reset(&self) {
        self.gate.reset();
    }

    fn abort(&self) {
        self.gate.break_down(false);
    }

    #[getter]
    fn parties(&self) -> PyResult<usize> {
        Ok(self.terms()?.parties)
    }

    #[getter]
    fn n_waiting(&self) -> usize {
        self.gate.waiting()
    }

    #[getter]
    fn broken(&self) -> bool {
        self.gate.is_broken()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(terms) = self.terms.get() {
            terms
                .action
                .iter()
                .try_for_each(|action| visit.call(action))?;
            terms
                .timeout
                .iter()
                .try_for_each(|timeout| visit.call(timeout))?;
        }
        Ok(())
    }
}
