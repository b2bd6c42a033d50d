//! A pool as Python sees it: what is queued, who is asked to start a thread, what a submission costs.

use crate::complete;
use crate::future::{FutureBase, Task};
use crate::home::{self, Home};
use crate::options::{Gauge, Optioned, TaskOptions};
use crate::runner::{self, Worker};
use crate::task::{contextual, task_of};
use crate::thread_map::{self, Turn};
use crate::{detach, errors, exit, ffi};
use forkful_core::error::Refusal;
use forkful_core::fork;
use forkful_core::future::Finish;
use forkful_core::stats::Meter;
use forkful_core::sys::{Lock, Stamp};
use forkful_core::threads::{Berth, Pool, Terms};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What waits in the queue: a future that holds its own task.
pub type Job = Py<FutureBase>;

/// What the executor, its views and its threads share; nobody of them keeps the executor itself alive.
pub struct Shared {
    pub number: u32,
    pub pool: Arc<Pool<Job>>,
    /// Called with a worker and its index: starts a thread whose target is `worker.run`.
    start: Py<PyAny>,
    /// Called by a worker that leaves while the pool goes on.
    left: Py<PyAny>,
    pub initializer: Option<(Py<PyAny>, Py<PyTuple>)>,
    propagate_context: bool,
    pub broken: Lock<String>,
    meters: Lock<BTreeMap<String, Arc<Meter>>>,
    /// How often everything that nobody had begun was cancelled.
    cancels: AtomicU32,
}

impl Drop for Shared {
    fn drop(&mut self) {
        home::unregister(self.number);
    }
}

