//! Locks and events of several processes as Python objects: one file per thing.
//!
//! The interpreter's lock is given up before a wait, and never taken with a lock of these in hand by the engine itself: what a program
//! does while it holds one is its own affair.

mod barrier;
mod condition;
mod event;
mod lock;
mod place;
mod semaphore;

use pyo3::prelude::*;

/// For tests: has this process killed at an instruction with a name, as if somebody had chosen that very moment.
#[pyfunction]
fn arm_crash(spec: &str) {
    forkful_core::sys::arm_crash(spec);
}

/// Adds the classes to the module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<lock::ProcessLock>()?;
    m.add_class::<lock::ProcessRLock>()?;
    m.add_class::<semaphore::ProcessSemaphore>()?;
    m.add_class::<event::ProcessEvent>()?;
    m.add_class::<condition::ProcessCondition>()?;
    m.add_class::<barrier::ProcessBarrier>()?;
    m.add_class::<place::CellFile>()?;
    m.add_function(wrap_pyfunction!(arm_crash, m)?)?;
    Ok(())
}
