//! The compiled module `forkful._engine`: the engine's things as Python objects, one file per thing.
//!
//! The bindings never decide: no timeout, size or policy is theirs. `unsafe` has one door here: `ffi`.

// What Python sees is documented in `_engine.pyi`, which stubtest compares with this module.
#![allow(missing_docs)]

mod complete;
mod crew;
mod detach;
mod errands;
mod errors;
mod exit;
mod ffi;
mod future;
mod gather;
mod home;
mod labour;
mod options;
mod owed;
mod plain;
mod pool;
mod process_pool;
mod procs;
mod remote;
mod runner;
mod shared;
mod stats;
mod value;
mod waiting;

use pyo3::prelude::*;

/// CPUs that this process may use: affinity and cgroup quota, at least 1.
#[pyfunction]
fn usable_cpus() -> u32 {
    forkful_core::sys::usable_cpus()
}

/// Registered with `os.register_at_fork`: makes the engine honest about what the child has inherited.
#[pyfunction]
fn after_fork_in_child() {
    detach::forget_main_thread();
    forkful_core::fork::after_in_child();
    home::after_in_child();
    owed::after_in_child();
    errands::after_in_child();
    forkful_core::procs::watcher::Watcher::after_in_child();
}

/// Has the kernel kill this process when `parent` ends; whether `parent` is still its parent.
#[pyfunction]
fn die_with(parent: i32) -> bool {
    forkful_core::sys::die_with(parent)
}

static GUARD: std::sync::Mutex<Option<forkful_core::sys::Guard>> = std::sync::Mutex::new(None);

/// Kills this process when that of a pidfd ends, however busy the interpreter is; the descriptor is the engine's. By a thread, until
/// `unwatch_parent`.
#[pyfunction]
fn watch_parent(pidfd: i32) -> PyResult<()> {
    let guard = forkful_core::sys::Guard::over(ffi::own_fd(pidfd))?;
    if let Ok(mut kept) = GUARD.lock() {
        *kept = Some(guard);
    }
    Ok(())
}

/// No more; the thread is gone.
#[pyfunction]
fn unwatch_parent(py: Python<'_>) {
    let guard = GUARD.lock().ok().and_then(|mut kept| kept.take());
    py.detach(|| guard.map(forkful_core::sys::Guard::end));
}

#[pymodule(gil_used = true)]
fn _engine(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add_class::<future::FutureBase>()?;
    m.add_class::<pool::ThreadPool>()?;
    m.add_class::<crew::Crew>()?;
    m.add_class::<options::TaskOptions>()?;
    m.add_class::<options::Optioned>()?;
    m.add_class::<runner::Worker>()?;
    m.add_class::<runner::Closer>()?;
    m.add_class::<gather::Gathering>()?;
    m.add_class::<process_pool::ProcessPool>()?;
    m.add_class::<procs::ProcessCrew>()?;
    m.add_class::<procs::ProcessRoster>()?;
    m.add_class::<procs::Link>()?;
    m.add_function(wrap_pyfunction!(labour::work, m)?)?;
    m.add_function(wrap_pyfunction!(labour::arrive, m)?)?;
    m.add_function(wrap_pyfunction!(labour::send_log, m)?)?;
    m.add_function(wrap_pyfunction!(labour::report_failure, m)?)?;
    m.add_function(wrap_pyfunction!(errands::serve, m)?)?;
    m.add_function(wrap_pyfunction!(errands::claim_completer, m)?)?;
    m.add_function(wrap_pyfunction!(errands::disclaim_completer, m)?)?;
    m.add_function(wrap_pyfunction!(errands::relieve_completer, m)?)?;
    m.add_function(wrap_pyfunction!(errands::set_words, m)?)?;
    m.add_function(wrap_pyfunction!(exit::pools_are_over, m)?)?;
    m.add_function(wrap_pyfunction!(die_with, m)?)?;
    m.add_function(wrap_pyfunction!(watch_parent, m)?)?;
    m.add_function(wrap_pyfunction!(unwatch_parent, m)?)?;
    m.add_function(wrap_pyfunction!(gather::wait_all, m)?)?;
    m.add_function(wrap_pyfunction!(gather::partition, m)?)?;
    m.add_function(wrap_pyfunction!(gather::has_failed, m)?)?;
    m.add_function(wrap_pyfunction!(pool::set_future_class, m)?)?;
    m.add_function(wrap_pyfunction!(exit::interpreter_exits, m)?)?;
    m.add_function(wrap_pyfunction!(usable_cpus, m)?)?;
    m.add_function(wrap_pyfunction!(after_fork_in_child, m)?)?;
    Ok(())
}
