//! What a pool of threads, and its tasks, can be told.
//!
//! Knows: the pool's shared part. Does not know: threads.

use super::ThreadPoolExecutor;
use super::shared::{Initializer, Shared};
use crate::error::BuildError;
use forkful_core::threads::Pool;
use std::fmt;

/// Settings of a pool of threads: see [`ThreadPoolExecutor::builder`].
///
/// # Examples
/// ```
/// let pool = forkful::ThreadPoolExecutor::builder()
///     .workers(4)
///     .name("io")
///     .max_pending(1000)
///     .initializer(|| println!("{:?} begins", std::thread::current().name()))
///     .build()?;
/// assert_eq!(pool.submit(|| 1).result()?, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a builder does nothing before build() is called"]
#[derive(Default)]
pub struct ThreadPoolBuilder {
    workers: Option<usize>,
    name: Option<String>,
    max_pending: Option<usize>,
    stack_size: Option<usize>,
    initializer: Option<Initializer>,
}

impl ThreadPoolBuilder {
    /// At most so many threads, which are started when tasks come. The default is [`std::thread::available_parallelism`].
    ///
    /// A thread that waits for a task of its own pool does not count: another may take its place.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// What the threads are called, followed by `_0`, `_1` and so on. The default is `forkful`. Linux shows 15 bytes of it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// So many tasks may wait; whoever submits one more blocks until there is room. The default is any number.
    ///
    /// The pool's own threads are never blocked: they are who makes room.
    pub fn max_pending(mut self, tasks: usize) -> Self {
        self.max_pending = Some(tasks);
        self
    }

    /// The stack of each thread, in bytes. The default is the standard library's: 2 MiB, or what `RUST_MIN_STACK` says.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// What each thread calls before its first task.
    ///
    /// If it panics, the pool is broken: what waits ends with [`TaskError::Broken`](crate::TaskError::Broken), and no more is taken.
    pub fn initializer(mut self, initializer: impl Fn() + Send + Sync + 'static) -> Self {
        self.initializer = Some(Box::new(initializer));
        self
    }

    /// Makes the pool. No thread is started yet.
    ///
    /// # Errors
    /// [`BuildError::Setting`] for 0 workers, a bound of 0, or a name with a zero byte.
    pub fn build(self) -> Result<ThreadPoolExecutor, BuildError> {
        let default = || std::thread::available_parallelism().map_or(1, usize::from);
        let workers = self.workers.unwrap_or_else(default);
        if workers == 0 {
            return setting("workers must be at least 1, not 0");
        }
        if self.max_pending == Some(0) {
            return setting(
                "max_pending must be at least 1, not 0: leave it out for any number of tasks",
            );
        }
        let name = self.name.unwrap_or_else(|| "forkful".to_owned());
        if name.contains('\0') {
            return setting("name must not contain a zero byte, as the names of threads can't");
        }
        let limit = u32::try_from(workers).unwrap_or(u32::MAX);
        // A bound of more than can be counted is none.
        let max_pending = u32::try_from(self.max_pending.unwrap_or(0)).unwrap_or(0);
        let pool = Pool::new(limit, max_pending);
        Ok(ThreadPoolExecutor::of(Shared::new(
            pool,
            name,
            self.initializer,
            self.stack_size,
        )))
    }
}

fn setting<T>(text: &str) -> Result<T, BuildError> {
    Err(BuildError::Setting(text.to_owned()))
}

impl fmt::Debug for ThreadPoolBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPoolBuilder")
            .field("workers", &self.workers)
            .field("name", &self.name)
            .field("max_pending", &self.max_pending)
            .field("stack_size", &self.stack_size)
            .finish_non_exhaustive()
    }
}

/// Options of tasks: see [`ThreadPoolExecutor::with_options`].
///
/// # Examples
/// ```
/// use forkful::{ThreadOptions, ThreadPoolExecutor};
///
/// let pool = ThreadPoolExecutor::new(2);
/// let urgent = pool.with_options(ThreadOptions::new().priority(-1).name("urgent"));
/// assert_eq!(urgent.submit(|| 1 + 1).result()?, 2);
/// assert_eq!(pool.stats().tasks["urgent"].calls, 1);
/// # Ok::<(), forkful::TaskError>(())
/// ```
#[must_use = "options do nothing before they are given to with_options"]
#[derive(Clone, Debug, Default)]
pub struct ThreadOptions {
    pub(super) priority: i32,
    pub(super) name: Option<String>,
}

impl ThreadOptions {
    /// What tasks have without options: priority 0, no name.
    pub fn new() -> ThreadOptions {
        ThreadOptions::default()
    }

    /// Smaller runs first; among equals, what was submitted first. It decides between tasks that wait: one that runs goes on.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// A name under which [`Stats::tasks`](crate::Stats::tasks) counts calls, wall time and CPU time. That costs about 1 us a task.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}
