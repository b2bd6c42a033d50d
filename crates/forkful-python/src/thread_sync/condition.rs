//! A condition variable over any lock.

use super::mutex::Mutex;
use super::{in_time, limit, park_and_ring, park_through};
use crate::once::Once;
use crate::once::interned;
use forkful_core::sync::park::Batch;
use forkful_core::sync::{Line, Parker, Permits};
use forkful_core::sys::{Cover, Lock};
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

/// What a lock is to a condition.
enum Kind {
    /// A queue's: no call at all.
    Mutex(Arc<Permits>),
    /// The standard library's plain one.
    Plain,
    /// Any other one, with what it has of the three methods that a lock may offer to a condition.
    Other {
        release_save: Option<Py<PyAny>>,
        acquire_restore: Option<Py<PyAny>>,
        is_owned: Option<Py<PyAny>>,
        /// Its `__enter__` and `__exit__` do what its `acquire` and `release` do.
        is_rlock: bool,
    },
}

/// A lock, and its methods.
struct Guard {
    lock: Py<PyAny>,
    acquire: Py<PyAny>,
    release: Py<PyAny>,
    kind: Kind,
    /// Made by the condition, which sees each release: nobody else has it, or has asked for it.
    is_private: AtomicBool,
}

/// `_thread.RLock` and `_thread.lock`.
fn classes(py: Python<'_>) -> PyResult<&(Py<PyType>, Py<PyType>)> {
    static CLASSES: Once<(Py<PyType>, Py<PyType>)> = Once::new();
    CLASSES.get_or_try_init(py, || {
        let thread = py.import("_thread")?;
        let rlock = thread.getattr("RLock")?.cast_into::<PyType>()?;
        let lock = thread.call_method0("allocate_lock")?.get_type();
        Ok((rlock.unbind(), lock.unbind()))
    })
}

impl Guard {
    fn of(lock: &Bound<'_, PyAny>, is_private: bool) -> PyResult<Guard> {
        let py = lock.py();
        let (rlock, plain) = classes(py)?;
        let kind = if let Ok(mutex) = lock.cast_exact::<Mutex>() {
            Kind::Mutex(mutex.get().0.clone())
        } else if lock.get_type().is(plain) {
            Kind::Plain
        } else {
            let find = |name| -> PyResult<_> { Ok(lock.getattr_opt(name)?.map(Bound::unbind)) };
            Kind::Other {
                release_save: find(interned!(py, "_release_save"))?,
                acquire_restore: find(interned!(py, "_acquire_restore"))?,
                is_owned: find(interned!(py, "_is_owned"))?,
                is_rlock: lock.get_type().is(rlock),
            }
        };
        Ok(Guard {
            lock: lock.clone().unbind(),
            acquire: lock.getattr(interned!(py, "acquire"))?.unbind(),
            release: lock.getattr(interned!(py, "release"))?.unbind(),
            kind,
            is_private: AtomicBool::new(is_private),
        })
    }

    /// Whether the caller has it, as far as its kind can tell.
    fn is_owned(&self, py: Python<'_>) -> PyResult<bool> {
        match &self.kind {
            Kind::Mutex(permits) => Ok(permits.available() == 0),
            Kind::Plain => self
                .lock
                .call_method0(py, interned!(py, "locked"))?
                .is_truthy(py),
            Kind::Other {
                is_owned: Some(is_owned),
                ..
            } => is_owned.call0(py)?.is_truthy(py),
            Kind::Other { .. } => {
                // Whoever can take it had not got it.
                if self.acquire.call1(py, (false,))?.is_truthy(py)? {
                    self.release.call0(py)?;
                    return Ok(false);
                }
                Ok(true)
            }
        }
    }

    fn release_save(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        match &self.kind {
            Kind::Mutex(permits) => {
                let free = |_| PyRuntimeError::new_err("release unlocked lock");
                permits.release(1, 1).map_err(free)?;
                Ok(None)
            }
            Kind::Other {
                release_save: Some(release_save),
                ..
            } => release_save.call0(py).map(Some),
            _ => self.release.call0(py).map(|_| None),
        }
    }

    fn acquire_restore(&self, py: Python<'_>, state: Option<Py<PyAny>>) -> PyResult<()> {
        match &self.kind {
            Kind::Mutex(permits) => {
                let mut raised = None;
                in_time(permits.acquire(|parker| park_through(py, parker, &mut raised)))?;
                raised.map_or(Ok(()), Err)
            }
            Kind::Other {
                acquire_restore: Some(acquire_restore),
                ..
            } => acquire_restore.call1(py, (state,)).map(drop),
            _ => self.acquire.call0(py).map(drop),
        }
    }
}

/// The compiled part of `forkful.threading.Condition`.
#[pyclass(frozen, subclass, module = "forkful._engine")]
pub struct ConditionBase {
    guard: OnceLock<Guard>,
    line: OnceLock<Arc<Line>>,
    /// Who was notified, and is woken when the lock is free: earlier they could only sleep again, for the lock.
    owed: Lock<Batch>,
}

impl ConditionBase {
    fn guard(&self) -> PyResult<&Guard> {
        self.guard.get().ok_or_else(|| {
            PyRuntimeError::new_err("Condition.__init__() was not called by a subclass")
        })
    }

    fn line(&self) -> &Arc<Line> {
        self.line.get_or_init(Arc::default)
    }

    /// Shares the waiters of a queue: for a condition that nobody has seen yet.
    pub fn adopt(&self, line: &Arc<Line>) {
        let _ = self.line.set(line.clone());
    }

    /// Wakes whoever was notified, now or with the release.
    fn ring(&self, guard: &Guard, batch: Batch) {
        if guard.is_private.load(Ordering::Relaxed) {
            self.owed.lock().append(batch);
        } else {
            batch.ring();
        }
    }

