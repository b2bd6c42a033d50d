//! What comes back from another process: bytes until somebody asks, an object from then on.

use crate::buffers::Lender;
use crate::callers;
use crate::errands::{self, Duty, Errand};
use crate::ffi;
use crate::future::FutureBase;
use crate::manifest::Message;
use crate::once::Once;
use crate::parcel::Brought;
use crate::plain::{PLAIN, Plain};
use crate::procs::ProcessCrew;
use crate::value::Value;
use forkful_core::future::{Finish, Phase};
use forkful_core::procs::record::Call;
use forkful_core::procs::{Doom, End, Job, Kept, Spare};
use forkful_core::sys::Lock;
use forkful_core::wire::{RAISED, WITH_BUFFERS, WITH_PARCEL};
use once_cell::race::OnceBox;
use pyo3::exceptions::{PyKeyboardInterrupt, PyMemoryError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple};
use std::sync::Arc;

/// The end of a task, not yet an object.
pub struct Remote {
    end: End,
    attempts: u32,
    /// What came with an outcome besides its bytes.
    brought: Option<Box<Brought>>,
    /// The segments that it hands over, until it is read: then what was read has them.
    lenders: Lock<Vec<Lender>>,
    /// Kept where the end is a death, which is to be told by name.
    func: Option<Py<PyAny>>,
    decoded: OnceBox<(bool, Py<PyAny>)>,
}

impl Remote {
    /// Whether it is an error, as far as that can be said without reading it.
    pub fn raised(&self) -> bool {
        match (&self.end, self.decoded.get()) {
            (_, Some((raised, _))) => *raised,
            (End::Outcome { kind, .. }, None) => *kind & RAISED != 0,
            _ => true,
        }
    }

    /// The value or the error, read once. `Err`: a Ctrl-C while it was read, which is its reader's, and not what the task ended with.
    /// Lack of memory is an error too, until whoever asks again finds enough.
    pub fn object(&self, py: Python<'_>) -> PyResult<(bool, Py<PyAny>)> {
        let known = || {
            let (raised, object) = self.decoded.get()?;
            Some((*raised, object.clone_ref(py)))
        };
        if let Some(decoded) = known() {
            return Ok(decoded);
        }
        if let Some(brought) = &self.brought
            && !brought.begin(py, || self.decoded.get().is_some())?
            && let Some(decoded) = known()
        {
            return Ok(decoded);
        }
        let read = self.decode(py);
        if let Some(brought) = &self.brought {
            brought.end();
        }
        let decoded = match read {
            Ok(value) => (self.raised(), value.unbind()),
            Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => return Err(error),
            Err(error) if self.is_laden() && error.is_instance_of::<PyMemoryError>(py) => {
                return Ok((true, error.into_value(py).into_any()));
            }
            Err(error) => (true, error.into_value(py).into_any()),
        };
        let _ = self.decoded.set(Box::new(decoded));
        let lenders = std::mem::take(&mut *self.lenders.lock());
        drop(lenders);
        if let Some(brought) = &self.brought {
            brought.let_go();
        }
        Ok(known().unwrap_or_else(|| unreachable!("it was set")))
    }

    /// The object, if somebody has asked for it.
    pub fn peek(&self) -> (Option<&Py<PyAny>>, Option<&Py<PyAny>>) {
        (
            self.decoded.get().map(|(_, value)| value),
            self.func.as_ref(),
        )
    }

    /// Whether it ended because somebody asked for it.
    pub fn was_killed(&self) -> bool {
        matches!(&self.end, End::Died(death) if death.doom == Some(Doom::Killed))
    }

    fn is_laden(&self) -> bool {
        matches!(&self.end, End::Outcome { kind, .. } if kind & WITH_BUFFERS != 0)
    }

