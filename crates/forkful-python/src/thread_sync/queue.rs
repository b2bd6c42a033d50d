//! A queue between threads: `put`, `get`, `join` and what belongs to them.
//!
//! A queue of our own classes is served without a call of Python code. One whose class overrides `_init`, `_put`, `_get` or
//! `_qsize` has them called, under the mutex. One whose `mutex` or conditions were replaced works with those.

use super::condition::ConditionBase;
use super::mutex::Mutex;
use super::store::Order;
use super::{in_time, limit, park, park_through};
use crate::errors;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::sync::park::Batch;
use forkful_core::sync::{Line, Parker, Permits};
use forkful_core::sys::{Cover, Lock};
use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};

/// The class of conditions, and the error of a queue that was shut down.
static WORDS: PyOnceLock<(Py<PyType>, Py<PyType>)> = PyOnceLock::new();

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

fn shut_down(py: Python<'_>) -> PyErr {
    match words(py) {
        Ok((_, class)) => PyErr::from_type(class.bind(py).clone(), ()),
        Err(error) => error,
    }
}

/// What a thread waits for.
#[derive(Clone, Copy)]
enum Room {
    NotEmpty,
    NotFull,
    Done,
}

const ROOMS: usize = 3;

/// What of a queue are objects.
#[derive(Default)]
struct Objects {
    store: Option<Py<PyAny>>,
    maxsize: Option<Py<PyAny>>,
    mutex: Option<Py<PyAny>>,
    conditions: [Option<Py<PyAny>>; ROOMS],
}

/// The compiled part of `forkful.queue.Queue`, `LifoQueue` and `PriorityQueue`.
#[pyclass(frozen, subclass, module = "forkful._engine")]
pub struct QueueBase {
    mutex: Arc<Permits>,
    lines: [Arc<Line>; ROOMS],
    /// 0 and less: endless.
    limit: AtomicI64,
    unfinished: AtomicI64,
    shut: AtomicBool,
    order: AtomicU8,
    /// Its class has hooks of its own.
    hooked: AtomicBool,
    /// Its mutex or a condition is not ours.
    foreign: AtomicBool,
    objects: Lock<Objects>,
}

impl QueueBase {
    fn order(&self) -> Order {
        Order::of(self.order.load(Ordering::Relaxed))
    }

    fn is_plain(&self) -> bool {
        !self.hooked.load(Ordering::Relaxed) && !self.foreign.load(Ordering::Relaxed)
    }

    fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Acquire)
    }

    fn limit(&self) -> i64 {
        self.limit.load(Ordering::Relaxed)
    }

    fn store<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let store = &self.objects.lock().store;
        let store = store.as_ref().map(|store| store.bind(py).clone());
        store.ok_or_else(|| PyAttributeError::new_err("queue"))
    }

    /// Whether an item may be put, in a plain queue.
    #[inline]
    fn has_room(&self, store: &Bound<'_, PyAny>) -> PyResult<bool> {
        let limit = self.limit();
        Ok(limit <= 0 || (self.order().len(store)? as i64) < limit)
    }

    fn line(&self, room: Room) -> &Arc<Line> {
        &self.lines[room as usize]
    }

    fn free(&self) {
        // It may have been released by somebody else, as any lock may.
        let _ = self.mutex.release(1, 1);
    }

    /// A condition of this queue, made when it is first asked for.
    fn condition<'py>(slf: &Bound<'py, Self>, room: Room) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        let known = |objects: &Objects| {
            let known = &objects.conditions[room as usize];
            known.as_ref().map(|known| known.bind(py).clone())
        };
        if let Some(known) = known(&this.objects.lock()) {
            return Ok(known);
        }
        let made = words(py)?.0.bind(py).call1((QueueBase::mutex(slf)?,))?;
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

    fn set_condition(&self, room: Room, condition: Py<PyAny>) {
        self.foreign.store(true, Ordering::Relaxed);
        let before = self.objects.lock().conditions[room as usize].replace(condition);
        drop(before);
    }
}

