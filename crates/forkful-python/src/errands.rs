//! What only a thread of the interpreter can do, and the thread that does it: callbacks of remote futures, conditions, log records, and
//! the last references to what has come back.
//!
//! Drainers hold no interpreter's lock. They leave here what needs it; the completer, one thread per process, serves it, and drains for
//! those who can't do it themselves.

use crate::future::FutureBase;
use crate::home;
use crate::procs;
use crate::remote::{self, Remote};
use crate::shared::Shared;
use crate::value::Value;
use crate::{complete, errors};
use crossbeam_queue::SegQueue;
use forkful_core::deadline::Deadline;
use forkful_core::procs::pool::UP;
use forkful_core::procs::record::Call;
use forkful_core::sys::{Cover, Lock, spin_until};
use forkful_core::wire::{Bell, SAID_LOG};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyBytes;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

type Grave = (Option<Py<FutureBase>>, Option<Py<PyAny>>);

/// One thing to do.
pub enum Errand {
    /// Callbacks that are due.
    Call(Py<FutureBase>, Vec<Py<PyAny>>),
    /// A future with a condition to be held.
    Finish(Py<FutureBase>, Value, bool),
    /// A task that may be tried again.
    Decide(Py<FutureBase>, Box<Remote>, Call),
    /// A task that the pool's end has cancelled.
    Cancel(Py<FutureBase>),
    /// Words of a worker or a nursery.
    Said(u16, Vec<u8>),
}

struct Office {
    errands: SegQueue<Errand>,
    graves: SegQueue<Grave>,
    buried: AtomicUsize,
    values: SegQueue<Value>,
    pools: Lock<Vec<Weak<Shared>>>,
    bell: Lock<Option<(u32, Arc<Bell>)>>,
    serving: AtomicU32,
}

fn office() -> &'static Office {
    static OFFICE: OnceLock<Office> = OnceLock::new();
    OFFICE.get_or_init(|| Office {
        errands: SegQueue::new(),
        graves: SegQueue::new(),
        buried: AtomicUsize::new(0),
        values: SegQueue::new(),
        pools: Lock::new(Vec::new()),
        bell: Lock::new(None),
        serving: AtomicU32::new(u32::MAX),
    })
}

/// What the package does where the engine has only facts.
pub struct Words {
    /// Makes an exception of a task's end.
    pub from_end: Py<PyAny>,
    /// Handles a worker's log record.
    pub handle_record: Py<PyAny>,
    /// Does what was put off until a nursery is up.
    pub nursery_is_up: Py<PyAny>,
}

static WORDS: PyOnceLock<Words> = PyOnceLock::new();

/// Says what makes an exception of a task's end, what handles a worker's log record, and what was put off until a nursery is up.
#[pyfunction]
pub fn set_words(
    py: Python<'_>,
    from_end: Py<PyAny>,
    handle_record: Py<PyAny>,
    nursery_is_up: Py<PyAny>,
) {
    let words = Words {
        from_end,
        handle_record,
        nursery_is_up,
    };
    let _ = WORDS.set(py, words);
}

