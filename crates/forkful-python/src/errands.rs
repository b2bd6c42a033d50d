//! What only a thread of the interpreter can do, and the thread that does it: conditions, retries, workers that are wanted, and the
//! last references to what has come back.
//!
//! Drainers hold no interpreter's lock. They leave here what needs it; the completer, one thread per process, serves it, and drains for
//! those who can't do it themselves. Each errand of a task keeps its pool from ending, so whoever joins a pool finds all futures done,
//! and the completer does not end before. It calls nothing that a user has written to be called: that is the callers'.

use crate::callers::{self, Caller};
use crate::future::FutureBase;
use crate::hold::Hold;
use crate::once::Once;
use crate::procs::{self, ProcessCrew};
use crate::remote::{self, Remote, RemoteJob};
use crate::shared::Shared;
use crate::value::Value;
use crate::{complete, errors};
use crossbeam_queue::SegQueue;
use forkful_core::deadline::Deadline;
use forkful_core::procs::pool::UP;
use forkful_core::procs::post::{self, Found, Post, Served, Turn};
use forkful_core::procs::record::Call;
use forkful_core::procs::watcher::Watcher;
use forkful_core::procs::{Kept, Pool};
use forkful_core::sys::{Cover, Lock};
use forkful_core::wire::{Bell, SAID_LOG};
use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

type Grave = (
    Option<Py<FutureBase>>,
    Option<Py<PyAny>>,
    Option<Py<ProcessCrew>>,
);

/// One thing to do: something for a future, whose pool is kept so long.
pub struct Errand(
    pub Py<FutureBase>,
    pub Duty,
    pub Kept<RemoteJob>,
    pub Arc<Shared>,
);

/// What is to be done for a future.
pub enum Duty {
    /// To finish it under the condition that somebody holds over it.
    Finish(Value, bool),
    /// To say whether its task is tried again.
    Decide(Box<Remote>, Call, Py<ProcessCrew>),
    /// To cancel it under such a condition, as the pool's end has withdrawn its task.
    Cancel,
}

/// A pool at the post. Itself to the end, as workers may have something to say when nobody holds the rest of it any more.
#[derive(Clone)]
struct Client {
    pool: Arc<Pool<RemoteJob>>,
    shared: Weak<Shared>,
    caller: Arc<Caller>,
}

impl Served for Client {
    fn is_over(&self) -> bool {
        self.pool.is_finished() || self.pool.is_inherited()
    }
}

struct Office {
    errands: SegQueue<Errand>,
    /// Words of a worker or a nursery.
    said: SegQueue<(u16, Vec<u8>)>,
    /// Pools that have something to call, and nobody to do it.
    hires: SegQueue<Arc<Shared>>,
    graves: SegQueue<Grave>,
    buried: AtomicUsize,
    values: SegQueue<Value>,
    buffers: SegQueue<Vec<PyBuffer<u8>>>,
    holds: SegQueue<Hold>,
    post: Post<Client>,
    bell: Lock<Option<(u32, Arc<Bell>)>>,
}