/// The mutex of a queue, held.
struct Held<'a, 'py> {
    slf: &'a Bound<'py, QueueBase>,
    this: &'a QueueBase,
    foreign: Option<Bound<'py, PyAny>>,
    batch: Batch,
    /// The waiter has already stood in front.
    notified: bool,
}

impl<'a, 'py> Held<'a, 'py> {
    /// Takes the mutex.
    fn take(slf: &'a Bound<'py, QueueBase>) -> PyResult<Self> {
        let (py, this) = (slf.py(), slf.get());
        let mut foreign = None;
        if this.foreign.load(Ordering::Relaxed) {
            let mutex = QueueBase::mutex(slf)?;
            mutex.call_method0(intern!(py, "acquire"))?;
            foreign = Some(mutex);
        } else {
            let never = Deadline::NEVER;
            in_time(this.mutex.acquire(|parker| park(py, parker, never)))?;
        }
        Ok(Held {
            slf,
            this,
            foreign,
            batch: Batch::default(),
            notified: false,
        })
    }

    /// Does something under the mutex, and gives it back.
    fn within<R>(
        slf: &'a Bound<'py, QueueBase>,
        run: impl FnOnce(&mut Self) -> PyResult<R>,
    ) -> PyResult<R> {
        let _cover = Cover::enter();
        let mut held = Held::take(slf)?;
        let result = run(&mut held);
        let freed = match &held.foreign {
            Some(mutex) => mutex.call_method0(intern!(slf.py(), "release")).map(drop),
            None => {
                held.this.free();
                Ok(())
            }
        };
        held.batch.ring();
        let result = result?;
        freed?;
        Ok(result)
    }

    fn len(&self) -> PyResult<i64> {
        let py = self.slf.py();
        if self.this.hooked.load(Ordering::Relaxed) {
            return self.slf.call_method0(intern!(py, "_qsize"))?.extract();
        }
        Ok(self.this.order().len(&self.this.store(py)?)? as i64)
    }

    fn put(&self, item: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.slf.py();
        if self.this.hooked.load(Ordering::Relaxed) {
            return self
                .slf
                .call_method1(intern!(py, "_put"), (item,))
                .map(drop);
        }
        self.this.order().put(&self.this.store(py)?, item)
    }

    fn get(&self) -> PyResult<Py<PyAny>> {
        let py = self.slf.py();
        if self.this.hooked.load(Ordering::Relaxed) {
            return self
                .slf
                .call_method0(intern!(py, "_get"))
                .map(Bound::unbind);
        }
        self.this.order().get(&self.this.store(py)?)
    }

    /// Notifies one waiter, or all.
    fn notify(&mut self, room: Room, all: bool) -> PyResult<()> {
        if self.foreign.is_some() {
            let name = if all { "notify_all" } else { "notify" };
            QueueBase::condition(self.slf, room)?.call_method0(name)?;
        } else if !self.this.line(room).is_empty() {
            let count = if all { usize::MAX } else { 1 };
            let more = self.this.line(room).notify(count);
            std::mem::replace(&mut self.batch, more).ring();
        }
        Ok(())
    }

    /// Waits for a notification, without the mutex meanwhile; until the deadline at most.
    fn wait(&mut self, room: Room, deadline: Deadline) -> PyResult<()> {
        let py = self.slf.py();
        if self.foreign.is_some() {
            let left = deadline.left().map(|left| left.as_secs_f64());
            QueueBase::condition(self.slf, room)?.call_method1(intern!(py, "wait"), (left,))?;
            return Ok(());
        }
        let line = self.this.line(room).clone();
        let parker = Parker::take();
        if self.notified {
            line.join_in_front(&parker);
        } else {
            line.join(&parker);
        }
        self.this.free();
        std::mem::take(&mut self.batch).ring();
        let waited = park(py, &parker, deadline);
        self.notified = waited.is_ok() || !line.leave(&parker);
        Parker::give(parker);
        let mut raised = None;
        in_time(
            self.this
                .mutex
                .acquire(|parker| park_through(py, parker, &mut raised)),
        )?;
        if let Err(WaitError::Interrupted(error)) = waited {
            raised = Some(error);
        }
        match raised {
            None => Ok(()),
            Some(error) => {
                if self.notified {
                    // It was for somebody who goes on.
                    self.notify(room, false)?;
                }
                Err(error)
            }
        }
    }

