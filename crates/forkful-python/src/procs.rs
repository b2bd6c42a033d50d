//! A pool of processes as `ProcessPoolExecutor` sees it: submission, waiting, ends.

use crate::callers::{self, Caller};
use crate::ending;
use crate::errands;
use crate::future::FutureBase;
use crate::home;
use crate::items::{CHUNK, SPREAD};
use crate::kernel::refused;
use crate::link::Link;
use crate::options::{Gauge, TaskOptions};
use crate::remote::RemoteJob;
use crate::roster::{ProcessRoster, seats};
use crate::shared::{How, Shared};
use crate::{detach, ffi};
use forkful_core::fork;
use forkful_core::procs::nursery::Nursery;
use forkful_core::procs::record::Breakage;
use forkful_core::procs::watcher::Watcher;
use forkful_core::procs::{Limits, OnCrash, Pool, Settings};
use forkful_core::sys::{Lock, Stamp, in_words};
use forkful_core::wire::{SAID_LOG, Status};
use once_cell::race::OnceBox;
use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// The compiled part of a `ProcessPoolExecutor`.
#[pyclass(frozen, weakref, module = "forkful._engine")]
pub struct ProcessCrew {
    pub shared: Arc<Shared>,
}

impl Drop for ProcessCrew {
    fn drop(&mut self) {
        // A forgotten executor: what was submitted runs, then the workers leave.
        self.shared.pool.close();
    }
}

#[pymethods]
impl ProcessCrew {
    #[new]
    #[pyo3(signature = (workers, *, break_on_crash=false, memory_limit=None, sampling=0.1, max_pending=0, patience=None, arena=None, copy=false))]
    #[expect(clippy::too_many_arguments, reason = "they are named in Python")]
    fn new(
        workers: u32,
        break_on_crash: bool,
        memory_limit: Option<u64>,
        sampling: f64,
        max_pending: usize,
        patience: Option<f64>,
        arena: Option<u64>,
        copy: bool,
    ) -> PyResult<ProcessCrew> {
        forkful_core::sys::Spin::recount_cpus();
        let failed = |error: std::io::Error| refused("a process pool can't be made", &error);
        let bell = errands::bell().map_err(failed)?;
        let watcher = Watcher::current().map_err(failed)?;
        let settings = Settings {
            workers,
            on_crash: if break_on_crash {
                OnCrash::Break
            } else {
                OnCrash::Replace
            },
            memory_limit,
            sampling: Duration::try_from_secs_f64(sampling)
                .map_err(|_| {
                    PyValueError::new_err(format!(
                        "memory_sampling must be a number of seconds, not {sampling}"
                    ))
                })?
                .max(Duration::from_millis(1)),
            patience: patience.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            arena,
        };
        let waker = watcher.clone();
        let owner = Arc::new(OnceLock::<Weak<Shared>>::new());
        let owned = owner.clone();
        let said = move |kind, words| match owned.get().and_then(Weak::upgrade) {
            Some(shared) if kind == SAID_LOG => callers::handle(&shared, words),
            _ => errands::tell(kind, words),
        };
        let pool = Pool::new(
            settings,
            bell.clone(),
            Box::new(said),
            Box::new(move || waker.wake()),
        )
        .map_err(failed)?;
        let shared = home::register_remote(|number| {
            Arc::new(Shared {
                pool,
                number,
                bell,
                watch: OnceBox::new(),
                watcher,
                encoder: OnceBox::new(),
                launch: OnceBox::new(),
                known: Lock::new(HashMap::new()),
                meters: Lock::new(BTreeMap::new()),
                max_pending,
                copies: copy,
                caller: Arc::new(Caller::new()),
            })
        });
        let _ = owner.set(Arc::downgrade(&shared));
        fork::register(&shared.pool);
        Ok(ProcessCrew { shared })
    }

    /// How calls are encoded, and what makes the nursery; once, before the first submission.
    fn equip(&self, encoder: Py<PyAny>, launch: Py<PyAny>) {
        let _ = self.shared.encoder.set(Box::new(encoder));
        let _ = self.shared.launch.set(Box::new(launch));
    }

