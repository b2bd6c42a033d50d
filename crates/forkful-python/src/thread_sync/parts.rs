//! What a queue is made of: its numbers, its items, its mutex and its conditions.

use super::condition::ConditionBase;
use super::mutex::Mutex;
use super::store::Order;
use crate::once::Once;
use forkful_core::sync::{Line, Permits};
use forkful_core::sys::Lock;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyType;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};

/// The class of conditions, and the error of a queue that was shut down.
static WORDS: Once<(Py<PyType>, Py<PyType>)> = Once::new();

/// Hands down what the module above makes.
#[pyfunction]
pub fn set_queue_words(condition: &Bound<'_, PyType>, shut_down: &Bound<'_, PyType>) {
    let words = (condition.clone().unbind(), shut_down.clone().unbind());
    // A second call is harmless: the module was imported again under another name.
    let _ = WORDS.set(condition.py(), words);
}

fn words(py: Python<'_>) -> PyResult<&(Py<PyType>, Py<PyType>)> {
    WORDS
        .get(py)
        .ok_or_else(|| PyTypeError::new_err("forkful.queue was not imported"))
}

pub fn shut_down(py: Python<'_>) -> PyErr {
    match words(py) {
        Ok((_, class)) => PyErr::from_type(class.bind(py).clone(), ()),
        Err(error) => error,
    }
}

/// What a thread waits for.
#[derive(Clone, Copy)]
pub enum Room {
    NotEmpty,
    NotFull,
    Done,
}

pub const ROOMS: usize = 3;

/// What of a queue are objects.
#[derive(Default)]
pub struct Objects {
    pub store: Option<Py<PyAny>>,
    pub maxsize: Option<Py<PyAny>>,
    pub mutex: Option<Py<PyAny>>,
    pub conditions: [Option<Py<PyAny>>; ROOMS],
}

/// The compiled part of `forkful.queue.Queue`, `LifoQueue` and `PriorityQueue`.
#[pyclass(frozen, subclass, module = "forkful._engine")]
pub struct QueueBase {
    pub mutex: Arc<Permits>,
    pub lines: [Arc<Line>; ROOMS],
    /// 0 and less: endless.
    pub limit: AtomicI64,
    pub unfinished: AtomicI64,
    pub shut: AtomicBool,
    pub order: AtomicU8,
    /// Its class has hooks of its own.
    pub hooked: AtomicBool,
    /// Its mutex or a condition is not ours.
    pub foreign: AtomicBool,
    pub objects: Lock<Objects>,
}

impl QueueBase {
    pub fn order(&self) -> Order {
        Order::of(self.order.load(Ordering::Relaxed))
    }

    pub fn is_plain(&self) -> bool {
        !self.hooked.load(Ordering::Relaxed) && !self.foreign.load(Ordering::Relaxed)
    }

    pub fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    pub fn limit(&self) -> i64 {
        self.limit.load(Ordering::Relaxed)
    }

    pub fn store<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let store = &self.objects.lock().store;
        let store = store.as_ref().map(|store| store.bind(py).clone());
        store.ok_or_else(|| PyAttributeError::new_err("queue"))
    }

    /// Whether an item may be put, in a plain queue.
    #[inline]
    pub fn has_room(&self, store: &Bound<'_, PyAny>) -> PyResult<bool> {
        let limit = self.limit();
        Ok(limit <= 0 || (self.order().len(store)? as i64) < limit)
    }

    pub fn line(&self, room: Room) -> &Arc<Line> {
        &self.lines[room as usize]
    }

    pub fn free(&self) {
        // It may have been released by somebody else, as any lock may.
        let _ = self.mutex.release(1, 1);
    }

    /// Its mutex as an object, made when it is first asked for.
    pub fn lock<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let known = |objects: &Objects| {
            let known = &objects.mutex;
            known.as_ref().map(|known| known.bind(py).clone())
        };
        if let Some(known) = known(&this.objects.lock()) {
            return Ok(known);
        }
        let made = Bound::new(py, Mutex(this.mutex.clone()))?.into_any();
        let mut objects = this.objects.lock();
        if let Some(known) = known(&objects) {
            drop(objects);
            return Ok(known);
        }
        objects.mutex = Some(made.clone().unbind());
        Ok(made)
    }

    /// A condition of this queue, made when it is first asked for.
    pub fn condition<'py>(slf: &Bound<'py, Self>, room: Room) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let known = |objects: &Objects| {
            let known = &objects.conditions[room as usize];
            known.as_ref().map(|known| known.bind(py).clone())
        };
        if let Some(known) = known(&this.objects.lock()) {
            return Ok(known);
        }
        let made = words(py)?.0.bind(py).call1((QueueBase::lock(slf)?,))?;
        if let Ok(base) = made.cast::<ConditionBase>() {
            base.get().adopt(this.line(room));
        }
        let mut objects = this.objects.lock();
        if let Some(known) = known(&objects) {
            drop(objects);
            return Ok(known);
        }
        objects.conditions[room as usize] = Some(made.clone().unbind());
        Ok(made)
    }

    pub fn set_condition(&self, room: Room, condition: Py<PyAny>) {
        self.foreign.store(true, Ordering::Relaxed);
        let before = self.objects.lock().conditions[room as usize].replace(condition);
        drop(before);
    }
}