    /// Waits until `ready`, or says what `late` says.
    fn await_room(
        &mut self,
        room: Room,
        block: bool,
        timeout: Option<&Bound<'py, PyAny>>,
        ready: impl Fn(&Self) -> PyResult<bool>,
        late: impl Fn(Python<'py>) -> PyErr,
    ) -> PyResult<()> {
        let py = self.slf.py();
        if !block {
            return if ready(self)? { Ok(()) } else { Err(late(py)) };
        }
        if let Some(timeout) = timeout
            && limit::is_negative(timeout)?
        {
            return Err(PyValueError::new_err(
                "'timeout' must be a non-negative number",
            ));
        }
        if ready(self)? {
            return Ok(());
        }
        let deadline = limit::deadline(timeout)?;
        loop {
            if deadline.passed() {
                return Err(late(py));
            }
            self.wait(room, deadline)?;
            if ready(self)? {
                return Ok(());
            }
        }
    }
}

#[pymethods]
impl QueueBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        QueueBase {
            mutex: Arc::new(Permits::new(1)),
            lines: Default::default(),
            limit: AtomicI64::new(0),
            unfinished: AtomicI64::new(0),
            shut: AtomicBool::new(false),
            order: AtomicU8::new(0),
            hooked: AtomicBool::new(false),
            foreign: AtomicBool::new(false),
            objects: Lock::new(Objects::default()),
        }
    }

    #[pyo3(signature = (maxsize))]
    fn __init__(slf: &Bound<'_, Self>, maxsize: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let class = slf.get_type();
        let order: u8 = class.getattr(intern!(py, "_order"))?.extract()?;
        this.order.store(order, Ordering::Relaxed);
        let mut hooked = false;
        for name in ["_init", "_put", "_get", "_qsize"] {
            let own = py.get_type::<QueueBase>().getattr(name)?;
            hooked |= !class.getattr(name)?.is(&own);
        }
        this.hooked.store(hooked, Ordering::Relaxed);
        QueueBase::set_maxsize(slf, maxsize)?;
        if hooked {
            slf.call_method1(intern!(py, "_init"), (maxsize,))?;
        } else {
            QueueBase::_init(slf, maxsize)?;
        }
        Ok(())
    }

    /// Puts an item in, waiting for room if `block`.
    #[pyo3(
        signature = (item, block=None, timeout=None),
        text_signature = "($self, item, block=True, timeout=None)"
    )]
    fn put<'py>(
        slf: &Bound<'py, Self>,
        item: &Bound<'py, PyAny>,
        block: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        if this.is_plain() && timeout.is_none() && this.mutex.try_acquire() {
            let quick = || -> PyResult<Option<Batch>> {
                let store = this.store(py)?;
                if this.is_shut() || !this.has_room(&store)? {
                    return Ok(None);
                }
                this.order().put(&store, item)?;
                this.unfinished.fetch_add(1, Ordering::Relaxed);
                Ok(Some(this.line(Room::NotEmpty).notify(1)))
            };
            let done = if this.order() == Order::Priority {
                // Comparisons may be Python code.
                let _cover = Cover::enter();
                quick()
            } else {
                quick()
            };
            this.free();
            if let Some(batch) = done? {
                batch.ring();
                return Ok(());
            }
        }
        let block = block.map_or(Ok(true), Bound::is_truthy)?;
        Held::within(slf, |held| {
            if this.is_shut() {
                return Err(shut_down(py));
            }
            if this.limit() > 0 {
                let ready = |held: &Held<'_, '_>| {
                    Ok(this.is_shut() || held.len()? < this.limit() || this.limit() <= 0)
                };
                held.await_room(Room::NotFull, block, timeout, ready, errors::queue_full)?;
                if this.is_shut() {
                    return Err(shut_down(py));
                }
            }
            held.put(item)?;
            this.unfinished.fetch_add(1, Ordering::Relaxed);
            held.notify(Room::NotEmpty, false)
        })
    }

    /// Takes the next item, waiting for one if `block`.
    #[pyo3(
        signature = (block=None, timeout=None),
        text_signature = "($self, block=True, timeout=None)"
    )]
    fn get<'py>(
        slf: &Bound<'py, Self>,
        block: Option<&Bound<'py, PyAny>>,
        timeout: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        if this.is_plain() && timeout.is_none() && this.mutex.try_acquire() {
            let quick = || -> PyResult<Option<(Py<PyAny>, Batch)>> {
                let store = this.store(py)?;
                if this.order().len(&store)? == 0 {
                    return Ok(None);
                }
                let item = this.order().get(&store)?;
                Ok(Some((item, this.line(Room::NotFull).notify(1))))
            };
            let done = if this.order() == Order::Priority {
                let _cover = Cover::enter();
                quick()
            } else {
                quick()
            };
            this.free();
            if let Some((item, batch)) = done? {
                batch.ring();
                return Ok(item);
            }
        }
        let block = block.map_or(Ok(true), Bound::is_truthy)?;
        Held::within(slf, |held| {
            let ready = |held: &Held<'_, '_>| Ok(held.len()? != 0 || this.is_shut());
            if this.is_shut() && held.len()? == 0 {
                return Err(shut_down(py));
            }
            held.await_room(Room::NotEmpty, block, timeout, ready, errors::queue_empty)?;
            if held.len()? == 0 {
                return Err(shut_down(py));
            }
            let item = held.get()?;
            held.notify(Room::NotFull, false)?;
            Ok(item)
        })
    }

    /// One task fewer is unfinished.
    fn task_done(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        Held::within(slf, |held| {
            let unfinished = this.unfinished.load(Ordering::Relaxed) - 1;
            if unfinished < 0 {
                return Err(PyValueError::new_err("task_done() called too many times"));
            }
            if unfinished == 0 {
                held.notify(Room::Done, true)?;
            }
            this.unfinished.store(unfinished, Ordering::Relaxed);
            Ok(())
        })
    }

    /// Waits until no task is unfinished.
    fn join(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        Held::within(slf, |held| {
            while this.unfinished.load(Ordering::Relaxed) != 0 {
                held.wait(Room::Done, Deadline::NEVER)?;
            }
            Ok(())
        })
    }

    /// From here on nothing can be put; with `immediate` nothing can be got either.
    #[pyo3(signature = (immediate=None), text_signature = "($self, immediate=False)")]
    fn shutdown(slf: &Bound<'_, Self>, immediate: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let this = slf.get();
        let immediate = immediate.map_or(Ok(false), Bound::is_truthy)?;
        // What is thrown away goes when the mutex is free again: its `__del__` may use the queue.
        let mut thrown = Vec::new();
        Held::within(slf, |held| {
            this.shut.store(true, Ordering::Release);
            if immediate {
                while held.len()? != 0 {
                    thrown.push(held.get()?);
                    if this.unfinished.load(Ordering::Relaxed) > 0 {
                        this.unfinished.fetch_sub(1, Ordering::Relaxed);
                    }
                }
                held.notify(Room::Done, true)?;
            }
            held.notify(Room::NotEmpty, true)?;
            held.notify(Room::NotFull, true)
        })
    }

    fn qsize<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        Held::within(slf, |held| {
            if held.this.hooked.load(Ordering::Relaxed) {
                return slf.call_method0(intern!(py, "_qsize"));
            }
            Ok(held.len()?.into_pyobject(py)?.into_any())
        })
    }

    fn empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Held::within(slf, |held| Ok(held.len()? == 0))
    }

    fn full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let this = slf.get();
        Held::within(slf, |held| {
            Ok(0 < this.limit() && this.limit() <= held.len()?)
        })
    }

    fn _init(slf: &Bound<'_, Self>, _maxsize: &Bound<'_, PyAny>) -> PyResult<()> {
        let store = slf.get().order().store(slf.py())?;
        slf.get().set_queue(store);
        Ok(())
    }

    fn _qsize(&self, py: Python<'_>) -> PyResult<usize> {
        self.order().len(&self.store(py)?)
    }

    fn _put(&self, py: Python<'_>, item: &Bound<'_, PyAny>) -> PyResult<()> {
        self.order().put(&self.store(py)?, item)
    }

    fn _get(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.order().get(&self.store(py)?)
    }

    /// The items.
    #[getter]
    fn queue<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.store(py)
    }

    #[setter(queue)]
    fn set_queue(&self, store: Py<PyAny>) {
        let before = self.objects.lock().store.replace(store);
        drop(before);
    }

    #[getter]
    fn maxsize(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let objects = self.objects.lock();
        let maxsize = objects.maxsize.as_ref().map(|size| size.clone_ref(py));
        maxsize.ok_or_else(|| PyAttributeError::new_err("maxsize"))
    }

    #[setter(maxsize)]
    fn set_maxsize(slf: &Bound<'_, Self>, maxsize: &Bound<'_, PyAny>) -> PyResult<()> {
        let limit = match maxsize.extract::<i64>() {
            Ok(limit) => limit,
            // Fractions end at the next whole number, and what is past all numbers is never reached.
            Err(_) if maxsize.gt(0)? => maxsize
                .extract::<f64>()
                .map_or(i64::MAX, |size| size.ceil() as i64),
            Err(_) => 0,
        };
        slf.get().limit.store(limit, Ordering::Relaxed);
        let kept = maxsize.clone().unbind();
        let before = slf.get().objects.lock().maxsize.replace(kept);
        drop(before);
        Ok(())
    }

    #[getter]
    fn unfinished_tasks(&self) -> i64 {
        self.unfinished.load(Ordering::Relaxed)
    }

    #[setter(unfinished_tasks)]
    fn set_unfinished_tasks(&self, count: i64) {
        self.unfinished.store(count, Ordering::Relaxed);
    }

    #[getter]
    fn is_shutdown(&self) -> bool {
        self.is_shut()
    }

    #[setter(is_shutdown)]
    fn set_is_shutdown(&self, shut: bool) {
        self.shut.store(shut, Ordering::Release);
    }

    /// The lock under which everything happens.
    #[getter]
    fn mutex<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
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

    #[setter(mutex)]
    fn set_mutex(&self, mutex: Py<PyAny>) {
        self.foreign.store(true, Ordering::Relaxed);
        let before = self.objects.lock().mutex.replace(mutex);
        drop(before);
    }

    #[getter]
    fn not_empty<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        QueueBase::condition(slf, Room::NotEmpty)
    }

    #[setter(not_empty)]
    fn set_not_empty(&self, condition: Py<PyAny>) {
        self.set_condition(Room::NotEmpty, condition);
    }

    #[getter]
    fn not_full<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        QueueBase::condition(slf, Room::NotFull)
    }

    #[setter(not_full)]
    fn set_not_full(&self, condition: Py<PyAny>) {
        self.set_condition(Room::NotFull, condition);
    }

    #[getter]
    fn all_tasks_done<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        QueueBase::condition(slf, Room::Done)
    }

    #[setter(all_tasks_done)]
    fn set_all_tasks_done(&self, condition: Py<PyAny>) {
        self.set_condition(Room::Done, condition);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // Whoever holds the lock is about to let it go; what is not seen now is seen the next time.
        let Some(objects) = self.objects.try_lock() else {
            return Ok(());
        };
        let single = [&objects.store, &objects.maxsize, &objects.mutex];
        let all = single.into_iter().chain(&objects.conditions);
        all.flatten().try_for_each(|object| visit.call(object))
    }

    fn __clear__(&self) {
        let objects = std::mem::take(&mut *self.objects.lock());
        drop(objects);
    }
}