    fn decode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let End::Outcome { payload, kind, .. } = &self.end {
            if kind & WITH_BUFFERS != 0 {
                return self.decode_laden(py, payload);
            }
            if let Some(brought) = &self.brought {
                let none = PyTuple::empty(py).into_any();
                return brought.unpack(py, ffi::bytes(py, payload)?.into_any(), none);
            }
            static LOADS: Once<Py<PyAny>> = Once::new();
            let loads = LOADS.import(py, "_pickle", "loads")?;
            return loads.call1((ffi::bytes(py, payload)?,));
        }
        let facts = PyDict::new(py);
        facts.set_item("attempts", self.attempts)?;
        facts.set_item("func", &self.func)?;
        match &self.end {
            End::Died(death) => {
                facts.set_item("end", "died")?;
                crate::death::facts(&facts, death)?;
            }
            End::Broken(breakage) => {
                facts.set_item("end", "broken")?;
                facts.set_item("text", &breakage.text)?;
                facts.set_item(
                    "cause",
                    breakage.cause.as_ref().map(|cause| PyBytes::new(py, cause)),
                )?;
                if let Some(death) = &breakage.death {
                    crate::death::facts(&facts, death)?;
                }
            }
            End::TooLong { bytes, limit } => {
                facts.set_item("end", "too long")?;
                facts.set_item("bytes", bytes)?;
                facts.set_item("limit", limit)?;
            }
            End::NoRoom { bytes, room } => {
                facts.set_item("end", "no room")?;
                facts.set_item("bytes", bytes)?;
                facts.set_item("room", room)?;
            }
            End::NoMemory { bytes } => {
                facts.set_item("end", "no memory")?;
                facts.set_item("bytes", bytes)?;
            }
            End::Outcome { .. } => unreachable!("it was read above"),
        }
        errands::words(py)?.from_end.bind(py).call1((facts,))
    }

    fn decode_laden<'py>(&self, py: Python<'py>, payload: &[u8]) -> PyResult<Bound<'py, PyAny>> {
        let message = Message::read(payload)?;
        let told = |error| message.told(py, error);
        let lenders = self.lenders.lock().clone();
        let (stream, buffers) = message.open(py, &lenders).map_err(told)?;
        drop(lenders);
        let stream = match stream {
            Some(stream) => stream,
            None => message.here(py)?.into_any(),
        };
        if let Some(brought) = &self.brought {
            return brought.unpack(py, stream, buffers.into_any()).map_err(told);
        }
        let named = PyDict::new(py);
        named.set_item(crate::once::interned!(py, "buffers"), buffers)?;
        let loads = py.import("_pickle")?.getattr("loads")?;
        loads.call((stream,), Some(&named)).map_err(told)
    }
}

/// A future whose task is run by another process.
pub struct RemoteJob {
    future: Option<Py<FutureBase>>,
    func: Option<Py<PyAny>>,
    /// A pool lives as long as it has tasks, whoever has forgotten it; and what it holds is then its own alone, so that the
    /// collector sees all of it. A finished future holds no pool.
    crew: Option<Py<ProcessCrew>>,
}

impl RemoteJob {
    pub fn new(future: Py<FutureBase>, func: Py<PyAny>, crew: Py<ProcessCrew>) -> RemoteJob {
        RemoteJob {
            future: Some(future),
            func: Some(func),
            crew: Some(crew),
        }
    }

    fn future(&self) -> &FutureBase {
        match &self.future {
            Some(future) => future.get(),
            None => unreachable!("taken only by the one who ends it"),
        }
    }

    /// The task in a few words: its name, or its function's. Takes no lock of the pool.
    pub fn describe(&self, py: Python<'_>) -> Option<String> {
        let name = self
            .future()
            .options()
            .and_then(|options| options.get().name.as_ref());
        match name {
            Some(name) => name.extract(py).ok(),
            None => self
                .func
                .as_ref()?
                .getattr(py, "__qualname__")
                .ok()?
                .extract(py)
                .ok(),
        }
    }

    /// The future, back to whoever may not keep it.
    pub fn into_future(mut self) -> Option<Py<FutureBase>> {
        self.future.take()
    }
}

impl Drop for RemoteJob {
    fn drop(&mut self) {
        // Perhaps without the interpreter's lock, under which alone objects may go.
        errands::bury(self.future.take(), self.func.take(), self.crew.take());
    }
}

impl Job for RemoteJob {
    fn is_cancelled(&self) -> bool {
        self.future().core.state().phase().is_cancelled()
    }

    fn placed(&self, place: u64) {
        self.future().set_place(place);
    }

    fn dismiss(self) {}

    fn give_up(&self) {
        self.future().strike();
    }

    fn is_given_up(&self) -> bool {
        self.future().is_given_up()
    }

