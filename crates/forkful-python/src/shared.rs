//! What a pool of processes, its futures and the completer share; a call on its way in.

use crate::callers::Caller;
use crate::future::FutureBase;
use crate::home::{self, Home};
use crate::options::{self, TaskOptions};
use crate::parcel::Parcel;
use crate::plain::{self, PLAIN_ARGS};
use crate::procs::ProcessCrew;
use crate::remote::RemoteJob;
use crate::{detach, errands, errors, exit, ffi, hold, laden};
use forkful_core::deadline::Deadline;
use forkful_core::error::{Refusal, WaitError};
use forkful_core::procs::parcels;
use forkful_core::procs::record::{Call, Payload, SMALL};
use forkful_core::procs::watcher::{Watch, Watcher};
use forkful_core::procs::{Pool, Struck};
use forkful_core::shm::Cargo;
use forkful_core::stats::Meter;
use forkful_core::sys::{Cover, Lock};
use forkful_core::wire::{Bell, NO_FUNCTION};
use once_cell::race::OnceBox;
use pyo3::exceptions::PyMemoryError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// What the encoder makes of a call.
type Encoded<'py> = (i64, u32, u32, Bound<'py, PyAny>, Option<Bound<'py, Parcel>>);

/// A function that is sent by its number as long as its name means it.
pub struct Known {
    func: Py<PyAny>,
    pub number: u32,
    definitions: u32,
    scope: Py<PyDict>,
    name: Py<PyString>,
    /// What it uses by name of the same scope, which may be bound anew.
    uses: Vec<(Py<PyString>, Py<PyAny>)>,
}

impl Known {
    /// Whether the names still mean what they meant when the workers were told.
    fn holds(&self, func: &Bound<'_, PyAny>) -> PyResult<bool> {
        let py = func.py();
        let scope = self.scope.bind(py);
        let means = |name: &Py<PyString>, value: &Bound<'_, PyAny>| {
            let now = scope.get_item(name.bind(py))?;
            PyResult::Ok(now.is_some_and(|now| now.is(value)))
        };
        if !self.func.is(func) || !means(&self.name, func)? {
            return Ok(false);
        }
        for (name, value) in &self.uses {
            if !means(name, value.bind(py))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

type ByNumber = (
    u32,
    u32,
    Py<PyDict>,
    Py<PyString>,
    Vec<(Py<PyString>, Py<PyAny>)>,
);

/// A task's flag: its payload begins as `manifest` says. `_encode` and `_worker` have it too.
pub const BUFFERS: u32 = 16;

/// Bytes from which on copying takes longer than letting others use the interpreter meanwhile.
const LONG: usize = 256 << 10;

/// How a call is submitted, other than usual.
#[derive(Clone, Copy, Default)]
pub struct How {
    /// With something else that was accepted before: the pool may have been closed meanwhile.
    pub rest: bool,
    /// Of the task, beside those of its encoding.
    pub flags: u32,
}

/// What a pool, its futures and the completer share.
pub struct Shared {
    pub pool: Arc<Pool<RemoteJob>>,
    pub number: u32,
    pub bell: Arc<Bell>,
    pub watch: OnceBox<Watch>,
    pub watcher: Watcher,
    pub encoder: OnceBox<Py<PyAny>>,
    pub launch: OnceBox<Py<PyAny>>,
    pub known: Lock<HashMap<usize, Arc<Known>>>,
    pub meters: Lock<BTreeMap<String, Arc<Meter>>>,
    pub max_pending: usize,
    /// Whether large arguments are copied at once, so that whoever changes them later changes nothing.
    pub copies: bool,
    pub caller: Arc<Caller>,
}

impl Shared {
    /// Shows the collector every object that is held here.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        for held in [self.encoder.get(), self.launch.get()] {
            visit.call(held)?;
        }
        // Held by threads that have the interpreter's lock only, so it is free.
        for known in self
            .known
            .try_lock()
            .iter()
            .flat_map(|known| known.values())
        {
            visit.call(&known.func)?;
            visit.call(&known.scope)?;
            for (_, value) in &known.uses {
                visit.call(value)?;
            }
        }
        Ok(())
    }

