//! How work is refused, and how a task ends that has no value.
//!
//! Knows: nothing of the rest. Does not know: executors.

use std::any::Any;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;
use thiserror::Error;

/// Why a future has no value.
///
/// # Examples
/// ```
/// use forkful::{TaskError, ThreadPoolExecutor};
///
/// let pool = ThreadPoolExecutor::new(1);
/// match pool.submit(|| "7x".parse::<i32>().unwrap()).result() {
///     Ok(number) => println!("{number}"),
///     Err(TaskError::Panicked(panicked)) => println!("{}", panicked.message()),
///     Err(TaskError::WorkerDied(death)) => println!("the process {} is gone", death.pid),
///     Err(other) => println!("{other}"),
/// }
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TaskError {
    /// It was cancelled before it began: by [`Future::cancel`](crate::Future::cancel), or by a shutdown that cancels.
    #[error("the task was cancelled")]
    Cancelled,
    /// The time of a wait is over. The task itself goes on, and its future can be asked again.
    #[error("the task was not done in time; it goes on")]
    TimedOut,
    /// The function panicked.
    #[error(transparent)]
    Panicked(#[from] Panicked),
    /// The task's process died under it.
    #[error("{0}")]
    WorkerDied(Box<WorkerDied>),
    /// It ran longer than its options allow, and its process was killed.
    #[error("the task ran longer than its {} allow, and was ended: {death}", in_seconds(*limit))]
    #[non_exhaustive]
    DeadlineExceeded {
        /// What the options allow.
        limit: Duration,
        /// How its process ended.
        death: Box<WorkerDied>,
    },
    /// [`Future::kill`](crate::Future::kill) ended it.
    #[error("the task was killed: {0}")]
    Killed(Box<WorkerDied>),
    /// Its process had more memory than the executor's limit, and was killed.
    #[error(
        "the task was ended, as its process had {bytes} bytes of memory, more than the executor's limit: {death}"
    )]
    #[non_exhaustive]
    MemoryLimit {
        /// What it had.
        bytes: u64,
        /// How its process ended.
        death: Box<WorkerDied>,
    },
    /// The executor broke down before the task ran: its initializer failed, or its workers can't be started.
    #[error("the executor is broken: {0}")]
    Broken(String),
    /// Arguments or result can't be sent between processes.
    #[error("{0}")]
    NotSent(String),
    /// The executor took no more work when it was submitted.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl TaskError {
    /// What is known of a worker's death, where the task ended with one.
    ///
    /// # Examples
    /// ```
    /// fn is_worth_another_try(error: &forkful::TaskError) -> bool {
    ///     error.death().is_some_and(|death| death.out_of_memory)
    /// }
    /// assert!(!is_worth_another_try(&forkful::TaskError::Cancelled));
    /// ```
    pub fn death(&self) -> Option<&WorkerDied> {
        match self {
            TaskError::WorkerDied(death) | TaskError::Killed(death) => Some(death),
            TaskError::DeadlineExceeded { death, .. } | TaskError::MemoryLimit { death, .. } => {
                Some(death)
            }
            _ => None,
        }
    }
}

impl TaskError {
    /// The same for another call that it is an end of, but for a panic's payload.
    pub(crate) fn repeated(&self) -> TaskError {
        match self {
            TaskError::Cancelled => TaskError::Cancelled,
            TaskError::TimedOut => TaskError::TimedOut,
            TaskError::Panicked(panicked) => TaskError::Panicked(Panicked {
                message: panicked.message.clone(),
                location: panicked.location.clone(),
                backtrace: panicked.backtrace.clone(),
                payload: None,
            }),
            TaskError::WorkerDied(death) => TaskError::WorkerDied(death.clone()),
            TaskError::DeadlineExceeded { limit, death } => TaskError::DeadlineExceeded {
                limit: *limit,
                death: death.clone(),
            },
            TaskError::Killed(death) => TaskError::Killed(death.clone()),
            TaskError::MemoryLimit { bytes, death } => TaskError::MemoryLimit {
                bytes: *bytes,
                death: death.clone(),
            },
            TaskError::Broken(text) => TaskError::Broken(text.clone()),
            TaskError::NotSent(text) => TaskError::NotSent(text.clone()),
            TaskError::Refused(refusal) => TaskError::Refused(refusal.clone()),
        }
    }
}

fn in_seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

