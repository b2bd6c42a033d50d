//! The ways in which work is refused or a wait ends without its event.

use thiserror::Error;

/// Why a pool took no job; the job itself is handed back beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The pool was shut down.
    #[error("the pool was shut down")]
    Closed,
    /// The pool was declared broken by its user.
    #[error("the pool is broken")]
    Broken,
    /// The pool belongs to the process that forked this one; its threads do not exist here.
    #[error("the pool was inherited through a fork and has no threads in this process")]
    Inherited,
}

/// A job that was not taken, with the reason.
#[derive(Debug)]
pub struct SubmitError<J> {
    /// The job, untouched.
    pub job: J,
    /// Why.
    pub refusal: Refusal,
}

/// Why a wait ended before what it waited for had happened.
#[derive(Debug, PartialEq, Eq)]
pub enum WaitError<E> {
    /// The deadline passed.
    TimedOut,
    /// The caller's interrupt check said so.
    Interrupted(E),
}
