//! The compiled module `forkful._engine`: the engine's things as Python objects, one file per thing.
//!
//! The bindings never decide: no timeout, size or policy is theirs. `unsafe` has one door here: `ffi`.

// What Python sees is documented in `_engine.pyi`, which stubtest compares with this module.
#![allow(missing_docs)]

mod board;
mod buffers;
mod callers;
mod channel;
mod complete;
mod connection;
mod crew;
mod death;
mod detach;
mod ending;
mod errands;
mod errors;
mod exit;
mod extras;
mod ffi;
mod future;
mod gather;
mod gil;
mod handle;
mod held;
mod hold;
mod home;
mod items;
mod kernel;
mod labour;
mod laden;
mod lending;
mod link;
mod manifest;
mod once;
mod options;
mod owed;
mod parcel;
mod plain;
mod pool;
mod process_pool;
mod procs;
mod queue_items;
mod remote;
mod roster;
mod route;
mod runner;
mod sealed;
mod shared;
mod shared_queue;
mod stats;
mod sync;
mod task;
mod thread_map;
mod thread_sync;
mod value;
mod waiting;

use pyo3::prelude::*;

/// CPUs that this process may use: affinity and cgroup quota, at least 1.
#[pyfunction]
fn usable_cpus() -> u32 {
    forkful_core::sys::usable_cpus()
}

/// Registered with `os.register_at_fork`: what is lent to this process becomes its own, so that the child has it as well.
#[pyfunction]
fn before_fork() {
    forkful_core::fork::before();
}

/// Registered with `os.register_at_fork`: makes the engine honest about what the child has inherited.
#[pyfunction]
fn after_fork_in_child() {
    detach::forget_main_thread();
    forkful_core::fork::after_in_child();
    forkful_core::sync::after_in_child();
    home::after_in_child();
    hold::after_in_child();
    owed::after_in_child();
    errands::after_in_child();
    forkful_core::procs::watcher::Watcher::after_in_child();
}

/// The SIGINTs that this process has received since the first call.
#[pyfunction]
fn interrupts() -> u64 {
    forkful_core::sys::interrupts()
}