/// Why an executor takes no work.
///
/// # Examples
/// ```
/// use forkful::{Refusal, Shutdown, ThreadPoolExecutor};
///
/// let pool = ThreadPoolExecutor::new(1);
/// pool.shutdown(Shutdown::Wait);
/// assert_eq!(pool.try_submit(|| 1).unwrap_err().refusal, Refusal::ShutDown);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It was shut down.
    #[error("the executor was shut down and takes no more tasks")]
    ShutDown,
    /// It broke down.
    #[error("the executor is broken and takes no more tasks: {0}; make a new one")]
    Broken(String),
    /// It belongs to the process that has forked this one.
    #[error(
        "the executor was made before a fork, and its workers belong to the parent process; make a new one"
    )]
    Inherited,
    /// The function is not registered as a task.
    #[error(
        "the function {0} is not registered as a task: put #[forkful::task] before it, or call forkful::register before forkful::init"
    )]
    NotRegistered(&'static str),
}

/// Work that was not taken, handed back.
///
/// # Examples
/// ```
/// use forkful::{Shutdown, ThreadPoolExecutor};
///
/// let pool = ThreadPoolExecutor::new(1);
/// pool.shutdown(Shutdown::Wait);
/// let error = pool.try_submit(|| 6 * 7).unwrap_err();
/// // Then it is done here.
/// assert_eq!((error.work)(), 42);
/// ```
#[derive(Error)]
#[error("{refusal}")]
#[non_exhaustive]
pub struct SubmitError<W> {
    /// The work, untouched.
    pub work: W,
    /// Why.
    #[source]
    pub refusal: Refusal,
}

impl<W> fmt::Debug for SubmitError<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SubmitError")
            .field("refusal", &self.refusal)
            .finish_non_exhaustive()
    }
}

/// Why an executor could not be made.
///
/// # Examples
/// ```
/// use forkful::{BuildError, ThreadPoolExecutor};
///
/// let built = ThreadPoolExecutor::builder().workers(0).build();
/// assert!(matches!(built, Err(BuildError::Setting(text)) if text.starts_with("workers")));
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A setting makes no sense; the text names it, and the way out.
    #[error("{0}")]
    Setting(String),
    /// `forkful::init()` was not called in this program.
    #[error(
        "worker processes start by running this program again: call forkful::init() first of all in main (in tests: forkful::test_support!())"
    )]
    NotInitialised,
    /// The system refuses something.
    #[error("{what}: {source}")]
    #[non_exhaustive]
    System {
        /// What for.
        what: &'static str,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A panic of a task.
///
/// # Examples
/// ```
/// use forkful::{TaskError, ThreadPoolExecutor};
///
/// let pool = ThreadPoolExecutor::new(1);
/// let Err(TaskError::Panicked(panicked)) = pool.submit(|| std::panic::panic_any(7)).result() else {
///     unreachable!("it always panics");
/// };
/// assert_eq!(panicked.into_payload().downcast_ref(), Some(&7));
/// ```
pub struct Panicked {
    message: String,
    location: Option<String>,
    backtrace: Option<String>,
    payload: Option<Mutex<Box<dyn Any + Send>>>,
}

impl Panicked {
    /// One of this process, with its payload.
    pub(crate) fn here(payload: Box<dyn Any + Send>) -> Panicked {
        Panicked {
            message: message_of(&*payload),
            location: None,
            backtrace: None,
            payload: Some(Mutex::new(payload)),
        }
    }

    /// One of another process, of which only words arrive.
    pub(crate) fn elsewhere(
        message: String,
        location: Option<String>,
        backtrace: Option<String>,
    ) -> Panicked {
        Panicked {
            message,
            location,
            backtrace,
            payload: None,
        }
    }

    /// What it said, if it was a string; otherwise that it was none.
    ///
    /// # Examples
    /// ```
    /// # use forkful::{TaskError, ThreadPoolExecutor};
    /// let pool = ThreadPoolExecutor::new(1);
    /// if let Err(TaskError::Panicked(panicked)) = pool.submit(|| panic!("no")).result() {
    ///     assert_eq!(panicked.message(), "no");
    /// }
    /// ```
    pub fn message(&self) -> &str {
        &self.message
    }

    /// File, line and column, where they are known: of a panic in another process.
    ///
    /// # Examples
    /// ```
    /// # use forkful::{TaskError, ThreadPoolExecutor};
    /// let pool = ThreadPoolExecutor::new(1);
    /// if let Err(TaskError::Panicked(panicked)) = pool.submit(|| panic!("no")).result() {
    ///     assert_eq!(panicked.location(), None, "it was in this process, and was printed");
    /// }
    /// ```
    pub fn location(&self) -> Option<&str> {
        self.location.as_deref()
    }

    /// The stack of a panic in another process, where `RUST_BACKTRACE` is set there as for panics that are printed.
    ///
    /// # Examples
    /// ```
    /// # use forkful::{TaskError, ThreadPoolExecutor};
    /// let pool = ThreadPoolExecutor::new(1);
    /// if let Err(TaskError::Panicked(panicked)) = pool.submit(|| panic!("no")).result() {
    ///     println!("{}", panicked.backtrace().unwrap_or("no backtrace"));
    /// }
    /// ```
    pub fn backtrace(&self) -> Option<&str> {
        self.backtrace.as_deref()
    }

    /// What it was thrown with. Of a panic in another process its message, as a `String`: payloads don't travel.
    ///
    /// # Examples
    /// ```
    /// # use forkful::{TaskError, ThreadPoolExecutor};
    /// let pool = ThreadPoolExecutor::new(1);
    /// if let Err(TaskError::Panicked(panicked)) = pool.submit(|| panic!("no")).result() {
    ///     assert_eq!(panicked.into_payload().downcast_ref(), Some(&"no"));
    /// }
    /// ```
    pub fn into_payload(self) -> Box<dyn Any + Send> {
        match self.payload {
            Some(payload) => payload
                .into_inner()
                .unwrap_or_else(|poisoned| poisoned.into_inner()),
            None => Box::new(self.message),
        }
    }

    /// Panics with it in the calling thread, as if the task had been called there.
    ///
    /// # Examples
    /// ```should_panic
    /// # use forkful::{TaskError, ThreadPoolExecutor};
    /// let pool = ThreadPoolExecutor::new(1);
    /// if let Err(TaskError::Panicked(panicked)) = pool.submit(|| panic!("no")).result() {
    ///     panicked.resume();
    /// }
    /// ```
    pub fn resume(self) -> ! {
        std::panic::resume_unwind(self.into_payload())
    }
}

/// The text of a panic's payload.
pub(crate) fn message_of(payload: &(dyn Any + Send)) -> String {
    match (
        payload.downcast_ref::<&str>(),
        payload.downcast_ref::<String>(),
    ) {
        (Some(text), _) => (*text).to_owned(),
        (None, Some(text)) => text.clone(),
        (None, None) => "a panic whose payload is no text".to_owned(),
    }
}

impl fmt::Debug for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panicked")
            .field("message", &self.message)
            .field("location", &self.location)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.location {
            Some(location) => write!(f, "the task panicked at {location}: {}", self.message),
            None => write!(f, "the task panicked: {}", self.message),
        }
    }
}

