//! A worker's loop: take a future, run its task, finish it, let its waiters go.

use crate::board;
use crate::complete;
use crate::crew::{Job, Shared};
use crate::future::{FutureBase, Task};
use crate::once::Once;
use crate::options::TaskOptions;
use crate::owed::Owed;
use crate::{errors, ffi};
use forkful_core::future::{Finish, Phase};
use forkful_core::sys::{Cover, Lock, Stamp, Word, thread_cpu_time};
use forkful_core::threads::{self, Berth, Pool, WorkerState};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// So many tasks run inside each other's waits on one thread; deeper ones get a thread of their own. A chain of 3,000 was fine
/// with bounds of 100 and 400, and overran the interpreter's recursion limit with none.
const NESTED_DEPTH: u32 = 64;

/// How often a worker that finds one task after the other gives another thread a turn, if one wants it.
const BREATH_NANOS: u64 = 1_000_000;

/// Enters the interpreter's own loop, which gives its lock up where another thread has asked for it long enough.
///
/// Tasks that are builtins never do, nor does the worker's loop. Giving the lock up and taking it back without looking would
/// starve the others: it wakes a waiter, who comes too late and begins to count his 5 ms anew.
pub fn breathe(py: Python<'_>) -> PyResult<()> {
    static NOTHING: Once<Py<PyAny>> = Once::new();
    let nothing = NOTHING.get_or_try_init(py, || {
        py.eval(c"lambda: None", None, None).map(Bound::unbind)
    })?;
    nothing.bind(py).call0().map(drop)
}

/// The worker that the calling thread is.
struct Active {
    worker: threads::Worker<Job>,
    shared: Arc<Shared>,
    depth: Cell<u32>,
    /// Keeps a compensating thread as long as the present task runs; see [`crate::home::Home::step_aside_for_task`].
    aside: RefCell<Option<Box<dyn Any>>>,
    /// Of a map whose reader is to look when the present task has ended.
    bell: RefCell<Option<Arc<Word>>>,
}

thread_local! {
    static ACTIVE: RefCell<Option<Rc<Active>>> = const { RefCell::new(None) };
}

fn active(number: u32) -> Option<Rc<Active>> {
    ACTIVE.with_borrow(|active| {
        active
            .as_ref()
            .filter(|active| active.shared.number == number)
            .cloned()
    })
}

/// Whether the calling thread is a worker of the pool with this number.
pub fn is_worker_of(number: u32) -> bool {
    active(number).is_some()
}

/// The pool of the calling thread, if it has this number.
pub fn shared_of_worker(number: u32) -> Option<Arc<Shared>> {
    active(number).map(|active| active.shared.clone())
}

/// Whether the calling thread is a worker of the pool with this number, and has not stepped aside for its present task yet.
pub fn may_step_aside_for_task(number: u32) -> bool {
    active(number).is_some_and(|active| active.aside.borrow().is_none())
}

/// Keeps a guard until the calling worker's present task ends.
pub fn stay_aside(guard: Box<dyn Any>) {
    ACTIVE.with_borrow(|active| {
        if let Some(active) = active {
            active.aside.replace(Some(guard));
        }
    });
}

/// Rings the bell of a map when the calling worker has given the interpreter's lock back, or has something else to do.
///
/// With the lock in the worker's hand, the reader would fall asleep a second time, on that lock.
pub fn ring_late(bell: &Arc<Word>) {
    let at_once = ACTIVE.with_borrow(|active| match active {
        Some(active) => active.bell.replace(Some(bell.clone())),
        None => Some(bell.clone()),
    });
    if let Some(bell) = at_once {
        board::ring(&bell);
    }
}

/// Runs something inside the wait of a worker of the pool with this number, in a context of its own; not if that is too deep,
/// or the calling thread none of its workers.
pub fn nested(py: Python<'_>, number: u32, run: impl FnOnce()) -> PyResult<()> {
    let Some(active) = active(number).filter(|active| active.depth.get() < NESTED_DEPTH) else {
        return Ok(());
    };
    active.depth.set(active.depth.get() + 1);
    let ran = ffi::in_fresh_context(py, run);
    active.depth.set(active.depth.get() - 1);
    ran
}

/// Runs a queued task inside the wait of a worker of the same pool for it, in a context of its own.
pub fn run_nested(shared: &Shared, future: &Bound<'_, FutureBase>) -> bool {
    let Some(active) = active(shared.number) else {
        return false;
    };
    // Begun inside the context: one that can't be made must not leave a begun task behind.
    let run = || {
        if let Some(task) = begin(future) {
            crate::home::Home::job_taken(shared, future.py(), false);
            finish_now(&active.worker, future, task);
        }
    };
    if let Err(error) = nested(future.py(), shared.number, run) {
        error.write_unraisable(future.py(), Some(future));
    }
    future.get().core.state().phase().is_done()
}

