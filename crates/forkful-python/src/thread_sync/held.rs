//! A queue whose mutex one has: what is done under it, and waiting without it.

use super::parts::{QueueBase, Room};
use super::{in_time, limit, park, park_through};
use crate::once::interned;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::sync::Parker;
use forkful_core::sync::park::Batch;
use forkful_core::sys::Cover;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::atomic::Ordering;

/// The mutex of a queue, held.
pub struct Held<'a, 'py> {
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
            let mutex = QueueBase::lock(slf)?;
            mutex.call_method0(interned!(py, "acquire"))?;
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
    pub fn within<R>(
        slf: &'a Bound<'py, QueueBase>,
        run: impl FnOnce(&mut Self) -> PyResult<R>,
    ) -> PyResult<R> {
        let _cover = Cover::enter();
        let mut held = Held::take(slf)?;
        let result = run(&mut held);
        let freed = match &held.foreign {
            Some(mutex) => mutex.call_method0(interned!(slf.py(), "release")).map(drop),
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

    pub fn len(&self) -> PyResult<i64> {
        let py = self.slf.py();
        if self.this.hooked.load(Ordering::Relaxed) {
            return self.slf.call_method0(interned!(py, "_qsize"))?.extract();
        }
        Ok(self.this.order().len(&self.this.store(py)?)? as i64)
    }

    pub fn put(&self, item: &Bound<'py, PyAny>) -> PyResult<()> {
        let py = self.slf.py();
        if self.this.hooked.load(Ordering::Relaxed) {
            return self
                .slf
                .call_method1(interned!(py, "_put"), (item,))
                .map(drop);
        }
        self.this.order().put(&self.this.store(py)?, item)
    }

    pub fn get(&self) -> PyResult<Py<PyAny>> {
        let py = self.slf.py();
        if self.this.hooked.load(Ordering::Relaxed) {
            return self
                .slf
                .call_method0(interned!(py, "_get"))
                .map(Bound::unbind);
        }
        self.this.order().get(&self.this.store(py)?)
    }

    /// Notifies one waiter, or all.
    pub fn notify(&mut self, room: Room, all: bool) -> PyResult<()> {
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
    pub fn wait(&mut self, room: Room, deadline: Deadline) -> PyResult<()> {
        let py = self.slf.py();
        if self.foreign.is_some() {
            let left = deadline.left().map(|left| left.as_secs_f64());
            QueueBase::condition(self.slf, room)?.call_method1(interned!(py, "wait"), (left,))?;
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
    pub fn await_room(
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
