//! A queue between threads: `put`, `get`, `join` and what belongs to them.
//!
//! A queue of our own classes is served without a call of Python code. One whose class overrides `_init`, `_put`, `_get` or
//! `_qsize` has them called, under the mutex. One whose `mutex` or conditions were replaced works with those.

use super::held::Held;
use super::parts::{Objects, QueueBase, Room, shut_down};
use super::store::Order;
use crate::errors;
use crate::once::interned;
use forkful_core::deadline::Deadline;
use forkful_core::sync::Permits;
use forkful_core::sync::park::Batch;
use forkful_core::sys::{Cover, Lock};
use pyo3::exceptions::{PyAttributeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering};

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
        let order: u8 = class.getattr(interned!(py, "_order"))?.extract()?;
        this.order.store(order, Ordering::Relaxed);
        let mut hooked = false;
        for name in ["_init", "_put", "_get", "_qsize"] {
            let own = py.get_type::<QueueBase>().getattr(name)?;
            hooked |= !class.getattr(name)?.is(&own);
        }
        this.hooked.store(hooked, Ordering::Relaxed);
        QueueBase::set_maxsize(slf, maxsize)?;
        if hooked {
            slf.call_method1(interned!(py, "_init"), (maxsize,))?;
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
            if slf.get().hooked.load(Ordering::Relaxed) {
                return slf.call_method0(interned!(py, "_qsize"));
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
        QueueBase::lock(slf)
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
