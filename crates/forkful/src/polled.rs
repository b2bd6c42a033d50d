//! What a poll of a future leaves: whom to wake.
//!
//! The task has one hook for all polls of its future, which finds the last waker here. A hook for each waker would keep all of them, and
//! with each the asynchronous task that it belongs to, until the task is done; also of a future that was dropped long before.
//!
//! Knows: nothing. Does not know: futures, tasks.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// Its future's half; with it goes what it has left.
pub(crate) struct Polled {
    last: Arc<Last>,
    /// Has the background work for it.
    _interest: Option<Box<dyn Any + Send + Sync>>,
}

/// The waker of the last poll.
struct Last(Mutex<Option<Waker>>);

impl Last {
    /// Puts another one there; the one before it is dropped by the caller, without the lock, as its code is a runtime's.
    fn replace(&self, waker: Option<Waker>) -> Option<Waker> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *last, waker)
    }
}

impl Wake for Last {
    fn wake(self: Arc<Self>) {
        let last = self.replace(None);
        if let Some(last) = last {
            last.wake();
        }
    }
}

impl Polled {
    /// Left by a first poll.
    pub(crate) fn new(waker: Waker) -> Polled {
        Polled {
            last: Arc::new(Last(Mutex::new(Some(waker)))),
            _interest: None,
        }
    }

    /// What the task wakes.
    pub(crate) fn hook(&self) -> Waker {
        Waker::from(self.last.clone())
    }

    /// Keeps something as long as it lives.
    pub(crate) fn keep(&mut self, interest: Option<Box<dyn Any + Send + Sync>>) {
        self._interest = interest;
    }

    /// From now on it is this waker. Look afterwards whether the task is done: it may have woken the one before it.
    pub(crate) fn wakes(&self, waker: &Waker) {
        let known = self.last.replace(None);
        let same = known.filter(|known| known.will_wake(waker));
        drop(
            self.last
                .replace(Some(same.unwrap_or_else(|| waker.clone()))),
        );
    }
}

impl Drop for Polled {
    fn drop(&mut self) {
        let last = self.last.replace(None);
        drop(last);
    }
}
