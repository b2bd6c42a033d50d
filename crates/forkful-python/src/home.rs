//! What a future knows of the pool that it came from: a number, and what can be asked for it.

use crate::future::FutureBase;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::procs::Struck;
use forkful_core::sys::Lock;
use pyo3::prelude::*;
use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

/// The pool behind a future.
pub trait Home: Send + Sync {
    /// Its task was taken out of the queue by somebody else than a worker.
    fn job_taken(&self, py: Python<'_>, cancelled: bool);
    /// Its task was finished, and not by a worker.
    fn finished_elsewhere(&self, raised: bool);
    /// Whether this process was forked since, so that nobody here runs the task.
    fn is_inherited(&self) -> bool;
    /// Runs the task in the calling thread, if that is one of the pool's own and the task is still queued.
    fn run_here(&self, future: &Bound<'_, FutureBase>) -> bool;
    /// Lets another thread work while the calling one, if it is one of the pool's own, waits; until the guard is dropped.
    fn step_aside(&self, py: Python<'_>) -> Option<Box<dyn Any>>;
    /// The same until the calling thread's present task ends: for a wait whose end nobody here will see.
    fn step_aside_for_task(&self, py: Python<'_>);

    // What only a pool of processes is asked: see `REMOTE`.

    /// Takes in what workers have sent.
    fn poll(&self) {}
    /// Whether a worker has the task at this place.
    fn is_taken(&self, _place: u64) -> bool {
        false
    }
    /// Cancels, exactly, what no worker has.
    fn cancel(&self, _future: &FutureBase) -> bool {
        false
    }
    /// Has the worker killed that runs the task.
    fn kill(&self, _future: &FutureBase) -> Struck {
        Struck::Waiting
    }
    /// Blocks until `ready`, serving the others that wait; `Ok(false)`: somebody else serves, wait as the others do.
    fn lead(
        &self,
        _ready: &dyn Fn() -> bool,
        _deadline: Deadline,
        _interrupt: &mut dyn FnMut() -> PyResult<()>,
    ) -> Result<bool, WaitError<PyErr>> {
        Ok(false)
    }
    /// Has the background serve until the guard is dropped.
    fn interest(&self) -> Option<Box<dyn Any + Send>> {
        None
    }
    /// The same for good.
    fn interest_on(&self) {}
    /// How long a waiter lets callbacks go on, in nanoseconds; `None`: the one that runs just now is known to take long.
    fn patience(&self) -> Option<u64> {
        None
    }
    /// Somebody has waited for a callback in vain.
    fn calls_take_long(&self) {}
    /// Wakes whoever leads: a future was completed otherwise than by an outcome that he has read.
    fn kick(&self) {}
}

/// This bit of a number says that the pool's tasks are run by other processes.
pub const REMOTE: u32 = 1 << 31;

type Homes = Lock<(u32, HashMap<u32, Weak<dyn Home>>)>;

fn homes() -> &'static Homes {
    static HOMES: OnceLock<Homes> = OnceLock::new();
    HOMES.get_or_init(|| Lock::new((0, HashMap::new())))
}

/// The number of no pool: a future that its maker completes.
pub const NOWHERE: u32 = 0;

/// A new pool's number.
pub fn register<H: Home + 'static>(make: impl FnOnce(u32) -> Arc<H>) -> Arc<H> {
    register_as(0, make)
}

/// The same for a pool of processes.
pub fn register_remote<H: Home + 'static>(make: impl FnOnce(u32) -> Arc<H>) -> Arc<H> {
    register_as(REMOTE, make)
}

fn register_as<H: Home + 'static>(kind: u32, make: impl FnOnce(u32) -> Arc<H>) -> Arc<H> {
    let number = {
        let mut homes = homes().lock();
        loop {
            homes.0 = homes.0.wrapping_add(1) & !REMOTE;
            if homes.0 != NOWHERE && !homes.1.contains_key(&(homes.0 | kind)) {
                break homes.0 | kind;
            }
        }
    };
    let home = make(number);
    let weak: Weak<dyn Home> = Arc::downgrade(&home) as Weak<dyn Home>;
    homes().lock().1.insert(number, weak);
    home
}

/// The pool is gone.
pub fn unregister(number: u32) {
    let gone = homes().lock().1.remove(&number);
    drop(gone);
}

/// The pool with this number, as long as it lives.
pub fn find(number: u32) -> Option<Arc<dyn Home>> {
    if number == NOWHERE {
        return None;
    }
    homes().lock().1.get(&number)?.upgrade()
}

/// In a forked child: the list may have been locked by a thread that does not exist here.
pub fn after_in_child() {
    let list = homes().reset((0, HashMap::new()));
    *homes().lock() = list;
}
