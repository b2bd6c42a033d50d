//! Why nothing was put, or nothing taken.

use crate::error::WaitError;
use crate::sync::Owner;
use std::io;
use thiserror::Error;

/// What is in shared memory is not what a queue has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the queue's shared memory holds garbage: some process has written over it")]
pub struct Damaged;

/// Why nothing was put or taken.
#[derive(Debug, Error)]
pub enum QueueError {
    /// Its memory holds garbage.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// There was no memory, or the kernel refused it.
    #[error(transparent)]
    Lack(#[from] io::Error),
}

/// Why nothing was put or taken, where waiting was allowed.
#[derive(Debug)]
pub enum Stopped<E> {
    /// Until the deadline there was no room, or no message.
    TimedOut,
    /// The caller's interrupt check said so.
    Interrupted(E),
    /// This process had died with the lock in its hand. All is right again, and the caller, who may want to say so, tries again.
    Recovered(Owner),
    /// It can't be done.
    Failed(QueueError),
}

impl<E> From<QueueError> for Stopped<E> {
    fn from(error: QueueError) -> Self {
        Stopped::Failed(error)
    }
}

impl<E> From<WaitError<E>> for Stopped<E> {
    fn from(error: WaitError<E>) -> Self {
        match error {
            WaitError::TimedOut => Stopped::TimedOut,
            WaitError::Interrupted(error) => Stopped::Interrupted(error),
        }
    }
}

/// What a try that doesn't wait comes to.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Tried<T> {
    /// It is done.
    Done(T),
    /// There is no room, or no message.
    NotNow,
    /// Somebody else is at it this moment.
    Busy,
}
