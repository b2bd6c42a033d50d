//! Executors and futures as in Python's `concurrent.futures`: a pool of threads, and a pool of processes that survives crashes, behind one
//! interface.

mod bytes;
mod callers;
mod codec;
mod completer;
mod death;
mod entry;
pub mod error;
mod failure;
mod fd;
mod future;
mod gather;
mod home;
mod init;
mod launch;
mod map;
mod passed;
mod process_pool;
mod quiet;
mod remote;
mod shutdown;
mod stats;
pub mod sync;
mod tasks;
mod thread_pool;
mod wait;
mod worker;

pub use bytes::Bytes;
pub use error::{BuildError, Panicked, Refusal, SubmitError, TaskError, WorkerDied};
pub use fd::Fd;
pub use forkful_macros::task;
pub use future::Future;
pub use home::Status;
pub use init::{init, is_worker};
pub use map::Map;
pub use process_pool::{
    ProcessOptions, ProcessPoolBuilder, ProcessPoolExecutor, ProcessPoolView, WorkerInfo,
    WorkerState,
};
pub use shutdown::Shutdown;
pub use stats::{BufferStats, Histogram, Stats, TaskStats, WorkerStats};
pub use tasks::{Function, Portable, register};
pub use thread_pool::{ThreadOptions, ThreadPoolBuilder, ThreadPoolExecutor, ThreadPoolView};
pub use wait::{AsCompleted, AsCompletedFor, ReturnWhen, Waited, as_completed, wait};

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