/// Runs a task and lets everybody know at once.
fn finish_now(worker: &threads::Worker<Job>, future: &Bound<'_, FutureBase>, task: Task) {
    if run(worker, future, task) == Finish::Tell {
        future.get().core.state().tell();
    }
    fire(future);
}

fn fire(future: &Bound<'_, FutureBase>) {
    if let Err(error) = complete::fire(future) {
        errors::log(future.py(), "critical", "Exception in worker", None, error);
    }
}

/// Runs a task, counts it, and finishes its future. The waiters are not told yet.
#[inline]
fn run(worker: &threads::Worker<Job>, future: &Bound<'_, FutureBase>, task: Task) -> Finish {
    let began = worker.job_begins(future.get().submitted());
    let outcome = match future.get().options() {
        None => call(future.py(), &task),
        Some(options) => call_with_options(future.py(), &task, options.get()),
    };
    drop(task);
    let raised = outcome.is_err();
    let value = outcome.unwrap_or_else(|error| {
        error
            .into_value(future.py())
            .into_bound(future.py())
            .into_any()
    });
    let _ = worker.job_ends(began, raised);
    match complete::finish(future, value, raised) {
        Ok(Ok(verdict)) => verdict,
        Ok(Err(error)) => {
            let instance = error.clone_ref(future.py()).into_value(future.py());
            complete::finish_regardless(future, instance.into_any());
            errors::log(future.py(), "critical", "Exception in worker", None, error);
            Finish::Tell
        }
        Err(phase) => {
            // Somebody else finished the running future: the standard library's worker dies of this; ours goes on.
            debug_assert_eq!(phase, Phase::Finished);
            worker.pool().counted_twice(raised);
            let text =
                "the result of a running task was set by somebody else; the task's own is dropped";
            errors::log(
                future.py(),
                "critical",
                text,
                None,
                PyRuntimeError::new_err(text),
            );
            Finish::Quiet
        }
    }
}

#[inline]
fn call<'py>(py: Python<'py>, task: &Task) -> PyResult<Bound<'py, PyAny>> {
    let args = task.args.bind(py);
    if let Ok(args) = args.cast_exact::<PyTuple>() {
        return ffi::call(task.func.bind(py), args, None);
    }
    let both = args.cast_exact::<PyList>()?;
    let (args, kwargs) = (both.get_item(0)?, both.get_item(1)?);
    ffi::call(
        task.func.bind(py),
        args.cast::<PyTuple>()?,
        Some(kwargs.cast::<PyDict>()?),
    )
}

/// The same with a meter, and again as often as the options allow.
fn call_with_options<'py>(
    py: Python<'py>,
    task: &Task,
    options: &TaskOptions,
) -> PyResult<Bound<'py, PyAny>> {
    let mut left = options.retries;
    loop {
        let before = options
            .is_metered()
            .then(|| (Stamp::now(), thread_cpu_time()));
        let outcome = call(py, task);
        if let Some((wall, cpu)) = before {
            let spent = thread_cpu_time().saturating_sub(cpu);
            options.record(Duration::from_nanos(Stamp::now().since(wall)), spent);
        }
        match outcome {
            Err(error) if left > 0 && error.matches(py, options.retry_on.bind(py))? => left -= 1,
            outcome => return outcome,
        }
    }
}

/// A worker before its thread runs.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Worker {
    shared: Arc<Shared>,
    berth: Lock<Option<Berth<Job>>>,
}

impl Worker {
    /// For this berth.
    pub fn new(shared: Arc<Shared>, berth: Berth<Job>) -> Worker {
        Worker {
            shared,
            berth: Lock::new(Some(berth)),
        }
    }

    fn initialise(&self, py: Python<'_>) -> PyResult<()> {
        if let Some((function, args)) = &self.shared.initializer {
            ffi::call(function.bind(py), args.bind(py), None)?;
        }
        Ok(())
    }