impl std::error::Error for Panicked {}

/// How a worker process ended while it had a task. A field that can't be known is `None`.
///
/// # Examples
/// ```standalone_crate
/// use forkful::{ProcessPoolExecutor, TaskError};
///
/// #[forkful::task]
/// fn leave() {
///     std::process::exit(3);
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     forkful::init();
///     let pool = ProcessPoolExecutor::new(1)?;
///     let Err(TaskError::WorkerDied(death)) = pool.submit(leave, ()).result() else {
///         unreachable!("it always leaves");
///     };
///     assert_eq!((death.exit_code, death.signal), (Some(3), None));
///     println!("{death}");
///     Ok(())
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WorkerDied {
    /// Its process number.
    pub pid: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The code that it left with.
    pub exit_code: Option<i32>,
    /// The task: its name from the options, or its function's.
    pub task: String,
    /// How long the task had run.
    pub ran: Option<Duration>,
    /// The process's largest resident size, in bytes.
    pub peak_memory: Option<u64>,
    /// Whether the kernel has killed for lack of memory meanwhile, so that it is likely to have been that.
    pub out_of_memory: bool,
    /// How often the task was begun, this time included.
    pub attempts: u32,
    /// What else is known, in words; empty if nothing is.
    pub detail: String,
}

impl fmt::Display for WorkerDied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the worker process {} of task {} ", self.pid, self.task)?;
        match (self.signal, self.exit_code) {
            (Some(signal), _) => write!(f, "was ended by signal {signal}")?,
            (None, Some(code)) => write!(f, "exited with code {code}")?,
            (None, None) => write!(f, "ended in an unknown way")?,
        }
        if let Some(ran) = self.ran {
            write!(f, " after the task had run {}", in_seconds(ran))?;
        }
        if let Some(bytes) = self.peak_memory {
            write!(f, "; its memory had at most {} MiB", bytes >> 20)?;
        }
        if self.out_of_memory {
            write!(
                f,
                "; the kernel was killing for lack of memory, so it was likely that"
            )?;
        }
        if self.attempts > 1 {
            write!(f, "; attempt {}", self.attempts)?;
        }
        if !self.detail.is_empty() {
            write!(f, "; {}", self.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for WorkerDied {}