    /// What workers get of the pool.
    fn link(&self) -> Link {
        Link {
            link: self.shared.pool.link().clone(),
            bell: self.shared.bell.clone(),
        }
    }

    /// Whether a nursery is to be made.
    fn needs_launch(&self) -> bool {
        self.shared.pool.needs_launch()
    }

    /// Sends for all the workers there may be, without waiting for tasks or for them.
    fn populate(&self, py: Python<'_>) -> PyResult<()> {
        let Some(launch) = self.shared.launch.get() else {
            return Ok(());
        };
        if self.shared.pool.needs_launch() {
            launch.bind(py).call0()?;
        }
        py.detach(|| self.shared.pool.populate());
        if self.shared.pool.has_asked() {
            launch.bind(py).call0()?;
        }
        Ok(())
    }

    /// Adds an entry to the library.
    fn define(&self, entry: &[u8]) -> Option<u32> {
        self.shared.pool.define(entry)
    }

    /// Raises where this process may not open so many descriptors more.
    fn check_room(&self, descriptors: usize) -> PyResult<()> {
        let Some(fd) = self.shared.pool.link().fd() else {
            return Ok(());
        };
        let opened: std::io::Result<Vec<_>> =
            (0..descriptors).map(|_| fd.try_clone_to_owned()).collect();
        let what = format!("a process pool needs up to {descriptors} descriptors more to start");
        opened.map(drop).map_err(|error| refused(&what, &error))
    }

    /// Workers are made by this nursery from now on; the descriptors are the pool's.
    #[pyo3(signature = (control, pid, pidfd, request, needs_fds, extra))]
    fn nursery(
        &self,
        control: i32,
        pid: i32,
        pidfd: i32,
        request: i32,
        needs_fds: bool,
        extra: Vec<i32>,
    ) -> PyResult<()> {
        let nursery = Nursery::new(
            ffi::own_fd(control),
            ffi::own_fd(pidfd),
            pid,
            ffi::own_fd(request),
            extra.into_iter().map(ffi::own_fd).collect(),
            !needs_fds,
        );
        // From now on the pool has something to be watched and served. Not before the first fork, whose child has one thread then.
        let pool = &self.shared.pool;
        let watched = self.shared.watch.get_or_try_init(|| {
            let watch = self.shared.watcher.register(pool.clone())?;
            errands::register(&self.shared);
            Ok(Box::new(watch))
        });
        let set = match watched {
            Ok(watch) => pool.set_nursery(nursery, watch),
            Err(error) => {
                nursery.quit();
                nursery.reap();
                Err(error)
            }
        };
        set.map_err(|error| refused("the process that starts workers can't be watched", &error))
    }

    /// Whether workers are to be sent for with a request that says in which state they shall start.
    fn has_asked(&self) -> bool {
        self.shared.pool.has_asked()
    }

    /// A copy of the request that the nursery was made with, for the caller to close; None without a nursery.
    fn request(&self) -> PyResult<Option<i32>> {
        let request = self.shared.pool.request();
        let request = request.map_err(|error| refused("a worker can't be started", &error))?;
        Ok(request.map(std::os::fd::IntoRawFd::into_raw_fd))
    }

    /// Sends for them with this request, which stays the caller's, and with the descriptors 0 to 2 as they are now.
    #[pyo3(signature = (request))]
    fn send_asked(&self, request: Option<i32>) {
        let Some(request) = request else {
            self.shared
                .pool
                .refuse_asked("the process that starts workers is gone");
            return;
        };
        match ffi::standard_fds() {
            Ok(streams) => self
                .shared
                .pool
                .send_asked(ffi::lent_fd(&request), &streams),
            Err(error) => self.shared.pool.refuse_asked(&in_words(&error)),
        }
    }

    /// Says that they can't be sent for, and why.
    fn refuse_asked(&self, text: &str) {
        self.shared.pool.refuse_asked(text);
    }

