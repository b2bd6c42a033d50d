//! Who runs what users have written for the ends of futures: the callbacks of a pool of processes, and handlers of its log records.
//!
//! A thread per pool, as with the standard library: callbacks of one pool run one after the other, and one that blocks, or that waits
//! for another pool, keeps nobody else waiting, least of all the completer, who starts workers and decides on retries. It is started
//! when there is something to call, by the completer, and leaves when there was nothing for a while, or the pool's end is waited for.

use crate::future::FutureBase;
use crate::remote::RemoteJob;
use crate::shared::Shared;
use crate::{complete, errands};
use crossbeam_queue::SegQueue;
use forkful_core::deadline::Deadline;
use forkful_core::procs::{Kept, Pool};
use forkful_core::sys::{Cover, Slept, Word, spin_until};
use pyo3::prelude::*;
use std::cell::Cell;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How long a caller without work stays: long enough for a program that hands out a task whenever one is done.
const LINGER: Duration = Duration::from_millis(100);

/// How long a waiter lets callbacks go on, in nanoseconds: at least, and at most. The standard library's may wait for the calls of all
/// earlier futures to end, however long they take, as one thread makes them and sets the results; a call that draws a bar takes some
/// ms on a machine that is busy. But where a call itself waits for what the waiter has, each of them is waited for in vain.
const PATIENCE: (u64, u64) = (5_000_000, 100_000_000);

enum Wanted {
    /// Callbacks of a future, whose pool is kept so long.
    Calls(Py<FutureBase>, Vec<Py<PyAny>>, Kept<RemoteJob>),
    /// A worker's log record.
    Record(Vec<u8>),
}

/// What is to be called for a pool, and whether somebody does.
pub struct Caller {
    wanted: SegQueue<Wanted>,
    /// Rises with everything that is wanted.
    word: Word,
    asleep: AtomicBool,
    /// Whether a thread is here, or was asked for.
    here: AtomicBool,
    /// Whether it shall leave as soon as there is nothing to do.
    let_go: AtomicBool,
    /// Whether a waiter has waited in vain for the call that is being made.
    takes_long: AtomicBool,
    /// See [`PATIENCE`]. Small after a wait in vain, and larger with each call that ends in time.
    patience: AtomicU64,
}

impl Caller {
    /// For a new pool.
    pub const fn new() -> Caller {
        Caller {
            wanted: SegQueue::new(),
            word: Word::new(0),
            asleep: AtomicBool::new(false),
            here: AtomicBool::new(false),
            let_go: AtomicBool::new(false),
            takes_long: AtomicBool::new(false),
            patience: AtomicU64::new(PATIENCE.1),
        }
    }

    /// How long a waiter lets a call go on; `None`: the one that runs has been waited for in vain.
    pub fn patience(&self) -> Option<u64> {
        let takes_long = self.takes_long.load(Ordering::SeqCst);
        (!takes_long).then(|| self.patience.load(Ordering::Relaxed))
    }

    /// Somebody has waited in vain for the call that runs.
    pub fn takes_long(&self) {
        self.takes_long.store(true, Ordering::SeqCst);
        self.patience.store(PATIENCE.0, Ordering::Relaxed);
    }

    /// A call is over. Only the caller itself says so.
    fn has_called(&self) {
        if !self.takes_long.swap(false, Ordering::SeqCst) {
            let longer = self.patience.load(Ordering::Relaxed) * 2;
            self.patience
                .store(longer.min(PATIENCE.1), Ordering::Relaxed);
        }
    }

    fn wake(&self) {
        self.word.fetch_add(1, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.word.wake(1);
        }
    }
}

thread_local! {
    /// In a caller: its pool.
    static ON_DUTY: Cell<*const Pool<RemoteJob>> = const { Cell::new(ptr::null()) };
}

/// Whether the calling thread is running a callback of this pool, and so can't wait for its end.
pub fn is_inside(pool: &Arc<Pool<RemoteJob>>) -> bool {
    ptr::eq(ON_DUTY.get(), Arc::as_ptr(pool))
}

/// Has these callbacks called. Needs no interpreter.
pub fn call(
    shared: &Arc<Shared>,
    future: Py<FutureBase>,
    calls: Vec<Py<PyAny>>,
    kept: Kept<RemoteJob>,
) {
    put(shared, Wanted::Calls(future, calls, kept));
}

