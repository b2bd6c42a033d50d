//! The workers of a pool, for whoever must not keep its executor.

use crate::remote::RemoteJob;
use forkful_core::procs::{Exit, Pool};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use std::sync::Arc;

/// A pool's workers. Keeps neither the executor nor its pool from ending.
#[pyclass(frozen, module = "forkful._engine")]
pub struct ProcessRoster {
    pub pool: Arc<Pool<RemoteJob>>,
}

#[pymethods]
impl ProcessRoster {
    /// (seat, pid) of the workers that live.
    fn pids(&self) -> Vec<(u32, i32)> {
        seats(&self.pool)
    }

    /// How a worker ended: "alive", "unknown", or its exit code, negative for a signal.
    fn exit_of<'py>(&self, py: Python<'py>, pid: i32) -> PyResult<Bound<'py, PyAny>> {
        if self.pool.pids().contains_key(&pid) {
            return "alive".into_bound_py_any(py);
        }
        match self.pool.exit_of(pid) {
            None | Some(Exit::Unknown) => "unknown".into_bound_py_any(py),
            Some(Exit::Code(code)) => code.into_bound_py_any(py),
            Some(Exit::Signal(signal)) => (-signal).into_bound_py_any(py),
        }
    }

    /// Whether the pool has ended.
    fn is_finished(&self) -> bool {
        self.pool.is_finished()
    }
}

/// (seat, pid) of each.
pub fn seats(pool: &Pool<RemoteJob>) -> Vec<(u32, i32)> {
    let swap = |(pid, seat)| (seat, pid);
    pool.pids().into_iter().map(swap).collect()
}
