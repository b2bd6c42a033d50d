//! A worker's process: what the engine's loop does with a task here.

use crate::buffers::{Lender, births};
use crate::items::{CHUNK, SPREAD, arguments, each, invoke};
use crate::link::Link;
use crate::manifest::Message;
use crate::plain::{self, PLAIN, PLAIN_ARGS};
use crate::shared::BUFFERS;
use crate::{errands, ffi, hold, lending};
use forkful_core::sys::{Lock, Stamp, arm_crash, thread_cpu_time};
use forkful_core::wire::{
    CARGO_INSIDE, NO_FUNCTION, RAISED, RETURNED, SAID_FAILURE, SAID_LOG, TaskHead, WITH_BUFFERS,
    WITH_PARCEL,
};
use forkful_core::worker::{self, Desk, Ran, Runner};
use pyo3::exceptions::{PyKeyboardInterrupt, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use std::sync::{Arc, OnceLock};

type Place = Lock<Option<(u32, u32, Arc<Desk>)>>;

static DESK: OnceLock<Place> = OnceLock::new();

/// This process's place, if it is a worker.
pub fn present_desk() -> Option<Arc<Desk>> {
    let place = DESK.get()?.lock();
    let (born, _, desk) = place.as_ref()?;
    (*born == forkful_core::fork::generation()).then(|| desk.clone())
}

/// This process's place, made when it is first asked for; a process is one worker at most.
pub fn desk(link: &Link, index: u32) -> Arc<Desk> {
    let generation = forkful_core::fork::generation();
    let mut desk = DESK.get_or_init(|| Lock::new(None)).lock();
    match &*desk {
        Some((born, seat, desk)) if *born == generation && *seat == index => desk.clone(),
        _ => {
            let fresh = Arc::new(Desk::new(link.link.clone(), link.bell.clone(), index));
            // An older one is a forking worker's, and this is the pool of its child.
            std::mem::forget(desk.replace((generation, index, fresh.clone())));
            fresh
        }
    }
}

/// Set on tasks whose CPU time is wanted: two system calls.
pub const METERED: u32 = 1 << 31;

/// What the engine alone reads of a task's flags; the others say how it was encoded.
const OURS: u32 = METERED | CHUNK | SPREAD;

/// Nothing that a task could print takes less, arguments' unpickling included.
const QUIET_NANOS: u64 = 700;

/// Says that this process has come up on its seat, and takes care that its tasks' stray writes hit little; arms a crash where a test wants one.
#[pyfunction]
pub fn arrive(link: &Link, index: u32) {
    if let Ok(spec) = std::env::var("FORKFUL_CRASH_AT") {
        arm_crash(&spec);
    }
    link.link.protect();
    forkful_core::sys::die_first();
    desk(link, index).arrive();
}

fn say(py: Python<'_>, link: &Link, index: u32, kind: u16, bytes: &[u8]) {
    desk(link, index).say(kind, bytes, |wait| py.detach(wait));
}

/// Sends a log record to the parent. Not from a child that a task has forked: the place is its parent's.
#[pyfunction]
pub fn send_log(py: Python<'_>, link: &Link, index: u32, record: &[u8]) {
    say(py, link, index, SAID_LOG, record);
}

/// Tells the parent that this worker can't begin, and why: a pickled exception.
#[pyfunction]
pub fn report_failure(py: Python<'_>, link: &Link, index: u32, error: &[u8]) {
    say(py, link, index, SAID_FAILURE, error);
}

struct Labour<'py> {
    py: Python<'py>,
    desk: Arc<Desk>,
    worker: Bound<'py, PyAny>,
    loads: Bound<'py, PyAny>,
    functions: Vec<Option<Py<PyAny>>>,
    definitions: u32,
    left: u64,
    memory: u64,
    looked: Stamp,
    /// Whether a task has ended since without a look.
    unseen: bool,
    /// Of the process that is the worker.
    generation: u32,
    /// Whether it is still to be seen if large arrays can be born in segments.
    barren: bool,
    /// The modules that are loaded, and how many there were at the last look for numpy: it is looked for after each task.
    modules: Bound<'py, PyDict>,
    loaded: usize,
}