    fn finish(mut self, mut end: End, spare: Spare) {
        let raised = end.is_error();
        let brought = match &mut end {
            End::Outcome { kind, payload, .. } if *kind & WITH_PARCEL != 0 => {
                Some(Brought::collect(payload))
            }
            _ => None,
        };
        let (Some(future), Some(func), Some(crew)) =
            (self.future.take(), self.func.take(), self.crew.take())
        else {
            return;
        };
        if let End::Outcome { wall, cpu, .. } = &end {
            crew.get().shared.meter(future.get(), *wall, *cpu);
        }
        if let End::Outcome {
            kind: PLAIN,
            payload,
            ..
        } = end
        {
            let value = Value::Plain(Box::new(Plain::new(payload)));
            complete(future, Some(func), crew, value, false);
            return;
        }
        let attempts = spare.attempts;
        let mut func = Some(func);
        let lenders = match &mut end {
            End::Outcome { loans, .. } => {
                let loans = std::mem::take(loans).into_iter();
                loans.map(|loan| Lender::Parent(Arc::new(loan))).collect()
            }
            _ => Vec::new(),
        };
        let carries = brought.is_some();
        let told = if matches!(end, End::Outcome { .. }) && !spare.open {
            func.take()
        } else {
            None
        };
        let remote = Box::new(Remote {
            end,
            attempts,
            brought,
            lenders: Lock::new(lenders),
            func,
            decoded: OnceBox::new(),
        });
        if spare.open {
            let shared = crew.get().shared.clone();
            let kept = shared.pool.keep();
            let decide = Duty::Decide(remote, spare.call, crew);
            errands::add(Errand(future, decide, kept, shared));
            return;
        }
        complete(future, told, crew, Value::Remote(remote), raised);
        if carries {
            // The last reference may lie there now, and with it descriptors whose peers wait for the end.
            errands::wake();
        }
    }
}

/// Puts the end into its future. Without the interpreter's lock, unless that is needed: then it is an errand, and the pool is kept.
///
/// `func` and `crew` are let go with it.
fn complete(
    future: Py<FutureBase>,
    func: Option<Py<PyAny>>,
    crew: Py<ProcessCrew>,
    value: Value,
    raised: bool,
) {
    let keep = || crew.get().shared.pool.keep();
    let core = &future.get().core;
    match core.state().seize() {
        Err(_) => {
            // Somebody has set a result himself.
            errands::drop_value(value);
        }
        Ok(seized) => {
            drop(core.put(&seized, value));
            match core.state().publish(seized, raised, false) {
                Ok(verdict) => {
                    if verdict == Finish::Tell {
                        core.state().tell();
                    }
                    if !core.hooks().is_empty() {
                        let mut calls = Vec::new();
                        core.fire(|call| calls.push(call));
                        if !calls.is_empty() {
                            callers::call(&crew.get().shared, future, calls, keep());
                            errands::bury(None, func, Some(crew));
                            return;
                        }
                    }
                }
                Err(seized) => {
                    if let Some(value) = core.take_back(seized, None) {
                        let finish = Duty::Finish(value, raised);
                        let shared = crew.get().shared.clone();
                        errands::add(Errand(future, finish, keep(), shared));
                        errands::bury(None, func, Some(crew));
                        return;
                    }
                }
            }
        }
    }
    errands::bury(Some(future), func, Some(crew));
}

/// Has a task tried again if its error is one that the options name, and nobody has asked to stop it. Called with the interpreter's
/// lock.
pub fn decide(
    py: Python<'_>,
    future: Py<FutureBase>,
    remote: Box<Remote>,
    call: Call,
    crew: Py<ProcessCrew>,
) {
    let again = future.get().options().is_some_and(|options| {
        remote.object(py).is_ok_and(|(raised, error)| {
            let says = || options.get().retry_on.call1(py, (error,))?.is_truthy(py);
            raised && says().unwrap_or(false)
        })
    });
    let pending = future.get().core.state().phase() == Phase::Pending;
    if again && pending && !future.get().is_given_up() {
        let func = remote
            .func
            .as_ref()
            .map_or_else(|| py.None(), |func| func.clone_ref(py));
        let job = RemoteJob::new(future.clone_ref(py), func, crew.clone_ref(py));
        // Without the interpreter's lock, as what it takes along may be copied.
        let attempts = remote.attempts;
        if py.detach(|| crew.get().shared.again(job, call, attempts)) {
            return;
        }
    }
    crew.get().shared.pool.fail();
    complete(future, None, crew, Value::Remote(remote), true);
}

/// Cancels a future whose task the pool's end has withdrawn. Its callbacks are the caller's, as all of a remote future.
pub fn withdraw(py: Python<'_>, mut job: RemoteJob, kept: &Kept<RemoteJob>) {
    let (Some(future), Some(crew)) = (job.future.take(), &job.crew) else {
        return;
    };
    let shared = &crew.get().shared;
    let core = &future.get().core;
    if core.state().is_watched() {
        let kept = kept.pool().keep();
        return errands::add(Errand(future, Duty::Cancel, kept, shared.clone()));
    }
    drop(core.cancel(true));
    let mut calls = Vec::new();
    core.fire(|call| calls.push(call));
    if calls.is_empty() {
        future.drop_ref(py);
    } else {
        callers::call(shared, future, calls, kept.pool().keep());
    }
}