    /// Queues a call.
    #[pyo3(signature = (options, r#fn, args, kwargs=None))]
    fn submit<'py>(
        slf: &Bound<'py, Self>,
        options: Option<Py<TaskOptions>>,
        r#fn: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, FutureBase>> {
        let shared = &slf.get().shared;
        shared.submit(slf, r#fn, args, kwargs, options.as_ref(), How::default())
    }

    /// Queues a part of something that was accepted before; from a callback of its pool, or before that is shut down.
    #[pyo3(signature = (options, r#fn, /, *args))]
    fn submit_rest<'py>(
        slf: &Bound<'py, Self>,
        options: Option<Py<TaskOptions>>,
        r#fn: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, FutureBase>> {
        let shared = &slf.get().shared;
        let how = How {
            rest: true,
            ..How::default()
        };
        shared.accept(slf, r#fn, args, None, options.as_ref(), how)
    }

    /// Queues the calls of a function with each item as one task, whose result is a list; `spread`: an item is a call's arguments.
    #[pyo3(signature = (spread, r#fn, items, /))]
    fn submit_chunk<'py>(
        slf: &Bound<'py, Self>,
        spread: bool,
        r#fn: &Bound<'py, PyAny>,
        items: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, FutureBase>> {
        let flags = if spread { CHUNK | SPREAD } else { CHUNK };
        let args = PyTuple::new(r#fn.py(), [items])?;
        let shared = &slf.get().shared;
        let how = How { rest: false, flags };
        shared.submit(slf, r#fn, args, None, None, how)
    }

    /// Options for `submit`.
    #[pyo3(signature = (*, timeout=None, priority=0, retries=0, retry_on=None, name=None, gauge=None))]
    #[expect(clippy::too_many_arguments, reason = "they are named in Python")]
    fn options(
        &self,
        py: Python<'_>,
        timeout: Option<f64>,
        priority: i32,
        retries: u32,
        retry_on: Option<Py<PyAny>>,
        name: Option<Py<PyString>>,
        gauge: Option<&Gauge>,
    ) -> PyResult<TaskOptions> {
        let meter = match &name {
            None => None,
            Some(name) => {
                let key = name.bind(py).to_str()?.to_owned();
                Some(self.shared.meters.lock().entry(key).or_default().clone())
            }
        };
        let timeout = match timeout {
            Some(seconds) => Some(Duration::try_from_secs_f64(seconds).map_err(|_| {
                PyValueError::new_err("timeout must be a number of seconds above 0")
            })?),
            None => None,
        };
        let limits = Limits {
            timeout,
            retries,
            retry_deaths: retry_on.is_none(),
            keep: retry_on.is_some() && retries > 0,
            priority,
        };
        Ok(TaskOptions {
            priority,
            retries,
            retry_on: retry_on.unwrap_or_else(|| PyTuple::empty(py).unbind().into_any()),
            name,
            meter,
            gauge: gauge.map(|gauge| gauge.meter.clone()),
            limits: Some(Arc::new(limits)),
        })
    }

    /// Takes no more work.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.shared.pool.close());
    }

    /// Cancels what no worker has.
    fn cancel_pending(&self, py: Python<'_>) {
        ending::cancel_pending(py, &self.shared.pool);
    }

    /// Ends it: no more tasks, none again, and what no worker has is cancelled.
    fn end(&self, py: Python<'_>) {
        ending::end(py, &self.shared.pool);
    }

    /// Interrupts the workers that run something.
    fn interrupt(&self) {
        self.shared.pool.interrupt();
    }

    /// Sends a signal that ends them to all workers, those included that are being born; after `end`.
    fn strike(&self, number: i32) {
        self.shared.pool.strike(number);
    }

    /// Fails everything.
    fn break_down(&self, py: Python<'_>, text: String) {
        py.detach(|| {
            self.shared.pool.break_down(Breakage {
                text,
                cause: None,
                death: None,
            })
        });
    }

    /// Waits until the last worker is gone and all callbacks have run, at most `timeout` seconds; whether it is so.
    #[pyo3(signature = (timeout=None))]
    fn join(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        ending::join(py, &self.shared.pool, detach::deadline(timeout)?)
    }

    /// Lets the thread that makes its calls go as soon as it has nothing to do; the pool's number, if the thread can be waited for.
    fn let_caller_go(&self, py: Python<'_>) -> PyResult<Option<u32>> {
        if !callers::let_go(&self.shared) {
            return Ok(None);
        }
        while callers::is_here(&self.shared) && !crate::exit::over() {
            py.detach(|| std::thread::sleep(Duration::from_micros(100)));
            py.check_signals()?;
        }
        Ok(Some(self.shared.number))
    }

    /// Tasks that wait, and tasks that workers have.
    fn load(&self) -> (usize, usize) {
        self.shared.pool.drain();
        self.shared.pool.load()
    }

    /// What it is broken by, or None.
    fn broken(&self) -> Option<String> {
        self.shared
            .pool
            .breakage()
            .map(|breakage| breakage.text.clone())
    }

    /// What its worker said of that: a pickled exception, or None.
    fn broken_by<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        let breakage = self.shared.pool.breakage()?;
        Some(PyBytes::new(py, breakage.cause.as_deref()?))
    }

