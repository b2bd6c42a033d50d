//! Executors and futures as in Python's `concurrent.futures`: a pool of threads, and a pool of processes that survives crashes, behind one
//! interface.

mod callers;
mod codec;
mod completer;
mod death;
mod entry;
pub mod error;
mod failure;
mod future;
mod home;
mod init;
mod launch;
mod passed;
mod process_pool;
mod remote;
mod shutdown;
mod tasks;
mod worker;

pub use error::{BuildError, Panicked, Refusal, SubmitError, TaskError, WorkerDied};
pub use forkful_macros::task;
pub use future::Future;
pub use home::Status;
pub use init::{init, is_worker};
pub use process_pool::{
    ProcessOptions, ProcessPoolBuilder, ProcessPoolExecutor, ProcessPoolView, WorkerInfo,
    WorkerState,
};
pub use shutdown::Shutdown;
pub use tasks::{Function, Portable, register};

#[cfg(test)]
test_support!();

/// For the macros.
#[doc(hidden)]
pub mod __private {
    pub use crate::entry::TestEntry;
    pub use crate::init::serve_test;
    pub use crate::tasks::Registration;
    pub use inventory::submit;
}
