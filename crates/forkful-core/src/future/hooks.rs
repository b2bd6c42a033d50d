//! What happens when a future is done: hooks, each fired exactly once.

use super::state::State;
use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::prim::Ordering;
use crate::sys::{Slept, Stack, Word, spin_until};
use crossbeam_queue::SegQueue;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

/// One thing to do when a future is done.
#[derive(Debug)]
pub enum Hook<C> {
    /// Call this; fires when the future is finished or cancelled.
    Call(C),
    /// Poll the task that awaits it; likewise.
    Wake(Waker),
    /// Tell that it has come; fires when the future is finished, or cancelled and notified.
    Arrive(Arc<Arrivals>, usize),
}

/// The hooks of one future.
///
/// Whoever pushes must look at the phase afterwards, whoever changes the phase must fire afterwards: so either sees the other.
#[derive(Debug)]
pub struct Hooks<C>(pub(super) Stack<Hook<C>>);

impl<C> Default for Hooks<C> {
    #[inline]
    fn default() -> Self {
        Hooks(Stack::default())
    }
}

impl<C> Hooks<C> {
    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&self, hook: Hook<C>) {
        self.0.push(hook);
    }

    /// Fires arrivals and wakers as far as the state allows, and returns the calls to make; `None` when nothing is left to do.
    pub(super) fn fire(&self, state: &State) -> Option<Vec<C>> {
        if self.0.is_empty() || !state.phase().is_done() {
            return None;
        }
        let settled = state.phase().is_settled();
        let (mut calls, mut kept) = (Vec::new(), false);
        for hook in self.0.take() {
            match hook {
                Hook::Call(call) => calls.push(call),
                // Somebody else's code: if it panics, the other hooks fire all the same.
                Hook::Wake(waker) => {
                    let wake = AssertUnwindSafe(|| waker.wake());
                    let _ = catch_unwind(wake).map_err(std::mem::forget);
                }
                Hook::Arrive(arrivals, token) if settled => arrivals.arrive(token),
                early => {
                    self.0.push(early);
                    kept = true;
                }
            }
        }
        // What was kept waits for the notification, unless that came while we held it.
        let again = !calls.is_empty() || (kept && !settled && state.phase().is_settled());
        again.then_some(calls)
    }

    /// Takes the hooks of `arrivals` away again. Look at the phase afterwards.
    pub fn sweep(&self, arrivals: &Arc<Arrivals>) {
        for hook in self.0.take() {
            match hook {
                Hook::Arrive(swept, _) if Arc::ptr_eq(&swept, arrivals) => {}
                kept => self.0.push(kept),
            }
        }
    }

    /// The calls that are registered, taken away.
    pub fn take_calls(&self) -> Vec<C> {
        let mut calls = Vec::new();
        for hook in self.0.take() {
            match hook {
                Hook::Call(call) => calls.push(call),
                kept => self.0.push(kept),
            }
        }
        calls
    }
}

/// Nobody sleeps.
const AWAKE: u32 = 0;
/// The one consumer sleeps, or is about to.
const ASLEEP: u32 = 1;

/// Where the futures of one `wait` or `as_completed` arrive, in the order of their completion; one thread takes them.
#[derive(Debug)]
pub struct Arrivals {
    queue: SegQueue<usize>,
    word: Word,
}

impl Default for Arrivals {
    fn default() -> Self {
        Arrivals {
            queue: SegQueue::new(),
            word: Word::new(AWAKE),
        }
    }
}

impl Arrivals {
    /// Reports that the future with this token has come.
    pub fn arrive(&self, token: usize) {
        self.queue.push(token);
        // SYNC(arrivals.sleep): release
        if self.word.swap(AWAKE, Ordering::SeqCst) == ASLEEP {
            self.word.wake(1);
        }
    }

    /// Whether none has come that was not taken.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next one that has come already.
    pub fn pop(&self) -> Option<usize> {
        self.queue.pop()
    }

    /// The next one, waiting for it if need be.
    pub fn next<E>(
        &self,
        deadline: Deadline,
        mut interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<usize, WaitError<E>> {
        if !spin_until(|| !self.queue.is_empty()) {
            interrupt().map_err(WaitError::Interrupted)?;
        }
        loop {
            // SYNC(arrivals.sleep): acquire
            self.word.store(ASLEEP, Ordering::SeqCst);
            crate::prim::fence(Ordering::SeqCst);
            if let Some(token) = self.queue.pop() {
                self.word.store(AWAKE, Ordering::SeqCst);
                return Ok(token);
            }
            match self.word.sleep(ASLEEP, deadline) {
                Slept::Woken => {}
                Slept::Interrupted => interrupt().map_err(WaitError::Interrupted)?,
                Slept::TimedOut => return self.queue.pop().ok_or(WaitError::TimedOut),
            }
        }
    }
}