    fn is_inherited(&self) -> bool {
        self.shared.pool.is_inherited()
    }

    fn is_finished(&self) -> bool {
        self.shared.pool.is_finished()
    }

    /// How many workers were sent for and have not come.
    fn expected(&self) -> usize {
        self.shared.pool.expected()
    }

    /// The workers, for whoever must not keep the executor.
    fn roster(&self) -> ProcessRoster {
        ProcessRoster {
            pool: self.shared.pool.clone(),
        }
    }

    /// (seat, pid) of the workers that live.
    fn pids(&self) -> Vec<(u32, i32)> {
        seats(&self.shared.pool)
    }

    /// A record per worker: (seat, pid, state, task's name or None, seconds in that state, resident bytes or None, tasks, busy, idle).
    fn workers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        let now = Stamp::now().nanos();
        for (seat, pid, born) in self.shared.pool.births() {
            let page = self.shared.pool.link().page(seat).snapshot();
            let state = match page.status {
                Some(Status::Starting) => "starting",
                Some(Status::Idle) => "idle",
                Some(Status::Running | Status::Writing) => "running",
                Some(Status::Leaving) => "leaving",
                None => "unknown",
            };
            let task = page.running.and_then(|(position, _)| {
                let look = |job: &RemoteJob| job.describe(py);
                self.shared.pool.look_at(position, look).flatten()
            });
            let since = match page.running {
                Some((_, since)) => since,
                // Until it says something itself, and where what it says can't be.
                None => page.idle_since.max(born.nanos()),
            };
            let seconds = now.saturating_sub(since.min(now)) as f64 * 1e-9;
            let idle = page.idle as f64 * 1e-9 + if state == "idle" { seconds } else { 0.0 };
            let memory = forkful_core::sys::resident_bytes(pid);
            list.append((
                seat,
                pid,
                state,
                task,
                seconds,
                memory,
                page.done,
                page.busy as f64 * 1e-9,
                idle,
            ))?;
        }
        Ok(list)
    }

    /// Shows the collector what this crew holds: nobody else does, as jobs hold the crew and all others come by a weak way.
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.shared.visit(&visit)
    }

    /// The pool's numbers.
    fn snapshot<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.shared.pool.drain();
        let meters = self.shared.meters.lock().clone();
        crate::stats::process_snapshot(py, &self.shared.pool.snapshot(), &meters)
    }
}

/// Makes the nursery of a pool that has lost its own, or sends for workers; called by the completer.
pub fn relaunch(py: Python<'_>, shared: &Arc<Shared>) {
    if !shared.pool.needs_launch() && !shared.pool.has_asked() {
        return;
    }
    let Some(launch) = shared.launch.get() else {
        return;
    };
    if let Err(error) = launch.bind(py).call0() {
        let text = format!("the process that starts workers can't be started: {error}");
        py.detach(|| {
            shared.pool.break_down(Breakage {
                text,
                cause: None,
                death: None,
            })
        });
    }
}