/// Has this log record handled.
pub fn handle(shared: &Arc<Shared>, record: Vec<u8>) {
    put(shared, Wanted::Record(record));
}

fn put(shared: &Arc<Shared>, wanted: Wanted) {
    let caller = &shared.caller;
    caller.wanted.push(wanted);
    caller.wake();
    if !caller.here.swap(true, Ordering::SeqCst) {
        errands::hire(shared.clone());
    }
}

/// The place of a caller, for the thread that takes it.
#[pyclass(frozen, module = "forkful._engine")]
pub struct CallerPlace {
    shared: Arc<Shared>,
}

#[pymethods]
impl CallerPlace {
    /// The thread's life.
    fn serve(&self, py: Python<'_>) {
        serve(py, &self.shared, LINGER);
    }
}

/// Sends a thread to a pool that has something to call; where there can be none, the completer does it itself.
pub fn start(py: Python<'_>, shared: Arc<Shared>) {
    let place = CallerPlace {
        shared: shared.clone(),
    };
    let started = errands::words(py)
        .and_then(|words| words.hire.bind(py).call1((shared.number, place)).map(drop));
    if started.is_err() {
        serve(py, &shared, Duration::ZERO);
    }
}

fn serve(py: Python<'_>, shared: &Arc<Shared>, linger: Duration) {
    let _cover = Cover::enter();
    let before = ON_DUTY.replace(Arc::as_ptr(&shared.pool));
    let generation = forkful_core::fork::generation();
    let caller = &shared.caller;
    while !crate::exit::over() {
        let seen = caller.word.load(Ordering::SeqCst);
        // What a callback's forked child finds here is its parent's.
        while generation == forkful_core::fork::generation()
            && let Some(wanted) = caller.wanted.pop()
        {
            run(py, wanted, generation);
            caller.has_called();
        }
        if generation != forkful_core::fork::generation() {
            break;
        }
        errands::sweep(py);
        if !caller.let_go.load(Ordering::SeqCst) && rest(py, caller, seen, linger) {
            continue;
        }
        caller.here.store(false, Ordering::SeqCst);
        if caller.wanted.is_empty() || caller.here.swap(true, Ordering::SeqCst) {
            ON_DUTY.set(before);
            return;
        }
    }
    caller.here.store(false, Ordering::SeqCst);
    ON_DUTY.set(before);
}

/// Waits until more is wanted; `false`: nothing was, for so long.
fn rest(py: Python<'_>, caller: &Caller, seen: u32, linger: Duration) -> bool {
    let changed = || caller.word.load(Ordering::SeqCst) != seen;
    py.detach(|| {
        if linger.is_zero() || spin_until(changed) {
            return changed();
        }
        let deadline = Deadline::after(linger);
        loop {
            caller.asleep.store(true, Ordering::SeqCst);
            if changed() {
                break;
            }
            if caller.word.sleep(seen, deadline) == Slept::TimedOut {
                break;
            }
        }
        caller.asleep.store(false, Ordering::SeqCst);
        changed()
    })
}

fn run(py: Python<'_>, wanted: Wanted, generation: u32) {
    match wanted {
        Wanted::Calls(future, calls, kept) => {
            let bound = future.bind(py);
            future.get().begins_calls();
            for call in calls {
                if generation != forkful_core::fork::generation() {
                    break;
                }
                if let Err(error) = complete::call_back(bound, call.bind(py)) {
                    error.write_unraisable(py, Some(bound));
                }
            }
            future.get().has_called();
            drop(kept);
        }
        Wanted::Record(record) => errands::handle_record(py, &record),
    }
}

/// Has the caller of a pool that is finished leave without lingering.
pub fn release(caller: &Caller) {
    if !caller.let_go.swap(true, Ordering::SeqCst) {
        caller.wake();
    }
}

/// Lets the caller go as soon as it has nothing to do; whether it can be waited for: not by itself, nor by who would have to send it.
pub fn let_go(shared: &Shared) -> bool {
    release(&shared.caller);
    !is_inside(&shared.pool) && !errands::is_completer()
}

/// Whether a caller is here, or on its way.
pub fn is_here(shared: &Shared) -> bool {
    shared.caller.here.load(Ordering::SeqCst)
}
