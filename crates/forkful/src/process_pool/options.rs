//! What a task of a process pool may, and what it is called.
//!
//! Knows: the engine's limits. Does not know: pools.

use forkful_core::procs::Limits;
use std::time::Duration;

/// Options for tasks of a [`ProcessPoolExecutor`](crate::ProcessPoolExecutor): see
/// [`with_options`](crate::ProcessPoolExecutor::with_options).
///
/// # Examples
/// ```standalone_crate
/// use forkful::{ProcessOptions, ProcessPoolExecutor, TaskError};
/// use std::time::Duration;
///
/// #[forkful::task]
/// fn sleep(millis: u64) {
///     std::thread::sleep(Duration::from_millis(millis));
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     forkful::init();
///     let pool = ProcessPoolExecutor::new(1)?;
///     let impatient = pool.with_options(ProcessOptions::new().timeout(Duration::from_millis(50)));
///     let late = impatient.submit(sleep, (60_000,)).result();
///     assert!(matches!(late, Err(TaskError::DeadlineExceeded { .. })));
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ProcessOptions {
    timeout: Option<Duration>,
    retries: u32,
    retry_panics: bool,
    priority: i32,
    name: Option<String>,
}

impl ProcessOptions {
    /// No limits: what tasks have that are submitted without options.
    ///
    /// # Examples
    /// ```
    /// let options = forkful::ProcessOptions::new();
    /// ```
    pub fn new() -> ProcessOptions {
        ProcessOptions::default()
    }

    /// How long a task may run, counted from the moment a worker begins it, for each attempt anew. Then its process is killed and replaced,
    /// and the task ends with [`TaskError::DeadlineExceeded`](crate::TaskError::DeadlineExceeded), and is not tried again.
    /// The time in which its worker starts, initializer included, does not count.
    ///
    /// # Panics
    /// If it is zero.
    ///
    /// # Examples
    /// ```
    /// let options = forkful::ProcessOptions::new().timeout(std::time::Duration::from_secs(5));
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        assert!(!timeout.is_zero(), "timeout must be longer than zero");
        self.timeout = Some(timeout);
        self
    }

    /// How often a task is run again after its process died under it. The default is 0. What was asked for (a timeout, a kill) is no
    /// reason to run it again.
    ///
    /// # Examples
    /// ```
    /// let options = forkful::ProcessOptions::new().retries(2);
    /// ```
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Whether a panic is a reason to run the task again, too. The default is no: a function that panics mostly does so again.
    /// A call of a map in chunks fails alone, and is not run again for a panic.
    ///
    /// # Examples
    /// ```
    /// let options = forkful::ProcessOptions::new().retries(2).retry_panics(true);
    /// ```
    pub fn retry_panics(mut self, retry: bool) -> Self {
        self.retry_panics = retry;
        self
    }

    /// Tasks with a smaller number run first. The default is 0. What a worker has begun, or is about to, is not held up.
    ///
    /// # Examples
    /// ```
    /// let options = forkful::ProcessOptions::new().priority(-1);
    /// ```
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// What the tasks are called in errors and in `stats()`. The default is the name of their function, and they are not counted by name.
    ///
    /// # Examples
    /// ```
    /// let options = forkful::ProcessOptions::new().name("parse");
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// The name, if it has one.
    pub(crate) fn named(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// For the engine.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            timeout: self.timeout,
            retries: self.retries,
            retry_deaths: self.retries > 0,
            keep: self.retry_panics && self.retries > 0,
            priority: self.priority,
        }
    }
}
