//! Why nothing was put into a queue, or nothing got from it.

use forkful_core::sync::queue as engine;
use std::fmt;
use std::io;
use thiserror::Error;

/// Why nothing was put, or nothing got.
///
/// # Examples
/// ```
/// use forkful::sync::{Queue, QueueError};
///
/// let queue = Queue::<u8>::unbounded()?;
/// match queue.try_get() {
///     Ok(item) => println!("{item}"),
///     Err(QueueError::Empty) => println!("nothing to do"),
///     Err(error) => panic!("{error}"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum QueueError {
    /// As many items wait as may; or did until the time was over.
    #[error("the queue is full")]
    Full,
    /// No item waits; or did until the time was over.
    #[error("the queue is empty")]
    Empty,
    /// The value can't be serialised, or has something in it that only travels with tasks.
    #[error("{0}")]
    NotSent(String),
    /// The item is no value of this type. It is gone.
    #[error("{0}")]
    NotRead(String),
    /// A process has written over the queue's memory.
    #[error("the queue's shared memory holds garbage: some process has written over it")]
    Damaged,
    /// The system gives no memory.
    #[error("the queue has no memory for the item: {0}")]
    System(#[source] io::Error),
}

/// A value that was not put, handed back.
///
/// # Examples
/// ```
/// use forkful::sync::{Queue, QueueError};
///
/// let queue = Queue::bounded(1)?;
/// queue.put(1).unwrap();
/// let error = queue.try_put(2).unwrap_err();
/// assert!(matches!(error.reason, QueueError::Full));
/// assert_eq!(error.value, 2);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Error)]
#[error("{reason}")]
#[non_exhaustive]
pub struct PutError<T> {
    /// The value, untouched.
    pub value: T,
    /// Why.
    #[source]
    pub reason: QueueError,
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PutError")
            .field("reason", &self.reason)
            .finish_non_exhaustive()
    }
}

impl From<engine::QueueError> for QueueError {
    fn from(error: engine::QueueError) -> Self {
        match error {
            engine::QueueError::Damaged(_) => QueueError::Damaged,
            engine::QueueError::Lack(error) => QueueError::System(error),
        }
    }
}