#[pymodule(gil_used = true)]
fn _engine(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("__version__", env!("CARGO_PKG_VERSION"))?;
    m.add("optimised", !cfg!(debug_assertions))?;
    m.add_class::<future::FutureBase>()?;
    m.add_class::<pool::ThreadPool>()?;
    m.add_class::<crew::Crew>()?;
    m.add_class::<callers::CallerPlace>()?;
    m.add_class::<options::TaskOptions>()?;
    m.add_class::<options::Optioned>()?;
    m.add_class::<options::Gauge>()?;
    m.add_class::<route::Route>()?;
    m.add_class::<route::RouteTable>()?;
    m.add_class::<route::AutoPool>()?;
    m.add_class::<runner::Worker>()?;
    m.add_class::<runner::Closer>()?;
    m.add_class::<thread_map::ThreadMap>()?;
    m.add_class::<thread_map::Turn>()?;
    m.add_class::<gather::Gathering>()?;
    m.add_class::<process_pool::ProcessPool>()?;
    m.add_class::<procs::ProcessCrew>()?;
    m.add_class::<roster::ProcessRoster>()?;
    m.add_class::<link::Link>()?;
    m.add_class::<parcel::Parcel>()?;
    m.add_class::<handle::Handle>()?;
    m.add_class::<buffers::placed::Placed>()?;
    m.add_function(wrap_pyfunction!(held::hold, m)?)?;
    m.add_function(wrap_pyfunction!(held::queue_held, m)?)?;
    m.add_function(wrap_pyfunction!(held::take_held, m)?)?;
    m.add_function(wrap_pyfunction!(held::try_submit, m)?)?;
    m.add_function(wrap_pyfunction!(parcel::fetch_parcel, m)?)?;
    m.add_function(wrap_pyfunction!(parcel::can_push, m)?)?;
    m.add_function(wrap_pyfunction!(parcel::push_parcel, m)?)?;
    m.add_function(wrap_pyfunction!(handle::memfd_for_sharing, m)?)?;
    m.add_function(wrap_pyfunction!(handle::place_shared, m)?)?;
    m.add_function(wrap_pyfunction!(handle::adopt_shared, m)?)?;
    m.add_function(wrap_pyfunction!(handle::receive_shared, m)?)?;
    m.add_function(wrap_pyfunction!(handle::shared_file, m)?)?;
    m.add_function(wrap_pyfunction!(handle::shared_ticket, m)?)?;
    m.add_function(wrap_pyfunction!(handle::shared_memory, m)?)?;
    m.add_function(wrap_pyfunction!(handle::set_sharing, m)?)?;
    m.add_function(wrap_pyfunction!(hold::offer_shared, m)?)?;
    m.add_function(wrap_pyfunction!(hold::disinherit_shared, m)?)?;
    m.add_function(wrap_pyfunction!(labour::work, m)?)?;
    m.add_function(wrap_pyfunction!(items::call_items, m)?)?;
    m.add_function(wrap_pyfunction!(labour::arrive, m)?)?;
    m.add_function(wrap_pyfunction!(labour::send_log, m)?)?;
    m.add_function(wrap_pyfunction!(labour::report_failure, m)?)?;
    m.add_function(wrap_pyfunction!(options::itself, m)?)?;
    m.add_function(wrap_pyfunction!(errands::serve, m)?)?;
    m.add_function(wrap_pyfunction!(ending::join_pools, m)?)?;
    m.add_function(wrap_pyfunction!(ending::end_pools, m)?)?;
    m.add_function(wrap_pyfunction!(ending::interrupt_pools, m)?)?;
    m.add_function(wrap_pyfunction!(ending::strike_pools, m)?)?;
    m.add_function(wrap_pyfunction!(errands::claim_completer, m)?)?;
    m.add_function(wrap_pyfunction!(errands::disclaim_completer, m)?)?;
    m.add_function(wrap_pyfunction!(errands::relieve_completer, m)?)?;
    m.add_function(wrap_pyfunction!(errands::set_words, m)?)?;
    m.add_function(wrap_pyfunction!(exit::pools_are_over, m)?)?;
    m.add_function(wrap_pyfunction!(interrupts, m)?)?;
    m.add_function(wrap_pyfunction!(kernel::advice, m)?)?;
    m.add_function(wrap_pyfunction!(kernel::die_with, m)?)?;
    m.add_function(wrap_pyfunction!(kernel::watch_parent, m)?)?;
    m.add_function(wrap_pyfunction!(kernel::unwatch_parent, m)?)?;
    m.add_function(wrap_pyfunction!(kernel::guard_fork, m)?)?;
    m.add_function(wrap_pyfunction!(kernel::unguard_fork, m)?)?;
    m.add_function(wrap_pyfunction!(kernel::outlive_thread, m)?)?;
    m.add_function(wrap_pyfunction!(kernel::memfd_create, m)?)?;
    m.add_function(wrap_pyfunction!(kernel::pidfd_open, m)?)?;
    m.add_function(wrap_pyfunction!(kernel::pidfd_send_signal, m)?)?;
    m.add_function(wrap_pyfunction!(gather::wait_all, m)?)?;
    m.add_function(wrap_pyfunction!(gather::partition, m)?)?;
    m.add_function(wrap_pyfunction!(gather::has_failed, m)?)?;
    m.add_function(wrap_pyfunction!(gather::is_remote, m)?)?;
    m.add_function(wrap_pyfunction!(gather::refuse_inherited, m)?)?;
    m.add_function(wrap_pyfunction!(pool::set_future_class, m)?)?;
    m.add_function(wrap_pyfunction!(exit::interpreter_exits, m)?)?;
    m.add_function(wrap_pyfunction!(usable_cpus, m)?)?;
    m.add_function(wrap_pyfunction!(before_fork, m)?)?;
    m.add_function(wrap_pyfunction!(after_fork_in_child, m)?)?;
    m.add_class::<buffers::Lent>()?;
    // Made now, as a fork amid the making would leave the child a lock that is held for ever; as all classes that are added are.
    m.py().get_type::<buffers::kept::Kept>();
    sync::register(m)?;
    shared_queue::register(m)?;
    thread_sync::register(m)?;
    m.add_class::<connection::ConnectionBase>()?;
    m.add_class::<gil::GilSampler>()?;
    Ok(())
}