    /// The loop. Returns whether the pool goes on without this worker.
    fn work(&self, py: Python<'_>, active: &Active) -> bool {
        let (worker, pool) = (&active.worker, active.worker.pool());
        let mut late = Late::default();
        let mut breath = Stamp::now();
        loop {
            while let Some(job) = worker.next_job() {
                late.tell();
                let future = job.into_bound(py);
                if let Some(task) = begin(&future) {
                    pool.began();
                    let verdict = run(worker, &future, task);
                    if active.aside.borrow().is_some() {
                        active.aside.take();
                    }
                    late.future = (verdict == Finish::Tell).then(|| future.clone().unbind());
                    late.bell = active.bell.take();
                    if !future.get().core.hooks().is_empty() {
                        late.tell();
                        fire(&future);
                    }
                } else {
                    pool.popped_stale();
                }
                drop(future);
                if worker.now().since(breath) > BREATH_NANOS {
                    late.tell();
                    if let Err(error) = breathe(py) {
                        error.write_unraisable(py, None);
                    }
                    breath = worker.now();
                }
                if worker.is_surplus() && worker.leave() {
                    late.tell();
                    return true;
                }
            }
            worker.rest();
            rest(
                py,
                pool,
                late.future.take().map(Owed::keep),
                late.bell.take(),
            );
            breath = Stamp::now();
            if worker.rise() == WorkerState::Leave && worker.leave() {
                return pool.refusal().is_none();
            }
        }
    }
}

/// Begins a popped future; None if somebody else has, or it was cancelled.
#[inline]
fn begin(future: &Bound<'_, FutureBase>) -> Option<Task> {
    match complete::begin(future) {
        Ok(begun) => begun.flatten(),
        Err(error) => {
            errors::log(future.py(), "critical", "Exception in worker", None, error);
            future.get().core.begin().flatten()
        }
    }
}

/// A finished future whose waiters have not been told, and a map whose reader has not.
#[derive(Default)]
struct Late {
    future: Option<Py<FutureBase>>,
    bell: Option<Arc<Word>>,
}

impl Late {
    /// Tells them now, with the interpreter's lock in hand: something else is to be done first.
    #[inline]
    fn tell(&mut self) {
        if let Some(future) = self.future.take() {
            future.get().core.state().tell();
        }
        if let Some(bell) = self.bell.take() {
            board::ring(&bell);
        }
    }
}

/// Waits for news of the pool, having let the waiters of the last future go; without the interpreter's lock.
fn rest(py: Python<'_>, pool: &Pool<Job>, owed: Option<Owed>, bell: Option<Arc<Word>>) {
    let rested = py.detach(|| {
        if let Some(owed) = &owed {
            owed.tell();
        }
        if let Some(bell) = &bell {
            board::ring(bell);
        }
        if pool.spin() {
            return true;
        }
        // With nobody here to take the last reference over, it must be dropped before the sleep.
        let clean = owed.as_ref().is_none_or(|owed| !owed.is_left());
        if clean {
            pool.sleep();
        }
        clean
    });
    if let Some(owed) = owed {
        owed.forget(py);
    }
    if !rested {
        py.detach(|| pool.sleep());
    }
}

#[pymethods]
impl Worker {
    /// The target of the worker's thread.
    fn run(&self, py: Python<'_>) {
        let _cover = Cover::enter();
        let berth = self.berth.lock().take();
        let Some(worker) = berth.and_then(Berth::board) else {
            return;
        };
        let active = Rc::new(Active {
            worker,
            shared: self.shared.clone(),
            depth: Cell::new(0),
            aside: RefCell::new(None),
            bell: RefCell::new(None),
        });
        ACTIVE.set(Some(active.clone()));
        match self.initialise(py) {
            Ok(()) => {
                if self.work(py, &active) {
                    self.shared.left(py);
                }
            }
            Err(error) => {
                errors::log(py, "critical", "Exception in initializer:", None, error);
                let reason = "A thread initializer failed, the thread pool is not usable anymore";
                self.shared.break_down(py, reason);
            }
        }
        ACTIVE.set(None);
    }

    /// Its thread could not be started: the berth is given back. False: the thread is at work already.
    pub fn abandon(&self) -> bool {
        let berth = self.berth.lock().take();
        berth.is_some()
    }

    /// The handle by which the interpreter's exit ends the pool.
    fn closer(&self) -> Closer {
        Closer {
            pool: self.shared.pool.clone(),
        }
    }
}

/// Ends a pool, and knows nothing else of it: it is kept as long as the thread object, which the pool's roster keeps.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Closer {
    pool: Arc<Pool<Job>>,
}

#[pymethods]
impl Closer {
    /// Ends the pool: the standard library's exit hook calls this with `None`, as if it were a queue.
    #[pyo3(signature = (item=None))]
    fn put(&self, item: Option<&Bound<'_, PyAny>>) {
        let _ = item;
        self.pool.close();
    }
}