impl Labour<'_> {
    fn call<'py>(
        &mut self,
        py: Python<'py>,
        head: &TaskHead,
        payload: &[u8],
    ) -> PyResult<Bound<'py, PyAny>> {
        let worker = self.worker.bind_borrowed_to(py);
        if head.definitions > self.definitions {
            worker.call_method1(crate::once::interned!(py, "catch_up"), (head.definitions,))?;
            self.definitions = head.definitions;
        }
        let func = match head.function {
            NO_FUNCTION => None,
            number => Some(self.function(py, number)?),
        };
        let flags = head.flags & !OURS;
        if flags & BUFFERS != 0 {
            return self.call_laden(py, head, payload, func);
        }
        if let (Some(func), PLAIN_ARGS) = (&func, flags) {
            let args = plain::get_args(py, payload)?;
            return invoke(head, func, &args, None);
        }
        if let (Some(func), 0) = (&func, flags) {
            let args = self
                .loads
                .bind_borrowed_to(py)
                .call1((ffi::bytes(py, payload)?,))?
                .cast_into::<PyTuple>()?;
            return invoke(head, func, &args, None);
        }
        let loaded = worker
            .call_method1(
                crate::once::interned!(py, "load"),
                (flags, ffi::bytes(py, payload)?),
            )?
            .cast_into::<PyTuple>()?;
        self.call_loaded(head, func, loaded)
    }

    /// A call with large buffers.
    fn call_laden<'py>(
        &mut self,
        py: Python<'py>,
        head: &TaskHead,
        payload: &[u8],
        func: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let mut message = Message::read(payload)?;
        let mut lenders = Vec::new();
        match head.loan {
            0 | CARGO_INSIDE => message.bring_behind(),
            at => {
                let hold = self.desk.holdings().hold(at - 1, message.room());
                lenders.push(Lender::Worker(Arc::new(hold)));
            }
        }
        let told = |error| message.told(py, error);
        let (stream, buffers) = message.open(py, &lenders).map_err(told)?;
        drop(lenders);
        let flags = head.flags & !OURS & !BUFFERS;
        let args = (flags, message.here(py)?, stream, buffers);
        let worker = self.worker.bind_borrowed_to(py);
        let loaded = worker.call_method1(crate::once::interned!(py, "load_laden"), args);
        let loaded = loaded.map_err(told)?.cast_into::<PyTuple>()?;
        self.call_loaded(head, func, loaded)
    }

    /// (function or None, args, kwargs or None), and maybe a context.
    fn call_loaded<'py>(
        &mut self,
        head: &TaskHead,
        func: Option<Bound<'py, PyAny>>,
        loaded: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = loaded.py();
        let worker = self.worker.bind_borrowed_to(py);
        let func = match func {
            Some(func) => func,
            None => loaded.get_item(0)?,
        };
        let (args, kwargs) = (loaded.get_item(1)?, loaded.get_item(2)?);
        let context = if loaded.len() > 3 {
            Some(loaded.get_item(3)?)
        } else {
            None
        };
        drop(loaded);
        match context {
            None => {
                let kwargs = if kwargs.is_none() {
                    None
                } else {
                    Some(kwargs.cast_into::<PyDict>()?)
                };
                invoke(head, &func, &args.cast_into::<PyTuple>()?, kwargs.as_ref())
            }
            Some(context) => {
                let call = crate::once::interned!(py, "call");
                if head.flags & CHUNK == 0 {
                    return worker.call_method1(call, (func, args, kwargs, context));
                }
                each(&args.cast_into::<PyTuple>()?, |item| {
                    let args = arguments(head, item)?;
                    worker.call_method1(call, (&func, args, &kwargs, &context))
                })
            }
        }
    }

    fn function<'py>(&mut self, py: Python<'py>, number: u32) -> PyResult<Bound<'py, PyAny>> {
        let at = number as usize;
        if let Some(Some(known)) = self.functions.get(at) {
            return Ok(known.bind(py).clone());
        }
        let found = self
            .worker
            .bind_borrowed_to(py)
            .call_method1(crate::once::interned!(py, "function"), (number,))?;
        if self.functions.len() <= at && at < 1 << 17 {
            self.functions.resize_with(at + 1, || None);
        }
        if let Some(place) = self.functions.get_mut(at) {
            *place = Some(found.clone().unbind());
        }
        Ok(found)
    }

    /// The kind of the outcome.
    fn encode(
        &self,
        py: Python<'_>,
        value: Bound<'_, PyAny>,
        outcome: &mut Vec<u8>,
    ) -> PyResult<(u16, bool)> {
        if plain::put(&value, outcome) {
            return Ok((PLAIN, false));
        }
        let dumped = if plain::is_flat(&value) {
            plain::dump(&value)?.into_any()
        } else {
            self.worker
                .bind_borrowed_to(py)
                .call_method1(crate::once::interned!(py, "dump"), (&value,))?
        };
        self.write(py, dumped, value, outcome)
    }

    /// The kind of an outcome that was pickled, and whether it hands segments over; `value` is let go.
    fn write(
        &self,
        py: Python<'_>,
        dumped: Bound<'_, PyAny>,
        value: Bound<'_, PyAny>,
        outcome: &mut Vec<u8>,
    ) -> PyResult<(u16, bool)> {
        let dumped = match dumped.cast_into::<PyTuple>() {
            Err(other) => {
                let bytes = other.into_inner();
                outcome.extend_from_slice(bytes.cast::<PyBytes>()?.as_bytes());
                return Ok((RETURNED, false));
            }
            Ok(dumped) => dumped,
        };
        let carries = dumped.get_item(0)?.len()? > 0;
        let parcel = if carries { WITH_PARCEL } else { 0 };
        if dumped.len() == 3 {
            let lends = lending::write(py, &self.desk, dumped, value, outcome)?;
            return Ok((RETURNED | WITH_BUFFERS | parcel, lends));
        }
        for part in &dumped {
            outcome.extend_from_slice(part.cast::<PyBytes>()?.as_bytes());
        }
        Ok((RETURNED | parcel, false))
    }

    fn encode_error(&self, py: Python<'_>, error: PyErr, outcome: &mut Vec<u8>) -> (u16, bool) {
        let worker = self.worker.bind_borrowed_to(py);
        let mut error: Bound<'_, PyAny> = error.into_value(py).into_bound(py).into_any();
        let name = error.get_type().fully_qualified_name();
        let name = name.map_or_else(|_| "an exception".into(), |name| name.to_string());
        for _ in 0..3 {
            outcome.clear();
            let dumped =
                worker.call_method1(crate::once::interned!(py, "dump_exception"), (&error,));
            let nothing = py.None().into_bound(py);
            match dumped.and_then(|dumped| self.write(py, dumped, nothing, outcome)) {
                Ok((kind, lends)) => return (RAISED | kind, lends),
                // A signal in between, or no memory: say that instead.
                Err(worse) => error = worse.into_value(py).into_bound(py).into_any(),
            }
        }
        outcome.clear();
        outcome.extend_from_slice(&last_words(&name));
        (RAISED, false)
    }

    /// A task may have imported it.
    fn look_for_numpy(&mut self) {
        if self.barren && self.modules.len() != self.loaded {
            self.loaded = self.modules.len();
            let settled = births::settle(self.py, &self.desk);
            self.barren = !settled.unwrap_or(true);
        }
    }

    fn is_too_large(&mut self, now: Stamp) -> bool {
        // A look takes as long as a small task. What it would have shown is seen when the worker has nothing to do.
        self.unseen = now.since(self.looked) < 20_000_000;
        if self.unseen {
            return false;
        }
        self.looked = now;
        let born = self.desk.holdings().born();
        forkful_core::sys::own_resident_bytes().is_some_and(|bytes| bytes + born > self.memory)
    }
}