/// What `set_words` was given.
pub fn words(py: Python<'_>) -> PyResult<&'static Words> {
    WORDS.get(py).ok_or_else(|| {
        pyo3::exceptions::PyRuntimeError::new_err("forkful.futures.process was not imported")
    })
}

/// Leaves an errand, and wakes the completer.
pub fn add(errand: Errand) {
    office().errands.push(errand);
    if let Some((_, bell)) = &*office().bell.lock() {
        bell.ring();
    }
}

/// Wakes the completer.
pub fn wake() {
    if let Some((_, bell)) = &*office().bell.lock() {
        bell.kick();
    }
}

/// Leaves references that may only be dropped under the interpreter's lock.
pub fn bury(future: Option<Py<FutureBase>>, func: Option<Py<PyAny>>) {
    if future.is_some() || func.is_some() {
        office().graves.push((future, func));
        office().buried.fetch_add(1, Ordering::Relaxed);
    }
}

/// Leaves a value likewise.
pub fn drop_value(value: Value) {
    office().values.push(value);
}

/// Drops what lies here.
pub fn sweep(_py: Python<'_>) {
    if office().buried.load(Ordering::Relaxed) == 0 && office().values.is_empty() {
        return;
    }
    office().buried.store(0, Ordering::Relaxed);
    while let Some(grave) = office().graves.pop() {
        drop(grave);
    }
    while let Some(value) = office().values.pop() {
        drop(value);
    }
}

/// This process's bell; a forked child makes its own.
pub fn bell() -> std::io::Result<Arc<Bell>> {
    let generation = forkful_core::fork::generation();
    if let Some((born, bell)) = &*office().bell.lock()
        && *born == generation
    {
        return Ok(bell.clone());
    }
    let bell = Arc::new(Bell::create()?);
    *office().bell.lock() = Some((generation, bell.clone()));
    Ok(bell)
}

/// Serves a pool from now on.
pub fn register(pool: &Arc<Shared>) {
    let mut pools = office().pools.lock();
    pools.retain(|pool| pool.strong_count() > 0);
    pools.push(Arc::downgrade(pool));
}

/// Whether the caller, who has just made a pool, has to start the completer's thread.
#[pyfunction]
pub fn claim_completer() -> bool {
    let generation = forkful_core::fork::generation();
    // Under the lock under which the completer decides to end.
    let _pools = office().pools.lock();
    office().serving.swap(generation, Ordering::SeqCst) != generation
}

/// Whether there is nothing to serve any more; then the completer must end, and the next pool starts another.
fn may_end() -> bool {
    let mut pools = office().pools.lock();
    pools.retain(|pool| {
        pool.upgrade()
            .is_some_and(|pool| !pool.pool.is_finished() && !pool.pool.is_inherited())
    });
    let end = pools.is_empty() && office().errands.is_empty();
    if end {
        office().serving.store(u32::MAX, Ordering::SeqCst);
    }
    end
}

/// In a forked child: what the parent had to do is the parent's.
pub fn after_in_child() {
    let office = office();
    std::mem::forget(office.pools.reset(Vec::new()));
    std::mem::forget(office.bell.reset(None));
    while let Some(errand) = office.errands.pop() {
        std::mem::forget(errand);
    }
}

/// The completer's life: the target of its thread.
#[pyfunction]
pub fn serve(py: Python<'_>) -> PyResult<()> {
    let _cover = Cover::enter();
    let bell = bell()?;
    let generation = forkful_core::fork::generation();
    while !crate::exit::over() && generation == forkful_core::fork::generation() {
        let wanted = py.detach(|| {
            let seen = bell.now();
            let pools: Vec<_> = office()
                .pools
                .lock()
                .iter()
                .filter_map(Weak::upgrade)
                .collect();
            let mut found = false;
            for pool in &pools {
                if !pool.pool.is_inherited() {
                    found |= pool.pool.drain();
                }
            }
            let wanted: Vec<_> = pools
                .into_iter()
                .filter(|pool| pool.pool.wants_nursery())
                .collect();
            let idle =
                || office().errands.is_empty() && office().buried.load(Ordering::Relaxed) == 0;
            if !wanted.is_empty() || !idle() || crate::exit::over() {
                return wanted;
            }
            if !found || !spin_until(|| bell.now() != seen) {
                bell.sleep(seen, Deadline::NEVER);
            }
            wanted
        });
        for pool in wanted {
            procs::relaunch(py, &pool);
        }
        // Not more than there are now: a callback may add to them for ever.
        for _ in 0..office().errands.len() {
            let Some(errand) = office().errands.pop() else {
                break;
            };
            run(py, errand);
        }
        sweep(py);
        if py.detach(may_end) {
            sweep(py);
            break;
        }
    }
    Ok(())
}

fn run(py: Python<'_>, errand: Errand) {
    let home = match &errand {
        Errand::Finish(future, ..) | Errand::Decide(future, ..) | Errand::Cancel(future) => {
            home::find(future.get().home())
        }
        Errand::Call(..) | Errand::Said(..) => None,
    };
    perform(py, errand);
    if let Some(home) = home {
        home.kick();
    }
}

fn perform(py: Python<'_>, errand: Errand) {
    match errand {
        Errand::Call(future, calls) => {
            let future = future.bind(py);
            for call in calls {
                if let Err(error) = complete::call_back(future, call.bind(py)) {
                    error.write_unraisable(py, Some(future));
                }
            }
        }
        Errand::Finish(future, value, raised) => {
            let future = future.bind(py);
            match complete::finish_value(future, value, raised) {
                Ok(Ok(verdict)) => {
                    if verdict == forkful_core::future::Finish::Tell {
                        future.get().core.state().tell();
                    }
                    if let Err(error) = complete::fire(future) {
                        error.write_unraisable(py, Some(future));
                    }
                }
                Ok(Err(error)) => error.write_unraisable(py, Some(future)),
                Err(_) => {}
            }
        }
        Errand::Decide(future, remote, call) => remote::decide(py, future, remote, call),
        Errand::Cancel(future) => {
            if let Err(error) = FutureBase::cancel_here(future.bind(py)) {
                error.write_unraisable(py, Some(future.bind(py)));
            }
        }
        Errand::Said(SAID_LOG, bytes) => {
            let handled = words(py).and_then(|words| {
                words
                    .handle_record
                    .bind(py)
                    .call1((PyBytes::new(py, &bytes),))
            });
            if let Err(error) = handled {
                errors::log(
                    py,
                    "exception",
                    "a log record of a worker could not be handled",
                    None,
                    error,
                );
            }
        }
        Errand::Said(UP, _) => {
            let done = words(py).and_then(|words| words.nursery_is_up.bind(py).call0());
            if let Err(error) = done {
                error.write_unraisable(py, None);
            }
        }
        Errand::Said(_, bytes) => {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let warned = py.import("warnings").and_then(|warnings| {
                warnings.call_method1(
                    "warn",
                    (text, py.get_type::<pyo3::exceptions::PyRuntimeWarning>()),
                )
            });
            if let Err(error) = warned {
                error.write_unraisable(py, None);
            }
        }
    }
}