    /// Counts a call for its name.
    pub fn meter(&self, future: &FutureBase, wall: u64, cpu: u64) {
        if let Some(options) = future.options() {
            let (wall, cpu) = (Duration::from_nanos(wall), Duration::from_nanos(cpu));
            options.get().record(wall, cpu);
        }
    }

    /// Hands a task in again; `false` if the pool does not take it.
    pub fn again(&self, job: RemoteJob, call: Call, attempts: u32) -> bool {
        match self.pool.submit(job, call, attempts) {
            Ok(()) => true,
            Err(refused) => {
                drop(refused.job.into_future());
                false
            }
        }
    }

    /// The call as bytes; `found` are the options that travel inside it, where a subclass's `submit` has wrapped the function.
    fn encode(
        &self,
        func: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        found: &mut Option<Py<TaskOptions>>,
    ) -> PyResult<Call> {
        let py = func.py();
        let kwargs = kwargs.filter(|kwargs| !kwargs.is_empty());
        let encoder = self
            .encoder
            .get()
            .ok_or_else(errors::not_initialised)?
            .bind(py);
        let place = func.as_ptr() as usize;
        let known = self.known.lock().get(&place).cloned();
        let mut number = None;
        if let Some(known) = known {
            if known.holds(func)? {
                number = Some((known.number, known.definitions));
            } else {
                // Not in one statement, whose end is where the lock would be released.
                let gone = self.known.lock().remove(&place);
                drop(gone);
            }
        } else if kwargs.is_none()
            && let Some((number_, definitions, scope, name, uses)) = encoder
                .call_method1("by_number", (func,))?
                .extract::<Option<ByNumber>>()?
        {
            let known = Known {
                func: func.clone().unbind(),
                number: number_,
                definitions,
                scope,
                name,
                uses,
            };
            let mut list = self.known.lock();
            let gone = if list.len() > 1024 {
                std::mem::take(&mut *list)
            } else {
                HashMap::new()
            };
            let old = list.insert(place, Arc::new(known));
            drop(list);
            drop((gone, old));
            number = Some((number_, definitions));
        }
        if let (Some((function, definitions)), None) = (number, kwargs) {
            let plain = match plain::put_args(args, |len| self.pool.lacks_room(len).is_none()) {
                Some((payload, holds)) => Some((PLAIN_ARGS, payload, hold::kept(holds))),
                None if args.iter_borrowed().all(|arg| plain::is_flat(&arg)) => {
                    let dumped = plain::dump(args)?;
                    Some((0, self.copied(&dumped)?, None))
                }
                None => None,
            };
            if let Some((flags, payload, parcel)) = plain {
                return Ok(Call {
                    function,
                    definitions,
                    flags,
                    payload,
                    parcel,
                    ..Call::default()
                });
            }
        }
        // Somebody's `__reduce__` may submit, and so be inside another call's.
        let outer = options::pickled();
        let encoded = encoder.call_method1("encode", (func, args, kwargs));
        *found = options::pickled();
        options::restore(outer);
        let (function, definitions, flags, payload, parcel): Encoded<'_> = encoded?.extract()?;
        let (flags, payload, cargo) = match payload.cast::<PyBytes>() {
            Ok(payload) => (flags, self.copied(payload)?, None),
            Err(_) => {
                let (payload, cargo) = laden::laden(&payload.extract()?)?;
                let cargo: Box<dyn Cargo> = if self.copies {
                    Box::new(cargo.copied(py)?)
                } else {
                    Box::new(cargo)
                };
                (flags | BUFFERS, payload, Some(cargo))
            }
        };
        Ok(Call {
            function: u32::try_from(function).unwrap_or(NO_FUNCTION),
            definitions,
            flags,
            payload,
            cargo,
            parcel: parcel.and_then(|parcel| parcel.get().take()),
            ..Call::default()
        })
    }

