//! A task of a thread pool: its closure, its future's state, its result, in one allocation.
//!
//! Knows: the engine's future, the pool's shared part. Does not know: threads.

use super::crew;
use super::shared::{Shared, find};
use crate::error::{Panicked, TaskError};
use crate::future::status_of;
use crate::home::{self, Callback, Ended, Home, Task};
use crate::quiet::quietly;
use forkful_core::deadline::Deadline;
use forkful_core::fork;
use forkful_core::future::{
    Arrivals, Cancel, Core, Finish, Hook, Seized, State, TakeOnce, sleep_until,
};
use forkful_core::stats::Meter;
use forkful_core::sys::{Stamp, thread_cpu_time};
use forkful_core::threads::Worker;
use std::any::Any;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

/// What waits in a pool's queue.
pub(super) type Queued = Arc<dyn Job>;

/// A task, as its worker sees it.
pub(crate) trait Job: Send + Sync {
    /// Runs it, unless somebody else has taken it; whether it did. `begun` is called when it is known that it will.
    fn run(&self, worker: &Worker<Queued>, begun: &dyn Fn()) -> bool;
    /// Fails it, as one that is not in the queue any more, unless somebody else has taken it.
    fn fail(&self, shared: &Shared, why: &str);
    /// Cancels it, as one that is not in the queue any more.
    fn cancel_drained(&self, shared: &Shared);
    /// Whether somebody has taken it.
    fn is_taken(&self) -> bool;
}

/// What a task leaves. The error is boxed, as it is rare and larger than most values: every task would be as large as it.
type Outcome<T> = TakeOnce<Result<T, Box<TaskError>>>;

/// A closure with its future's other half.
pub(super) struct Work<F, T> {
    core: Core<F, Outcome<T>, Callback>,
    pool: PoolNumber,
    submitted: Stamp,
    /// Of its name, if it has one.
    meter: Option<Arc<Meter>>,
}

/// Which pool a task is of.
///
/// Not the pool itself: that were a reference count which submitter and worker both change for each task.
#[derive(Clone, Copy)]
pub(super) struct PoolNumber {
    number: u32,
    /// Of forks: in another one nobody runs it.
    generation: u32,
}

impl PoolNumber {
    /// The next one.
    pub(super) fn new() -> PoolNumber {
        PoolNumber {
            // After four thousand millions of pools they may come again; two that live at once have two numbers.
            number: home::next_number() as u32,
            generation: fork::generation(),
        }
    }

    /// The number.
    #[inline]
    pub(super) fn get(self) -> u32 {
        self.number
    }
}

impl Home for PoolNumber {
    fn number(&self) -> u64 {
        u64::from(self.number)
    }

    fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    fn step_aside(&self) -> Option<Box<dyn Any>> {
        crew::step_aside(*self)
    }
}

impl<F, T> Work<F, T>
where
    F: FnOnce() -> T + Send,
    T: Send,
{
    /// Of this closure, submitted now.
    #[inline]
    pub(super) fn new(pool: PoolNumber, function: F, meter: Option<Arc<Meter>>) -> Work<F, T> {
        Work {
            core: Core::new(Some(function)),
            pool,
            submitted: Stamp::reckoned(),
            meter,
        }
    }

    /// The closure, if nobody has taken it.
    #[inline]
    pub(super) fn take_back(&self) -> Option<F> {
        self.core.begin().flatten()
    }

    /// Runs what was begun for good, and lets everybody know.
    #[inline]
    fn complete(&self, worker: &Worker<Queued>, function: F, seized: Seized) {
        let began = worker.job_begins(self.submitted);
        let result = match &self.meter {
            None => caught(function),
            Some(meter) => metered(meter, function),
        };
        let failed = result.is_err();
        let _ = worker.job_ends(began, failed);
        if self.finish(result, seized) {
            worker.look_at_clock();
        }
    }

    /// Whether there was something to call.
    #[inline]
    fn finish(&self, result: Result<T, Box<TaskError>>, seized: Seized) -> bool {
        let failed = result.is_err();
        // The closure was taken out before, so nothing comes back.
        drop(self.core.put(&seized, TakeOnce::new(result)));
        match self.core.state().publish(seized, failed, true) {
            Ok(Finish::Quiet) => {}
            _ => self.core.state().tell(),
        }
        let called = !self.core.hooks().is_empty();
        if called {
            self.fire();
        }
        called
    }

    #[cold]
    fn fire(&self) {
        let status = status_of(self.core.state());
        self.core.fire(|callback| callback(status));
    }

    /// Cancels it, and drops its closure; in the queue its entry may remain.
    fn withdraw(&self, drained_by: Option<&Shared>) -> bool {
        let (verdict, function) = self.core.cancel(true);
        match verdict {
            Cancel::Now(_) => {
                match drained_by {
                    Some(shared) => shared.cancelled(false),
                    None if self.pool.is_inherited() => {}
                    None => find(self.pool)
                        .iter()
                        .for_each(|shared| shared.cancelled(true)),
                }
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
fn caught<T>(function: impl FnOnce() -> T) -> Result<T, Box<TaskError>> {
    catch_unwind(AssertUnwindSafe(function)).map_err(panicked)
}

#[cold]
fn panicked(payload: Box<dyn Any + Send>) -> Box<TaskError> {
    Box::new(TaskError::Panicked(Panicked::here(payload)))
}

/// The same with a meter: the CPU time costs two system calls, so it is for tasks with a name only.
#[cold]
fn metered<T>(meter: &Meter, function: impl FnOnce() -> T) -> Result<T, Box<TaskError>> {
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
    fn run(&self, worker: &Worker<Queued>, begun: &dyn Fn()) -> bool {
        let Some((Some(function), seized)) = self.core.begin_seized() else {
            return false;
        };
        begun();
        self.complete(worker, function, seized);
        true
    }

    fn fail(&self, shared: &Shared, why: &str) {
        let Some((Some(function), seized)) = self.core.begin_seized() else {
            return shared.pool.popped_stale();
        };
        shared.pool.began();
        shared.pool.finished_elsewhere(true);
        quietly(|| drop(function));
        let error = TaskError::Broken(why.to_owned());
        self.finish(Err(Box::new(error)), seized);
    }

    fn cancel_drained(&self, shared: &Shared) {
        if self.is_taken() || !self.withdraw(Some(shared)) {
            // Cancelled before, or begun in the wait of a worker.
            shared.pool.popped_stale();
        }
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
        self.withdraw(None)
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
        if crew::is_worker_of(self.pool) {
            if deadline.is_never() && crew::run_nested(self.pool, self) {
                return true;
            }
            if !state.phase().is_done() {
                _aside = crew::step_aside(self.pool);
            }
        }
        if self.pool.is_inherited() && !state.phase().is_done() {
            return false;
        }
        sleep_until(state, deadline, || Ok::<(), Infallible>(())).is_ok()
    }

    fn home(&self) -> &dyn Home {
        &self.pool
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
        let result = self.core.value()?.take()?;
        Some(result.map_err(|error| *error))
    }
}
