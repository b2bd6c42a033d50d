//! Lock and RLock of several processes.

use super::place::{Block, Place, Words, patience};
use crate::{detach, errors};
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::sync::{Owner, RLockCell, Taken};
use forkful_core::sys::Cover;
use pyo3::exceptions::{PyAssertionError, PyValueError};
use pyo3::prelude::*;
use std::ffi::CString;

/// Tells that the holder before this one died.
pub fn warn(py: Python<'_>, dead: Owner) -> PyResult<()> {
    let _cover = Cover::enter();
    let text = format!(
        "process {} died while it held this lock, which has been recovered; what the lock guards may be half changed",
        dead.pid()
    );
    let text = CString::new(text).unwrap_or_default();
    PyErr::warn(py, errors::owner_died_warning(py)?, &text, 1)
}

/// After an attempt: whether the lock was got. An error of the warning, where warnings are errors, finds the lock given back.
#[inline]
fn got(py: Python<'_>, taken: Option<Taken>, give_back: impl FnOnce()) -> PyResult<bool> {
    match taken {
        None => Ok(false),
        Some(Taken::Clean) => Ok(true),
        Some(Taken::Recovered(dead)) => match warn(py, dead) {
            Ok(()) => Ok(true),
            Err(error) => {
                give_back();
                Err(error)
            }
        },
    }
}

/// Why a wait for a lock has ended before its time.
enum Ended {
    Raised(PyErr),
    /// A signal handler has forked, and this is the child: it must not take the lock in its parent's name.
    Forked,
}

/// Waits for a lock, in the name of the process that this is when it is got.
fn waited(
    py: Python<'_>,
    acquire: impl Fn(Owner, &dyn Fn() -> Result<(), Ended>) -> Result<Taken, WaitError<Ended>> + Sync,
) -> PyResult<Option<Taken>> {
    loop {
        let me = Owner::me();
        let check = || match detach::check_signals() {
            Err(error) => Err(Ended::Raised(error)),
            Ok(()) if me.is_me() => Ok(()),
            Ok(()) => Err(Ended::Forked),
        };
        match py.detach(|| acquire(me, &check)) {
            Ok(taken) => return Ok(Some(taken)),
            Err(WaitError::TimedOut) => return Ok(None),
            Err(WaitError::Interrupted(Ended::Raised(error))) => return Err(error),
            Err(WaitError::Interrupted(Ended::Forked)) => {}
        }
    }
}

/// Says who holds it, in the words of `repr`: nobody, this thread, another one, another process.
fn holder(words: &RLockCell) -> &'static str {
    match words.lock.owner() {
        None => "nobody",
        Some(_) if words.is_mine(Owner::me()) => "me",
        Some(owner) if owner.is_me() => "thread",
        Some(_) => "process",
    }
}

macro_rules! common {
    ($class:ident, { $($own:tt)* }) => {
        #[pymethods]
        impl $class {
            #[new]
            #[pyo3(signature = (place=None))]
            fn new(place: Option<Place<'_>>) -> PyResult<$class> {
                Ok($class { words: Words::at(place)? })
            }

            /// Takes it, an RLock of this thread once more; whether it was got.
            #[pyo3(signature = (block=Block(true), timeout=None), text_signature = "($self, block=True, timeout=None)")]
            fn acquire(
                &self,
                py: Python<'_>,
                block: Block,
                timeout: Option<&Bound<'_, PyAny>>,
            ) -> PyResult<bool> {
                if self.words.get().take_free(Owner::me()) {
                    return Ok(true);
                }
                self.wait(py, patience(block, timeout)?)
            }

            fn __enter__(&self, py: Python<'_>) -> PyResult<bool> {
                if self.words.get().take_free(Owner::me()) {
                    return Ok(true);
                }
                self.wait(py, Some(Deadline::NEVER))
            }

            #[pyo3(signature = (*_args))]
            fn __exit__(&self, _args: &Bound<'_, pyo3::types::PyTuple>) -> PyResult<()> {
                self.release()
            }

            /// The pid of the last holder that died with the lock in its hand; None if none has.
            #[getter]
            fn owner_died(&self) -> Option<u32> {
                self.words.get().lock.last_death().map(Owner::pid)
            }

            /// Whether anybody holds it.
            fn locked(&self) -> bool {
                self.words.get().lock.owner().is_some()
            }

            fn _is_mine(&self) -> bool {
                self.words.get().is_mine(Owner::me())
            }

            fn _is_zero(&self) -> bool {
                self.locked()
            }

            fn _get_value(&self) -> u32 {
                u32::from(!self.locked())
            }

            /// How often this process has taken it.
            fn _count(&self) -> u64 {
                let words = self.words.get();
                if words.lock.owner().is_some_and(Owner::is_me) { words.count() } else { 0 }
            }

            fn _holder(&self) -> &'static str {
                holder(self.words.get())
            }

            fn _hand_over(&self) -> PyResult<(i32, usize)> {
                self.words.hand_over()
            }

            fn _identity(&self) -> (u64, u64, usize) {
                self.words.identity()
            }

            $($own)*
        }
    };
}

/// A lock that one process or thread takes and any may give back; one whose process dies is followed.
#[pyclass(subclass, frozen, module = "forkful._engine")]
pub struct ProcessLock {
    words: Words<RLockCell>,
}

impl ProcessLock {
    pub fn cell(&self) -> &RLockCell {
        self.words.get()
    }

    fn wait(&self, py: Python<'_>, deadline: Option<Deadline>) -> PyResult<bool> {
        let (words, me) = (self.words.get(), Owner::me());
        let taken = match deadline {
            None => words.try_acquire_once(me),
            Some(deadline) => waited(py, |me, check| words.acquire_once(me, deadline, check))?,
        };
        got(py, taken, || {
            let _ = words.release_any();
        })
    }
}

common!(ProcessLock, {
    /// Gives it back, whoever holds it.
    fn release(&self) -> PyResult<()> {
        let released = self.words.get().release_any();
        released.map_err(|_| PyValueError::new_err("semaphore or lock released too many times"))
    }
});

/// A lock that its thread may take again; one whose process dies is followed.
#[pyclass(subclass, frozen, module = "forkful._engine")]
pub struct ProcessRLock {
    words: Words<RLockCell>,
}

impl ProcessRLock {
    pub fn cell(&self) -> &RLockCell {
        self.words.get()
    }

    fn wait(&self, py: Python<'_>, deadline: Option<Deadline>) -> PyResult<bool> {
        let (words, me) = (self.words.get(), Owner::me());
        let taken = match deadline {
            None => words.try_acquire(me),
            Some(_) if words.is_mine(me) => words.try_acquire(me),
            Some(deadline) => waited(py, |me, check| words.acquire(me, deadline, check))?,
        };
        got(py, taken, || {
            let _ = words.release(Owner::me());
        })
    }
}

common!(ProcessRLock, {
    /// Gives it back, if this thread holds it.
    fn release(&self) -> PyResult<()> {
        let released = self.words.get().release(Owner::me());
        released.map_err(|_| {
            PyAssertionError::new_err("attempt to release recursive lock not owned by thread")
        })
    }
});