/// The pickle of an exception, made without Python, where Python can't make one.
fn last_words(raised: &str) -> Vec<u8> {
    let text = format!("a task raised {raised}, and the worker could not send it");
    // A line of raw-unicode-escape.
    let plain = |letter: char| letter.is_ascii_graphic() && letter != '\\' || letter == ' ';
    let text = text.replace(|letter| !plain(letter), "?");
    format!("cbuiltins\nRuntimeError\n(V{text}\ntR.").into_bytes()
}

/// The same object for a lifetime that the borrow checker can see.
trait Rebind {
    fn bind_borrowed_to<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny>;
}

impl Rebind for Bound<'_, PyAny> {
    fn bind_borrowed_to<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.clone().unbind().into_bound(py)
    }
}

impl Runner for Labour<'_> {
    fn run(
        &mut self,
        head: &TaskHead,
        payload: &mut Vec<u8>,
        outcome: &mut Vec<u8>,
        now: Stamp,
    ) -> Ran {
        let py = self.py;
        let metered = head.flags & METERED != 0;
        let before = if metered {
            Some(thread_cpu_time())
        } else {
            None
        };
        let called = self.call(py, head, payload);
        if forkful_core::fork::generation() != self.generation {
            self.leave_as_child(called.err());
        }
        let cpu = before.map_or(0, |before| {
            thread_cpu_time().saturating_sub(before).as_nanos() as u64
        });
        let (kind, lends) = match called.and_then(|value| self.encode(py, value, outcome)) {
            Ok(encoded) => encoded,
            Err(error) => {
                outcome.clear();
                self.encode_error(py, error, outcome)
            }
        };
        if forkful_core::fork::generation() != self.generation {
            self.leave_as_child(None);
        }
        let mut leave = false;
        if self.left != u64::MAX {
            self.left -= 1;
            leave = self.left == 0;
        }
        let mut ended = Stamp::now();
        leave |= self.memory != 0 && self.is_too_large(ended);
        if ended.since(now) > QUIET_NANOS {
            // What it printed is there before its result is.
            self.rest();
            ended = Stamp::now();
        }
        Ran {
            kind,
            ended,
            cpu,
            leave,
            lends,
        }
    }

    fn away<R: Send>(&mut self, wait: impl FnOnce() -> R + Send) -> R {
        self.py.detach(wait)
    }

    fn rest(&mut self) {
        let py = self.py;
        self.look_for_numpy();
        hold::sweep(py);
        // What could not be sent may lie there still.
        errands::sweep(py);
        if let Err(error) = self.worker.call_method0(crate::once::interned!(py, "rest")) {
            self.outside_of_tasks(error);
        }
    }

    fn unseen_limit(&mut self) -> Option<u64> {
        std::mem::take(&mut self.unseen).then_some(self.memory)
    }

    fn interrupted(&mut self) -> bool {
        if let Err(error) = self.py.check_signals() {
            self.outside_of_tasks(error);
        }
        true
    }
}