    /// Who is to be woken now that the lock is being released.
    fn take_owed(&self) -> Batch {
        std::mem::take(&mut *self.owed.lock())
    }

    fn owned(&self, py: Python<'_>, verb: &str) -> PyResult<&Guard> {
        let guard = self.guard()?;
        if !guard.is_owned(py)? {
            return Err(PyRuntimeError::new_err(format!(
                "cannot {verb} on un-acquired lock"
            )));
        }
        Ok(guard)
    }
}

#[pymethods]
impl ConditionBase {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn new(_args: &Bound<'_, PyAny>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        ConditionBase {
            guard: OnceLock::new(),
            line: OnceLock::new(),
            owed: Lock::new(Batch::default()),
        }
    }

    #[pyo3(signature = (lock=None))]
    fn __init__(slf: &Bound<'_, Self>, lock: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = slf.py();
        let guard = match lock {
            Some(lock) => Guard::of(lock, false)?,
            None => Guard::of(&classes(py)?.0.bind(py).call0()?, true)?,
        };
        let _ = slf.get().guard.set(guard);
        Ok(())
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn acquire(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let _cover = Cover::enter();
        self.guard()?.acquire.call(py, args.clone(), kwargs)
    }

    #[pyo3(signature = (*args, **kwargs))]
    fn release(
        &self,
        py: Python<'_>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Py<PyAny>> {
        let _cover = Cover::enter();
        let released = self.guard()?.release.call(py, args.clone(), kwargs);
        self.take_owed().ring();
        released
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let _cover = Cover::enter();
        let guard = self.guard()?;
        match &guard.kind {
            Kind::Plain | Kind::Other { is_rlock: true, .. } => guard.acquire.call0(py),
            _ => guard.lock.call_method0(py, interned!(py, "__enter__")),
        }
    }

    #[pyo3(signature = (*args))]
    fn __exit__(&self, py: Python<'_>, args: &Bound<'_, PyTuple>) -> PyResult<Py<PyAny>> {
        let _cover = Cover::enter();
        let guard = self.guard()?;
        let released = match &guard.kind {
            Kind::Plain | Kind::Other { is_rlock: true, .. } => guard.release.call0(py),
            _ => guard
                .lock
                .call_method1(py, interned!(py, "__exit__"), args.clone()),
        };
        self.take_owed().ring();
        released
    }

    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let _cover = Cover::enter();
        let guard = self.owned(py, "wait")?;
        let deadline = limit::deadline(timeout)?;
        let line = self.line();
        let parker = Parker::take();
        line.join(&parker);
        let state = match guard.release_save(py) {
            Ok(state) => state,
            Err(error) => {
                line.leave(&parker);
                return Err(error);
            }
        };
        let waited = park_and_ring(py, &parker, deadline, self.take_owed());
        // Before the lock is taken again, so that nobody notifies one who has gone.
        let notified = waited.is_ok() || !line.leave(&parker);
        Parker::give(parker);
        let restored = guard.acquire_restore(py, state);
        let waited = in_time(waited);
        if notified && (waited.is_err() || restored.is_err()) {
            // The notification was for somebody who goes on.
            let batch = line.notify(1);
            if restored.is_ok() {
                self.ring(guard, batch);
            } else {
                batch.ring();
            }
        }
        waited?;
        restored?;
        Ok(notified)
    }

    #[pyo3(signature = (n=1))]
    fn notify(&self, py: Python<'_>, n: i64) -> PyResult<()> {
        let _cover = Cover::enter();
        let guard = self.owned(py, "notify")?;
        if n > 0 && !self.line().is_empty() {
            self.ring(guard, self.line().notify(n as usize));
        }
        Ok(())
    }

    fn notify_all(&self, py: Python<'_>) -> PyResult<()> {
        let _cover = Cover::enter();
        let guard = self.owned(py, "notify")?;
        self.ring(guard, self.line().notify(usize::MAX));
        Ok(())
    }

    fn _is_owned(&self, py: Python<'_>) -> PyResult<bool> {
        let _cover = Cover::enter();
        self.guard()?.is_owned(py)
    }

    fn _release_save(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let _cover = Cover::enter();
        let released = self.guard()?.release_save(py);
        self.take_owed().ring();
        released
    }

    fn _acquire_restore(&self, py: Python<'_>, state: Option<Py<PyAny>>) -> PyResult<()> {
        let _cover = Cover::enter();
        self.guard()?.acquire_restore(py, state)
    }

    fn _at_fork_reinit(&self, py: Python<'_>) -> PyResult<()> {
        let lock = &self.guard()?.lock;
        lock.call_method0(py, interned!(py, "_at_fork_reinit"))?;
        self.line().reset();
        drop(self.owed.reset(Batch::default()));
        Ok(())
    }

    #[getter]
    fn _lock(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let guard = self.guard()?;
        // From here on it may be released without us.
        guard.is_private.store(false, Ordering::Relaxed);
        self.take_owed().ring();
        Ok(guard.lock.clone_ref(py))
    }

    /// As many as there are waiters: what a program may ask of the standard library's deque.
    #[getter]
    fn _waiters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, 0..self.line().len())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        let Some(guard) = self.guard.get() else {
            return Ok(());
        };
        visit.call(&guard.lock)?;
        visit.call(&guard.acquire)?;
        visit.call(&guard.release)?;
        if let Kind::Other {
            release_save,
            acquire_restore,
            is_owned,
            ..
        } = &guard.kind
        {
            for method in [release_save, acquire_restore, is_owned] {
                method.iter().try_for_each(|method| visit.call(method))?;
            }
        }
        Ok(())
    }
}
