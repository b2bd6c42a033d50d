//! The worker processes as their user sees them.
//!
//! Knows: the engine's pool. Does not know: tasks but for their names.

use crate::remote::RemoteJob;
use forkful_core::procs::Pool;
use forkful_core::sys::{Stamp, resident_bytes};
use forkful_core::wire::Status;
use std::time::Duration;

/// What a worker process does: see [`WorkerInfo`].
///
/// # Examples
/// ```
/// fn is_free(worker: &forkful::WorkerInfo) -> bool {
///     worker.state == forkful::WorkerState::Idle
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerState {
    /// It has not come up, or runs the initializer.
    Starting,
    /// It waits for a task.
    Idle,
    /// It runs one, or sends its result.
    Running,
    /// It is on its way out.
    Leaving,
    /// What it says of itself makes no sense.
    Unknown,
}

/// A worker process: see [`ProcessPoolExecutor::workers`](crate::ProcessPoolExecutor::workers).
///
/// # Examples
/// ```
/// fn report(worker: &forkful::WorkerInfo) -> String {
///     match &worker.task {
///         Some(task) => format!("{} runs {task} since {:?}", worker.pid, worker.since),
///         None => format!("{} has run {} tasks", worker.pid, worker.tasks),
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its process number.
    pub pid: i32,
    /// What it does.
    pub state: WorkerState,
    /// The name of the task that it runs.
    pub task: Option<String>,
    /// For how long it has been doing that.
    pub since: Duration,
    /// Resident bytes of its own, without what is shared.
    pub memory: Option<u64>,
    /// Tasks that it has ended.
    pub tasks: u64,
}

pub(crate) fn look(pool: &Pool<RemoteJob>) -> Vec<WorkerInfo> {
    if pool.is_inherited() {
        return Vec::new();
    }
    let now = Stamp::now().nanos();
    let births = pool.births().into_iter();
    births
        .map(|(seat, pid, born)| {
            let page = pool.link().page(seat).snapshot();
            let task = page
                .running
                .and_then(|(position, _)| pool.look_at(position, |job| job.0.name().to_owned()));
            let since = match page.running {
                Some((_, since)) => since,
                // Until it says something itself, and where what it says can't be.
                None => page.idle_since.max(born.nanos()),
            };
            WorkerInfo {
                pid,
                state: match page.status {
                    Some(Status::Starting) => WorkerState::Starting,
                    Some(Status::Idle) => WorkerState::Idle,
                    Some(Status::Running | Status::Writing) => WorkerState::Running,
                    Some(Status::Leaving) => WorkerState::Leaving,
                    None => WorkerState::Unknown,
                },
                task,
                since: Duration::from_nanos(now.saturating_sub(since)),
                memory: resident_bytes(pid),
                tasks: page.done,
            }
        })
        .collect()
}
