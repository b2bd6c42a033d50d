//! Executors and futures as in Python's `concurrent.futures`: a pool of threads, and a pool of processes that survives crashes, behind one
//! interface.

mod codec;
pub mod error;
mod future;
mod home;
mod tasks;

pub use error::{BuildError, Panicked, Refusal, SubmitError, TaskError, WorkerDied};
pub use forkful_macros::task;
pub use future::Future;
pub use home::Status;
pub use tasks::{Function, Portable, register};

/// For the macros.
#[doc(hidden)]
pub mod __private {
    pub use crate::tasks::Registration;
    pub use inventory::submit;
}
