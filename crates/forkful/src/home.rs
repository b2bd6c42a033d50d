//! What a future asks of the executor that it came from.
//!
//! Knows: errors. Does not know: which executors there are.

use crate::error::TaskError;
use forkful_core::deadline::Deadline;
use forkful_core::future::{Arrivals, Hook, State};
use std::any::Any;
use std::sync::Arc;

/// What is called when a future is done.
pub(crate) type Callback = Box<dyn FnOnce(Status) + Send>;

/// How a future ended, for whoever is called back: see [`Future::add_done_callback`](crate::Future::add_done_callback).
///
/// # Examples
/// ```
/// use forkful::Status;
///
/// let pool = forkful::ThreadPoolExecutor::new(1);
/// let (tell, told) = std::sync::mpsc::channel();
/// let future = pool.submit(|| -> u8 { panic!("on purpose") });
/// future.add_done_callback(move |status| tell.send(status).unwrap());
/// assert_eq!(told.recv()?, Status::Failed);
/// # Ok::<(), std::sync::mpsc::RecvError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// With a value.
    Returned,
    /// With an error.
    Failed,
    /// Cancelled before it began.
    Cancelled,
}

/// A task with a result, as its future sees it.
pub(crate) trait Task<T>: Ended {
    /// The result, once: `None` if it is not there yet, or taken.
    fn take(&self) -> Option<Result<T, TaskError>>;
}

/// A task, whatever its result is.
pub(crate) trait Ended: Send + Sync {
    /// Its state's word.
    fn state(&self) -> &State;
    /// Whether a worker has it, or it is done: a task of processes is begun without its parent's knowledge.
    fn has_begun(&self) -> bool;
    /// Adds a hook; it fires at once if the task is done.
    fn hook(&self, hook: Hook<Callback>);
    /// Takes the hooks of these arrivals away.
    fn sweep(&self, arrivals: &Arc<Arrivals>);
    /// Cancels it if it has not begun; whether it is cancelled now.
    fn cancel(&self) -> bool;
    /// Ends it by force if it runs in a process of its own; whether that was asked for.
    fn kill(&self) -> bool;
    /// Blocks until it is done; whether it is. A worker of its pool may run it here.
    fn wait(&self, deadline: Deadline) -> bool;
    /// The executor's part.
    fn home(&self) -> &dyn Home;
}

/// An executor, as its futures see it.
pub(crate) trait Home: Send + Sync {
    /// Tells homes apart.
    fn number(&self) -> u64;
    /// Whether it came here through a fork, so that what is not done will never be.
    fn is_inherited(&self) -> bool {
        false
    }
    /// Takes in what has come from other processes.
    fn poll(&self) {}
    /// Blocks until `ready`, doing what has to be done for that meanwhile. `Some(true)`: it is; `Some(false)`: the time is over. `None`:
    /// somebody else does it, or nothing is to be done: the caller waits in a way of his own, under [`Home::interest`].
    fn lead(&self, ready: &dyn Fn() -> bool, deadline: Deadline) -> Option<bool> {
        let _ = (ready, deadline);
        None
    }
    /// Has the background do it as long as this is alive.
    fn interest(&self) -> Option<Box<dyn Any + Send + Sync>> {
        None
    }
    /// The calling thread is about to wait for tasks of this executor: if it is one of its workers, somebody takes its place so long.
    fn step_aside(&self) -> Option<Box<dyn Any>> {
        None
    }
}

/// The home of tasks that nobody runs.
pub(crate) struct Nowhere;

impl Home for Nowhere {
    fn number(&self) -> u64 {
        0
    }
}

/// A number for a home.
pub(crate) fn next_number() -> u64 {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