impl Shared {
    /// Makes the future, queues it, and has a thread started if one is missing.
    #[inline]
    pub fn submit<'py>(
        self: &Arc<Self>,
        func: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
        options: Option<&Py<TaskOptions>>,
    ) -> PyResult<Bound<'py, FutureBase>> {
        let py = func.py();
        if options.is_none()
            && let Ok(optioned) = func.cast_exact::<Optioned>()
        {
            let Optioned { options, func } = optioned.get();
            return self.submit(func.bind(py), args, kwargs, Some(options));
        }
        if exit::begun() {
            return Err(errors::exiting());
        }
        let task = self.task(func, args, kwargs)?;
        let mut terms = Terms::default();
        if self.pool.is_bounded() {
            terms.counted = self.claim_room(py)?;
        }
        let future = self.future(py, task, options).inspect_err(|_| {
            if terms.counted {
                self.pool.return_room();
            }
        })?;
        if let Some(options) = options {
            terms.priority = options.get().priority;
        }
        self.queue(&future, terms)?;
        Ok(future)
    }

    /// A call as a task, in its submitter's context where that goes along.
    #[inline]
    pub fn task<'py>(
        &self,
        func: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Task> {
        if self.propagate_context {
            contextual(func, args, kwargs)
        } else {
            task_of(func.clone().unbind(), args, kwargs)
        }
    }

    /// The future that holds a task.
    #[inline]
    pub fn future<'py>(
        &self,
        py: Python<'py>,
        task: Task,
        options: Option<&Py<TaskOptions>>,
    ) -> PyResult<Bound<'py, FutureBase>> {
        let future = ffi::new_future(py, FutureBase::of_pool(task, self.number, Stamp::now()))?;
        if let Some(options) = options {
            future.get().set_options(options.clone_ref(py));
        }
        ffi::untrack(&future);
        Ok(future)
    }

    /// Queues a future, and has a thread started if one is missing.
    #[inline]
    fn queue(self: &Arc<Self>, future: &Bound<'_, FutureBase>, terms: Terms) -> PyResult<()> {
        let py = future.py();
        match self.pool.submit(future.clone().unbind(), terms) {
            Ok(None) => Ok(()),
            Ok(Some(berth)) => {
                if let Err(error) = self.start(py, berth) {
                    // With nobody there to run what waits, it is taken back: this task, and any that counted on this thread.
                    if !self.pool.has_workers() {
                        self.cancel_pending(py)?;
                        return Err(error);
                    }
                    // Otherwise somebody else will run it, and a system without room for one more thread is no error. Anything
                    // else, a Ctrl-C before all, is the caller's.
                    let no_room = error.is_instance_of::<PyRuntimeError>(py)
                        || error.is_instance_of::<PyMemoryError>(py);
                    if !no_room {
                        return Err(error);
                    }
                }
                Ok(())
            }
            Err(refused) => Err(self.refused(py, refused.refusal)),
        }
    }

    /// Why work is refused, as an exception.
    pub fn refused(&self, py: Python<'_>, refusal: Refusal) -> PyErr {
        let broken = self.broken.lock().clone();
        errors::refused(py, refusal, &broken)
    }

    /// Raises why work is refused, if it is.
    pub fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        if exit::begun() {
            return Err(errors::exiting());
        }
        match self.pool.refusal() {
            Some(refusal) => Err(self.refused(py, refusal)),
            None => Ok(()),
        }
    }

    /// Queues a turn at a map as a task.
    pub fn submit_turn(self: &Arc<Self>, turn: &Bound<'_, Turn>) -> PyResult<()> {
        self.queue(&self.future_of(turn)?, Terms::default())
    }

    /// The same from one of the pool's own threads, for items that were accepted before: the pool may be closed by now.
    pub fn queue_turn_again(&self, turn: &Bound<'_, Turn>, for_another: bool) -> PyResult<()> {
        let future = self.future_of(turn)?;
        drop(self.pool.queue_again(future.unbind(), for_another));
        Ok(())
    }

    fn future_of<'py>(&self, turn: &Bound<'py, Turn>) -> PyResult<Bound<'py, FutureBase>> {
        let py = turn.py();
        let args = PyTuple::empty(py).into_any().unbind();
        let func = turn.clone().into_any().unbind();
        let task = Task { func, args };
        ffi::new_future(py, FutureBase::of_pool(task, self.number, Stamp::now()))
    }

    /// Why what was accepted will not be run.
    pub fn why_cancelled(&self, py: Python<'_>) -> PyErr {
        match self.pool.refusal() {
            Some(Refusal::Broken) => self.refused(py, Refusal::Broken),
            _ => errors::cancelled(py),
        }
    }

    /// A number that changes when everything that nobody has begun is cancelled.
    #[inline]
    pub fn cancels(&self) -> u32 {
        // SYNC(crew.cancels): acquire
        self.cancels.load(Ordering::Acquire)
    }

    /// Whether each task has something of its own that items of a map, run by a few tasks, would not have.
    pub fn minds_each_task(&self) -> bool {
        self.propagate_context || self.pool.is_bounded()
    }

    /// Waits until there is room for one more task, and claims it. The pool's own threads never wait: they are who makes room.
    fn claim_room(&self, py: Python<'_>) -> PyResult<bool> {
        while !self.pool.claim_room() {
            if runner::is_worker_of(self.number) || self.pool.refusal().is_some() {
                return Ok(false);
            }
            // One that has come by now interrupts no sleep any more.
            py.check_signals()?;
            py.detach(|| self.pool.wait_for_room(detach::check_signals))?;
        }
        Ok(true)
    }

    /// Has a thread started.
    pub fn start(self: &Arc<Self>, py: Python<'_>, berth: Berth<Job>) -> PyResult<()> {
        let index = berth.index();
        let worker = Bound::new(py, Worker::new(self.clone(), berth))?;
        self.start
            .bind(py)
            .call1((&worker, index))
            .map(drop)
            .inspect_err(|_| {
                let _ = worker.get().abandon();
            })
    }

    /// Cancels everything that nobody has begun. All of it, whatever a callback raises; that is raised at the end.
    pub fn cancel_pending(&self, py: Python<'_>) -> PyResult<()> {
        if self.pool.is_inherited() {
            return Ok(());
        }
        // Before the queue is emptied: whoever is in a map's turn begins no more of it from here on.
        // SYNC(crew.cancels): release
        self.cancels.fetch_add(1, Ordering::Release);
        let mut outcome = Ok(());
        let jobs: Vec<Job> = std::iter::from_fn(|| self.pool.drain()).collect();
        for job in jobs {
            let cancelled = FutureBase::cancel(job.bind(py));
            self.pool.popped_stale();
            outcome = outcome.and(cancelled.map(drop));
        }
        outcome
    }

    /// A worker leaves while others go on.
    pub fn left(&self, py: Python<'_>) {
        if let Err(error) = self.left.bind(py).call0() {
            error.write_unraisable(py, None);
        }
    }

    /// An initializer failed: nothing that waits will run, nothing more is accepted.
    pub fn break_down(&self, py: Python<'_>, reason: &str) {
        *self.broken.lock() = reason.to_owned();
        self.pool.break_down();
        while let Some(job) = self.pool.drain() {
            self.fail(job.bind(py), reason);
        }
    }

    /// Fails what will not be run.
    pub fn fail(&self, job: &Bound<'_, FutureBase>, reason: &str) {
        let py = job.py();
        let error = errors::broken_pool_instance(py, reason);
        if let Ok(verdict) = complete::finish(job, error.into_bound(py), true) {
            if !matches!(verdict, Ok(Finish::Quiet)) {
                job.get().core.state().tell();
            }
            if let Err(error) = verdict.map(drop).and_then(|()| complete::fire(job)) {
                error.write_unraisable(py, Some(job));
            }
        }
    }

    fn meter(&self, name: &str) -> Arc<Meter> {
        self.meters
            .lock()
            .entry(name.to_owned())
            .or_default()
            .clone()
    }
}

impl Home for Shared {
    fn job_taken(&self, py: Python<'_>, cancelled: bool) {
        if self.pool.is_inherited() {
            // The queue may hold an entry that is half written: it is not touched here.
            return;
        }
        if self.pool.took_queued(cancelled) {
            let gone = self
                .pool
                .purge(|job| job.get().core.state().phase() as u32 != 0);
            let _ = py;
            drop(gone);
        }
    }

