//! A task of a thread pool: its closure, its future's state, its result, in one allocation.
//!
//! Knows: the engine's future, the pool's shared part. Does not know: threads.

use super::crew;
use super::shared::Shared;
use crate::error::{Panicked, TaskError};
use crate::future::status_of;
use crate::home::{Callback, Ended, Home, Task};
use crate::quiet::quietly;
use forkful_core::deadline::Deadline;
use forkful_core::future::{Arrivals, Cancel, Core, Finish, Hook, State, TakeOnce, sleep_until};
use forkful_core::stats::Meter;
use forkful_core::sys::{Stamp, thread_cpu_time};
use forkful_core::threads::Worker;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// What waits in a pool's queue.
pub(super) type Queued = Arc<dyn Job>;

/// A task, as its worker sees it.
pub(crate) trait Job: Send + Sync {
    /// Runs it, unless somebody else has taken it; whether it did. `popped`: out of the queue, where its entry is otherwise still.
    fn run(&self, worker: &Worker<Queued>, popped: bool) -> bool;
    /// Fails it, as one that is not in the queue any more, unless somebody else has taken it.
    fn fail(&self, why: &str);
    /// Cancels it, as one that is not in the queue any more.
    fn cancel_drained(&self);
    /// Whether somebody has taken it.
    fn is_taken(&self) -> bool;
}

/// What a task leaves.
type Outcome<T> = TakeOnce<Result<T, TaskError>>;

/// A closure with its future's other half.
pub(super) struct Work<F, T> {
    core: Core<F, Outcome<T>, Callback>,
    shared: Arc<Shared>,
    submitted: Stamp,
    /// Of its name, if it has one.
    meter: Option<Arc<Meter>>,
}

impl<F, T> Work<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    /// Of this closure, submitted now.
    pub(super) fn new(shared: Arc<Shared>, function: F, meter: Option<Arc<Meter>>) -> Work<F, T> {
        Work {
            core: Core::new(Some(function)),
            shared,
            submitted: Stamp::now(),
            meter,
        }
    }

    /// The closure, if nobody has taken it.
    #[inline]
    pub(super) fn take_back(&self) -> Option<F> {
        self.core.begin().flatten()
    }

    /// Runs what was begun, and lets everybody know.
    fn complete(&self, worker: &Worker<Queued>, function: F) {
        let began = worker.job_begins(self.submitted);
        let result = match &self.meter {
            None => caught(function),
            Some(meter) => metered(meter, function),
        };
        let failed = result.is_err();
        let _ = worker.job_ends(began, failed);
        self.finish(result);
    }

    fn finish(&self, result: Result<T, TaskError>) {
        let failed = result.is_err();
        match self.core.finish(TakeOnce::new(result), failed) {
            Ok(Finish::Tell) => self.core.state().tell(),
            Ok(Finish::Quiet) => {}
            // Only whoever has begun it finishes it.
            Err(_) => debug_assert!(false, "a task was finished twice"),
        }
        self.fire();
    }

    fn fire(&self) {
        if !self.core.hooks().is_empty() {
            let status = status_of(self.core.state());
            self.core.fire(|callback| callback(status));
        }
    }

    /// Cancels it, and drops its closure; in the queue its entry may remain.
    fn withdraw(&self, queued: bool) -> bool {
        let (verdict, function) = self.core.cancel(true);
        match verdict {
            Cancel::Now(_) => {
                self.shared.cancelled(queued);
                quietly(|| drop(function));
                self.fire();
                true
            }
            Cancel::Already => true,
            Cancel::TooLate => false,
        }
    }
}

/// Calls a closure; a panic becomes an error.
#[inline]
fn caught<T>(function: impl FnOnce() -> T) -> Result<T, TaskError> {
    catch_unwind(AssertUnwindSafe(function))
        .map_err(|payload| TaskError::Panicked(Panicked::here(payload)))
}

/// The same with a meter: the CPU time costs two system calls, so it is for tasks with a name only.
#[cold]
fn metered<T>(meter: &Meter, function: impl FnOnce() -> T) -> Result<T, TaskError> {
    let (wall, cpu) = (Stamp::now(), thread_cpu_time());
    let result = caught(function);
    let spent = thread_cpu_time().saturating_sub(cpu);
    meter.record(Duration::from_nanos(Stamp::now().since(wall)), spent);
    result
}

impl<F, T> Job for Work<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn run(&self, worker: &Worker<Queued>, popped: bool) -> bool {
        let Some(function) = self.take_back() else {
            return false;
        };
        if popped {
            worker.pool().began();
        } else {
            self.shared.left_in_queue();
        }
        self.complete(worker, function);
        true
    }

    fn fail(&self, why: &str) {
        let pool = &self.shared.pool;
        let Some(function) = self.take_back() else {
            return pool.popped_stale();
        };
        pool.began();
        pool.finished_elsewhere(true);
        quietly(|| drop(function));
        self.finish(Err(TaskError::Broken(why.to_owned())));
    }

    fn cancel_drained(&self) {
        self.withdraw(false);
    }

    fn is_taken(&self) -> bool {
        self.has_begun()
    }
}

impl<F, T> Ended for Work<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn state(&self) -> &State {
        self.core.state()
    }

    fn has_begun(&self) -> bool {
        self.core.state().phase() as u32 != 0
    }

    fn hook(&self, hook: Hook<Callback>) {
        // The status is known when it fires, and not before.
        let call = |callback: Callback| callback(status_of(self.core.state()));
        self.core.add_hook(hook, call);
    }

    fn sweep(&self, arrivals: &Arc<Arrivals>) {
        self.core.hooks().sweep(arrivals);
        // It may have been completed while the sweep held its hooks.
        if self.core.state().phase().is_done() {
            self.fire();
        }
    }

    fn cancel(&self) -> bool {
        self.withdraw(true)
    }

    fn kill(&self) -> bool {
        false
    }

    fn wait(&self, deadline: Deadline) -> bool {
        let state = self.core.state();
        if state.told() {
            return true;
        }
        let mut _aside = None;
        if crew::is_worker_of(&self.shared) {
            if deadline.is_never() && crew::run_nested(&self.shared, self) {
                return true;
            }
            if !state.phase().is_done() {
                _aside = self.shared.step_aside();
            }
        }
        if self.shared.pool.is_inherited() && !state.phase().is_done() {
            return false;
        }
        sleep_until(state, deadline, || Ok::<(), Infallible>(())).is_ok()
    }

    fn home(&self) -> &dyn Home {
        &*self.shared
    }
}

impl<F, T> Task<T> for Work<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    fn take(&self) -> Option<Result<T, TaskError>> {
        if self.core.state().phase().is_cancelled() {
            return Some(Err(TaskError::Cancelled));
        }
        self.core.value()?.take()
    }
}