fn office() -> &'static Office {
    static OFFICE: OnceLock<Office> = OnceLock::new();
    OFFICE.get_or_init(|| Office {
        errands: SegQueue::new(),
        said: SegQueue::new(),
        hires: SegQueue::new(),
        graves: SegQueue::new(),
        buried: AtomicUsize::new(0),
        values: SegQueue::new(),
        buffers: SegQueue::new(),
        holds: SegQueue::new(),
        post: Post::new(),
        bell: Lock::new(None),
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
    /// Starts the thread that makes a pool's calls.
    pub hire: Py<PyAny>,
    /// Reads a result that has brought descriptors.
    pub unpack: Py<PyAny>,
}

static WORDS: Once<Words> = Once::new();

/// Says what makes an exception of a task's end, what handles a worker's log record, what was put off until a nursery is up, what
/// starts a caller, and what reads a result with descriptors.
#[pyfunction]
pub fn set_words(
    py: Python<'_>,
    from_end: Py<PyAny>,
    handle_record: Py<PyAny>,
    nursery_is_up: Py<PyAny>,
    hire: Py<PyAny>,
    unpack: Py<PyAny>,
) {
    let words = Words {
        from_end,
        handle_record,
        nursery_is_up,
        hire,
        unpack,
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
    ring();
}

/// Has a caller sent to a pool, by the completer.
pub fn hire(shared: Arc<Shared>) {
    office().hires.push(shared);
    ring();
}

/// Leaves words of a worker or a nursery, and wakes the completer.
pub fn tell(kind: u16, words: Vec<u8>) {
    office().said.push((kind, words));
    ring();
}

fn ring() {
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
pub fn bury(
    future: Option<Py<FutureBase>>,
    func: Option<Py<PyAny>>,
    crew: Option<Py<ProcessCrew>>,
) {
    if future.is_some() || func.is_some() || crew.is_some() {
        office().graves.push((future, func, crew));
        office().buried.fetch_add(1, Ordering::Relaxed);
    }
}

/// Leaves the last hold of a shared object likewise, and wakes the completer: its end looks at every pool, of which one may be locked
/// here.
pub fn bury_hold(hold: Hold) {
    office().holds.push(hold);
    office().buried.fetch_add(1, Ordering::Relaxed);
    wake();
}

/// Leaves a value likewise.
pub fn drop_value(value: Value) {
    office().values.push(value);
}

/// Leaves views of somebody's buffers likewise. Soon, as they may be large.
pub fn bury_buffers(buffers: Vec<PyBuffer<u8>>) {
    if !buffers.is_empty() {
        office().buffers.push(buffers);
        office().buried.fetch_add(1, Ordering::Relaxed);
        wake();
    }
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
    while let Some(buffers) = office().buffers.pop() {
        drop(buffers);
    }
    while let Some(hold) = office().holds.pop() {
        drop(hold);
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
    let fresh = Arc::new(Bell::create()?);
    let mut place = office().bell.lock();
    // Two bells would mean that somebody sleeps by the one while the other is rung.
    if let Some((born, bell)) = &*place
        && *born == generation
    {
        return Ok(bell.clone());
    }
    *place = Some((generation, fresh.clone()));
    Ok(fresh)
}

/// Serves a pool from now on.
pub fn register(shared: &Arc<Shared>) {
    office().post.enlist(Client {
        pool: shared.pool.clone(),
        shared: Arc::downgrade(shared),
        caller: shared.caller.clone(),
    });
}

/// This process's own pools that have not ended.
pub fn pools() -> Vec<Arc<Pool<RemoteJob>>> {
    let mut clients = office().post.served();
    clients.retain(|client| !client.is_over());
    clients.into_iter().map(|client| client.pool).collect()
}

/// The ticket for `serve`, if the caller, who has just made a pool, has to start the completer's thread.
#[pyfunction]
pub fn claim_completer() -> Option<u64> {
    office().post.claim()
}

/// Lets the completer go if no pool is left; whether the last one that was started is about to end, or has. The watcher has ended then.
#[pyfunction]
pub fn relieve_completer(py: Python<'_>) -> bool {
    let vacant = office().post.relieve();
    if vacant {
        wake();
        py.detach(Watcher::rest);
    }
    vacant
}

/// Called by a caller who had to start it and could not.
#[pyfunction]
pub fn disclaim_completer() {
    office().post.give_back();
}

/// In a forked child: what the parent had to do is the parent's.
pub fn after_in_child() {
    let office = office();
    office.post.disown();
    std::mem::forget(office.bell.reset(None));
    while let Some(errand) = office.errands.pop() {
        std::mem::forget(errand);
    }
    while office.said.pop().is_some() {}
    while let Some(shared) = office.hires.pop() {
        std::mem::forget(shared);
    }
}

thread_local! {
    /// Whether this is the completer's thread.
    static SERVES: Cell<bool> = const { Cell::new(false) };
}

/// Whether the calling thread is the completer, which makes calls itself only where there can be no thread for them.
pub fn is_completer() -> bool {
    SERVES.get()
}

/// The completer's life: the target of its thread.
#[pyfunction]
pub fn serve(py: Python<'_>, ticket: u64) -> PyResult<()> {
    let _cover = Cover::enter();
    SERVES.set(true);
    let bell = bell()?;
    let generation = forkful_core::fork::generation();
    let over = || office().post.leave(ticket, is_idle);
    while !crate::exit::over() && generation == forkful_core::fork::generation() {
        if !attend(py, &bell, over) {
            break;
        }
    }
    sweep(py);
    Ok(())
}

fn is_idle() -> bool {
    office().errands.is_empty() && office().said.is_empty() && office().hires.is_empty()
}

/// A turn of the completer's, with what it finds to do; `false` when it is `over`.
fn attend(py: Python<'_>, bell: &Bell, over: impl Fn() -> bool + Send) -> bool {
    let turn = py.detach(|| {
        let fed = Cell::new(Deadline::NEVER);
        let until = || {
            // Nothing is held while it sleeps.
            let served = office().post.served().into_iter();
            served.fold(fed.get(), |until, client| {
                until.earlier(client.pool.patience())
            })
        };
        post::turn(bell, until, || look(&fed), over)
    });
    if let Turn::Work(wanted) = &turn {
        for shared in wanted {
            procs::relaunch(py, shared);
        }
        // Not more than there are now: a callback may add to them for ever.
        for _ in 0..office().errands.len() {
            let Some(errand) = office().errands.pop() else {
                break;
            };
            run(py, errand);
        }
        while let Some((kind, words)) = office().said.pop() {
            hear(py, kind, &words);
        }
        while let Some(shared) = office().hires.pop() {
            callers::start(py, shared);
        }
        sweep(py);
    }
    !matches!(turn, Turn::Over)
}

/// Takes in what has come, without the interpreter's lock; the work is pools without a nursery, and what lies in the office.
/// `fed` becomes when pools are to be looked at that were left to whoever is submitting.
fn look(fed: &Cell<Deadline>) -> Found<Vec<Arc<Shared>>> {
    let (mut lately, mut wanted) = (false, Vec::new());
    for client in office().post.served() {
        if client.pool.is_inherited() {
            continue;
        }
        if client.is_over() {
            callers::release(&client.caller);
        }
        if let Some(until) = client.pool.fed_until() {
            fed.set(fed.get().earlier(until));
        } else if client.pool.drain_and_stow() {
            lately = true;
        } else {
            client.pool.look_for_strays();
        }
        if client.pool.wants_midwife() {
            wanted.extend(client.shared.upgrade());
        }
    }
    let idle = is_idle() && office().buried.load(Ordering::Relaxed) == 0;
    if wanted.is_empty() && idle && !crate::exit::over() {
        Found::Nothing { lately }
    } else {
        Found::Work(wanted)
    }
}

fn run(py: Python<'_>, Errand(future, duty, kept, shared): Errand) {
    let bound = future.bind(py);
    let told = match duty {
        Duty::Decide(remote, call, crew) => {
            remote::decide(py, future.clone_ref(py), remote, call, crew);
            kept.pool().kick();
            return;
        }
        Duty::Finish(value, raised) => match complete::finish_value(bound, value, raised) {
            Ok(told) => told.map(|verdict| {
                if verdict == forkful_core::future::Finish::Tell {
                    future.get().core.state().tell();
                }
            }),
            Err(_) => Ok(()),
        },
        Duty::Cancel => FutureBase::cancel_untold(bound).map(drop),
    };
    if let Err(error) = told {
        error.write_unraisable(py, Some(bound));
    }
    kept.pool().kick();
    let mut calls = Vec::new();
    future.get().core.fire(|call| calls.push(call));
    if calls.is_empty() {
        future.get().has_called();
    } else {
        callers::call(&shared, future, calls, kept);
    }
}

/// A worker's log record, in a caller.
pub fn handle_record(py: Python<'_>, bytes: &[u8]) {
    let handled = words(py).and_then(|words| {
        words
            .handle_record
            .bind(py)
            .call1((PyBytes::new(py, bytes),))
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

/// Words of a worker or a nursery.
fn hear(py: Python<'_>, kind: u16, bytes: &[u8]) {
    if kind == SAID_LOG {
        // Of a pool that nobody holds any more.
        return handle_record(py, bytes);
    }
    if kind == UP {
        let done = words(py).and_then(|words| words.nursery_is_up.bind(py).call0());
        if let Err(error) = done {
            error.write_unraisable(py, None);
        }
        return;
    }
    let text = String::from_utf8_lossy(bytes).into_owned();
    // Where this thread stands, in the interpreter's own code, is not what the user should look at.
    let text = std::ffi::CString::new(text.replace('\0', "")).unwrap_or_default();
    let kind = py.get_type::<pyo3::exceptions::PyRuntimeWarning>();
    let place = c"forkful/futures/process.py";
    if let Err(error) = PyErr::warn_explicit(py, &kind, &text, place, 1, None, None) {
        error.write_unraisable(py, None);
    }
}