    /// A pickle's bytes, kept for the workers. Where there is no memory for them the allocator would end the program, or the
    /// kernel would.
    fn copied(&self, pickle: &Bound<'_, PyBytes>) -> PyResult<Payload> {
        let content = pickle.as_bytes();
        let mut payload = Payload::new();
        if content.len() > SMALL
            && (self.pool.lacks_room(content.len()).is_some()
                || payload.try_reserve_exact(content.len()).is_err())
        {
            let text = format!(
                "there is no memory to keep the {} bytes of the arguments' pickle",
                content.len()
            );
            return Err(PyMemoryError::new_err(text));
        }
        if content.len() < LONG {
            payload.extend_from_slice(content);
        } else {
            pickle.py().detach(|| payload.extend_from_slice(content));
        }
        Ok(payload)
    }

    pub fn submit<'py>(
        self: &Arc<Self>,
        crew: &Bound<'py, ProcessCrew>,
        func: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
        given: Option<&Py<TaskOptions>>,
        how: How,
    ) -> PyResult<Bound<'py, FutureBase>> {
        if exit::begun() {
            return Err(errors::exiting());
        }
        if let Some(refusal) = self.pool.refusal() {
            return Err(self.refused(func.py(), refusal));
        }
        self.accept(crew, func, args, kwargs, given, how)
    }

    pub fn accept<'py>(
        self: &Arc<Self>,
        crew: &Bound<'py, ProcessCrew>,
        func: &Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        kwargs: Option<Bound<'py, PyDict>>,
        given: Option<&Py<TaskOptions>>,
        how: How,
    ) -> PyResult<Bound<'py, FutureBase>> {
        let py = func.py();
        if let Some(launch) = self.launch.get()
            && self.pool.needs_launch()
        {
            launch.bind(py).call0()?;
        }
        if self.max_pending > 0 && !how.rest {
            self.wait_for_room(py)?;
        }
        errands::sweep(py);
        let mut wrong = None;
        let mut found = None;
        let mut call = match self.encode(func, &args, kwargs.as_ref(), &mut found) {
            Ok(call) => call,
            Err(error) if error.is_instance_of::<pyo3::exceptions::PyException>(py) => {
                wrong = Some(error);
                Call::default()
            }
            Err(error) => return Err(error),
        };
        call.flags |= how.flags;
        let future = ffi::new_future(py, FutureBase::of_remote(self.number))?;
        if let Some(options) = given.or(found.as_ref()) {
            future.get().set_options(options.clone_ref(py));
            call.limits = options.get().limits.clone();
            if options.get().is_metered() {
                call.flags |= crate::labour::METERED;
            }
        }
        if let Some(error) = wrong {
            // As the standard library has it: the one future fails, and the caller's own traceback is in it.
            crate::complete::finish(
                &future,
                error.into_value(py).into_bound(py).into_any(),
                true,
            )
            .ok()
            .transpose()?;
            return Ok(future);
        }
        if let Some(parcel) = &call.parcel {
            let again = call.limits.as_ref().is_some_and(|l| l.retries > 0);
            parcel.close(owner(future.get()), !again);
        }
        ffi::untrack(&future);
        let job = RemoteJob::new(
            future.clone().unbind(),
            func.clone().unbind(),
            crew.clone().unbind(),
        );
        let heavy = call.cargo.is_some();
        let long = heavy || call.payload.len() >= LONG;
        let submit = || {
            if how.rest {
                self.pool.submit_rest(job, call)
            } else {
                self.pool.submit(job, call, 0)
            }
        };
        let submitted = if long {
            let _cover = Cover::enter();
            py.detach(submit)
        } else {
            submit()
        };
        if heavy {
            errands::sweep(py);
        }
        match submitted {
            Ok(()) => {
                // A nursery that has been lost since is made by the completer: what is queued has a future to be returned.
                if self.pool.has_asked()
                    && !self.pool.needs_launch()
                    && let Some(launch) = self.launch.get()
                {
                    launch.bind(py).call0()?;
                }
                Ok(future)
            }
            Err(refused) => {
                let refusal = refused.refusal;
                drop(refused);
                Err(self.refused(py, refusal))
            }
        }
    }

    fn wait_for_room(self: &Arc<Self>, py: Python<'_>) -> PyResult<()> {
        let _cover = Cover::enter();
        let over = || self.pool.refusal().is_some() || self.pool.load().0 < self.max_pending;
        while !over() {
            let waited = py.detach(|| {
                self.pool.lead(
                    over,
                    Deadline::after(Duration::from_millis(100)),
                    detach::check_signals,
                )
            });
            match waited {
                Ok(true) | Err(WaitError::TimedOut) => {}
                Ok(false) => py.detach(|| std::thread::sleep(Duration::from_millis(1))),
                Err(WaitError::Interrupted(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Why work is refused, as an exception.
    pub fn refused(&self, py: Python<'_>, refusal: Refusal) -> PyErr {
        match refusal {
            Refusal::Closed => errors::refused(py, refusal, ""),
            Refusal::Inherited => errors::broken_process_pool_error(
                py,
                "this executor was created before os.fork() and its workers belong to the parent process; \
                 create a new executor in the child",
            ),
            Refusal::Broken => {
                let text = self
                    .pool
                    .breakage()
                    .map_or_else(String::new, |breakage| breakage.text.clone());
                errors::broken_process_pool_error(
                    py,
                    &format!(
                        "this process pool is broken and takes no more tasks: {text}; create a new executor"
                    ),
                )
            }
        }
    }
}

/// Whose a parcel is: a future stays where it is.
fn owner(future: &FutureBase) -> u64 {
    std::ptr::from_ref(future) as u64
}

impl Home for Shared {
    fn job_taken(&self, _py: Python<'_>, _cancelled: bool) {}
    fn finished_elsewhere(&self, _raised: bool) {}
    fn is_inherited(&self) -> bool {
        self.pool.is_inherited()
    }
    fn run_here(&self, _future: &Bound<'_, FutureBase>) -> bool {
        false
    }
    fn step_aside(&self, _py: Python<'_>) -> Option<Box<dyn Any>> {
        None
    }
    fn step_aside_for_task(&self, _py: Python<'_>) {}
    fn poll(&self) {
        if !self.pool.drain() {
            self.pool.look_for_strays();
        }
    }
    fn is_taken(&self, place: u64) -> bool {
        self.pool.is_taken(place)
    }
    fn cancel(&self, future: &FutureBase) -> bool {
        let cancelled = self.pool.cancel(|| future.place(), || future.cancel_core());
        if cancelled {
            parcels::withdraw(owner(future));
        }
        cancelled
    }
    fn kill(&self, future: &FutureBase) -> Struck {
        self.pool.kill(|| future.place())
    }
    fn lead(
        &self,
        ready: &dyn Fn() -> bool,
        deadline: Deadline,
        interrupt: &mut dyn FnMut() -> PyResult<()>,
    ) -> Result<bool, WaitError<PyErr>> {
        self.pool.lead(ready, deadline, interrupt)
    }
    fn interest(&self) -> Option<Box<dyn Any + Send>> {
        Some(Box::new(self.pool.interest()))
    }
    fn interest_on(&self) {
        self.pool.interest_on();
    }
    fn kick(&self) {
        self.pool.kick();
    }

    fn patience(&self) -> Option<u64> {
        self.caller.patience()
    }

    fn calls_take_long(&self) {
        self.caller.takes_long();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        home::unregister(self.number);
        self.pool.close();
    }
}