impl Labour<'_> {
    /// The task has forked, and this is its child, with nothing left to do: the outcome is its parent's to tell.
    fn leave_as_child(&self, error: Option<PyErr>) -> ! {
        let ended = self
            .worker
            .call_method1(crate::once::interned!(self.py, "leave_as_child"), (error,));
        if let Err(error) = ended {
            error.write_unraisable(self.py, None);
        }
        std::process::abort()
    }

    /// Ctrl-C interrupts tasks; a worker without one goes on.
    fn outside_of_tasks(&self, error: PyErr) {
        if !error.is_instance_of::<PyKeyboardInterrupt>(self.py) {
            error.write_unraisable(self.py, None);
        }
    }
}

/// Works on this seat until the pool lets it go. `worker` has the methods of `forkful._worker.Worker`.
#[pyfunction]
#[pyo3(signature = (link, index, generation, worker, tasks=None, memory=None, births=true))]
#[expect(clippy::too_many_arguments, reason = "they are named in Python")]
pub fn work(
    py: Python<'_>,
    link: &Link,
    index: u32,
    generation: u64,
    worker: Bound<'_, PyAny>,
    tasks: Option<u64>,
    memory: Option<u64>,
    births: bool,
) -> PyResult<()> {
    let _ = generation;
    let desk = desk(link, index);
    let mut labour = Labour {
        py,
        desk: desk.clone(),
        worker,
        loads: py.import("_pickle")?.getattr("loads")?,
        functions: Vec::new(),
        definitions: 0,
        left: tasks.unwrap_or(u64::MAX),
        memory: memory.unwrap_or(0),
        looked: Stamp::now(),
        unseen: false,
        generation: forkful_core::fork::generation(),
        barren: births,
        modules: py
            .import("sys")?
            .getattr("modules")?
            .cast_into::<PyDict>()?,
        loaded: 0,
    };
    labour.look_for_numpy();
    worker::work(&desk, &mut labour)
        .map_err(|_| PyRuntimeError::new_err("the pool's shared memory holds garbage"))
}