    fn finished_elsewhere(&self, raised: bool) {
        self.pool.finished_elsewhere(raised);
    }

    fn is_inherited(&self) -> bool {
        self.pool.is_inherited()
    }

    fn run_here(&self, future: &Bound<'_, FutureBase>) -> bool {
        runner::run_nested(self, future)
    }

    fn step_aside(&self, py: Python<'_>) -> Option<Box<dyn Any>> {
        let shared = runner::shared_of_worker(self.number)?;
        thread_map::stand_in(py, self.number);
        let (guard, berth) = self.pool.block();
        if let Some(berth) = berth
            && let Err(error) = shared.start(py, berth)
        {
            errors::log(py, "critical", "no thread for a nested wait", None, error);
        }
        Some(Box::new(guard))
    }

    fn step_aside_for_task(&self, py: Python<'_>) {
        if runner::may_step_aside_for_task(self.number)
            && let Some(guard) = self.step_aside(py)
        {
            runner::stay_aside(guard);
        }
    }
}

/// A pool: what `ThreadPoolExecutor` and its views hold.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Crew {
    pub shared: Arc<Shared>,
}

#[pymethods]
impl Crew {
    #[new]
    #[pyo3(signature = (limit, *, start, left, max_pending=0, propagate_context=false, initializer=None))]
    fn new(
        limit: u32,
        start: Py<PyAny>,
        left: Py<PyAny>,
        max_pending: u32,
        propagate_context: bool,
        initializer: Option<(Py<PyAny>, Py<PyTuple>)>,
    ) -> Crew {
        let pool = Arc::new(Pool::new(limit, max_pending));
        fork::register(&pool);
        let shared = home::register(|number| {
            Arc::new(Shared {
                number,
                pool,
                start,
                left,
                initializer,
                propagate_context,
                broken: Lock::new(String::new()),
                meters: Lock::new(BTreeMap::new()),
                cancels: AtomicU32::new(0),
            })
        });
        Crew { shared }
    }

    /// Submits with options, or without.
    #[pyo3(signature = (options, r#fn, /, *args, **kwargs))]
    fn submit<'py>(
        &self,
        options: Option<&Bound<'py, TaskOptions>>,
        r#fn: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, FutureBase>> {
        let _cover = forkful_core::sys::Cover::enter();
        self.shared
            .submit(r#fn, args, kwargs, options.map(Bound::as_unbound))
    }

    /// Options for tasks of this pool.
    #[pyo3(signature = (*, priority, retries, retry_on, name, gauge=None))]
    fn options(
        &self,
        priority: i32,
        retries: u32,
        retry_on: Py<PyAny>,
        name: Option<Bound<'_, PyString>>,
        gauge: Option<&Gauge>,
    ) -> PyResult<TaskOptions> {
        let meter = match &name {
            Some(name) => Some(self.shared.meter(name.to_str()?)),
            None => None,
        };
        Ok(TaskOptions {
            priority,
            retries,
            retry_on,
            name: name.map(Bound::unbind),
            meter,
            gauge: gauge.map(|gauge| gauge.meter.clone()),
            limits: None,
        })
    }

    /// Accepts no more work; what was accepted runs.
    fn close(&self) {
        self.shared.pool.close();
    }

    /// Cancels everything that nobody has begun.
    fn cancel_pending(&self, py: Python<'_>) -> PyResult<()> {
        self.shared.cancel_pending(py)
    }

    /// Waits until the last worker has left, those that are only on their way included. Call it after `close`.
    fn join(&self, py: Python<'_>) -> PyResult<()> {
        let _cover = forkful_core::sys::Cover::enter();
        py.detach(|| self.shared.pool.wait_for_end(detach::check_signals))
    }

    /// Shows the collector what only this crew holds; what threads hold as well lives as long as they do.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if Arc::strong_count(&self.shared) == 1 {
            visit.call(&self.shared.start)?;
            visit.call(&self.shared.left)?;
            if let Some((function, args)) = &self.shared.initializer {
                visit.call(function)?;
                visit.call(args)?;
            }
        }
        Ok(())
    }

    /// Why the pool is broken, if it is.
    fn broken(&self) -> Option<String> {
        let reason = self.shared.broken.lock().clone();
        (!reason.is_empty()).then_some(reason)
    }

    /// Tasks that nobody has begun.
    fn pending(&self) -> u32 {
        self.shared.pool.pending()
    }

    /// Workers without a task.
    fn idle(&self) -> u32 {
        self.shared.pool.idle()
    }

    /// Workers that wait for a task of this very pool, for each of which there may be one more.
    fn blocked(&self) -> u32 {
        self.shared.pool.blocked()
    }

    /// Whether this pool came here through a fork.
    fn is_inherited(&self) -> bool {
        self.shared.pool.is_inherited()
    }

    /// Everything that is counted; see `_stats.py` for the shape.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let meters = self.shared.meters.lock().clone();
        crate::stats::snapshot(py, &self.shared.pool.snapshot(), &meters)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // Nobody can submit any more: the workers finish what is queued and end.
        self.shared.pool.close();
    }
}
