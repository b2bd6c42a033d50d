//! Executors and futures as in Python's `concurrent.futures`: a pool of threads, and a pool of processes that survives crashes, behind one
//! interface.
//!
//! A call is submitted to an executor, which gives a [`Future`] at once. The future is waited for ([`Future::result`]), awaited in any runtime,
//! cancelled, given a callback, or collected with others ([`wait`](fn@wait), [`as_completed`]).
//!
//! # Threads
//!
//! ```
//! use forkful::ThreadPoolExecutor;
//!
//! let pool = ThreadPoolExecutor::new(3);
//! let sums = [(1, 2), (3, 4), (5, 6)].map(|(a, b)| pool.submit(move || a + b));
//! for (sum, expected) in sums.into_iter().zip([3, 7, 11]) {
//!     assert_eq!(sum.result()?, expected);
//! }
//! # Ok::<(), forkful::TaskError>(())
//! ```
//!
//! # Processes
//!
//! A task of processes is a function with a name, since no closure can be sent to another process. Its arguments, as a tuple, and its result
//! are whatever serde can write. Workers are this program, run again: [`init`] comes first in `main`, and does not return in them.
//!
//! ```standalone_crate
//! use forkful::{ProcessPoolExecutor, TaskError};
//!
//! #[forkful::task]
//! fn add(a: i32, b: i32) -> i32 {
//!     a + b
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     forkful::init();
//!     let pool = ProcessPoolExecutor::new(3)?;
//!     let sums = [(1, 2), (3, 4), (5, 6)].map(|args| pool.submit(add, args));
//!     for (sum, expected) in sums.into_iter().zip([3, 7, 11]) {
//!         assert_eq!(sum.result()?, expected);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # Which of them?
//!
//! Threads, unless one of these is true:
//!
//! * a task may bring its process down (a library of C, unsafe code, a stack without a bound, memory without a bound): in a process it costs
//!   itself, and the error says how it ended ([`WorkerDied`]);
//! * a task must be stopped from outside: a process can be killed ([`Future::kill`]) and have a deadline ([`ProcessOptions::timeout`]), a thread
//!   can't;
//! * a task needs something that is one per process: a working directory, environment variables, a library's global state.
//!
//! A task in a process costs microseconds where one in a thread costs a fraction of one, and its arguments are copied. A program can be
//! written for both: it takes an [`impl Executor`](Executor).
//!
//! # Errors
//!
//! A future ends with a value or a [`TaskError`]: the function panicked ([`Panicked`], with its payload where it was a thread), its process
//! died, it was cancelled, and so on. What an executor does not take ([`Refusal`]) is such an error too, in a future that is done; `try_submit`
//! gives the work back instead.
//!
//! # Awaiting
//!
//! A [`Future`] is a [`std::future::Future`], and needs no runtime's help: awaiting one in tokio or smol blocks no thread. To drop it ends
//! nothing: its task runs all the same; call [`Future::cancel`] or [`Future::kill`] for that.
//!
//! Workers are forked from a process with one thread, so `init` comes before the runtime: in an ordinary `main` that calls `block_on`, rather than
//! under an attribute like `#[tokio::main]`.
//!
//! # Large data
//!
//! [`Bytes`] in arguments and results travel through shared memory, and are read where they lie. [`share`] places a value once for all workers.
//! [`sync`] has locks and queues for processes.
//!
//! # Tests
//!
//! The `main` of an ordinary test is the test harness's, so that `init` can't be called there: [`test_support!`] stands in for it.
//!
//! # Limits
//!
//! Linux, for its pidfds, memfds and futexes; elsewhere the crate does not build. A `fork` of the program by itself is survived: inherited
//! executors refuse work, inherited futures end with an error.

#![deny(missing_docs, unsafe_code)]

mod bytes;
mod callers;
mod chunk;
mod codec;
mod completer;
mod death;
mod entry;
pub mod error;
mod executor;
mod failure;
mod fd;
mod future;
mod gather;
mod home;
mod init;
mod launch;
mod map;
mod passed;
mod polled;
mod process_pool;
mod quiet;
mod remote;
mod scope;
mod share;
mod shutdown;
mod stats;
pub mod sync;
mod tasks;
mod thread_pool;
mod wait;
#[cfg(test)]
mod watchdog;
mod worker;

pub use bytes::Bytes;
pub use error::{BuildError, Panicked, Refusal, SubmitError, TaskError, WorkerDied};
pub use executor::Executor;
pub use fd::Fd;
/// # Examples
/// ```standalone_crate
/// use forkful::{ProcessPoolExecutor, Bytes};
///
/// #[forkful::task]
/// fn zeros(bytes: Bytes, (from, to): (usize, usize)) -> Result<usize, String> {
///     let part = bytes.get(from..to).ok_or("the range is not inside")?;
///     Ok(part.iter().filter(|byte| **byte == 0).count())
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     forkful::init();
///     let pool = ProcessPoolExecutor::new(1)?;
///     let bytes = Bytes::from(vec![0, 1, 0, 0]);
///     assert_eq!(pool.submit(zeros, (bytes, (1, 4))).result()?, Ok(2));
///     Ok(())
/// }
/// ```
///
/// What can't be sent, or names no function, does not compile:
/// ```compile_fail
/// #[forkful::task]
/// fn length(text: &str) -> usize {
///     text.len()
/// }
/// ```
/// ```compile_fail
/// #[forkful::task]
/// fn largest<T: Ord>(all: Vec<T>) -> Option<T> {
///     all.into_iter().max()
/// }
/// ```
/// ```compile_fail
/// #[forkful::task]
/// async fn wait() {}
/// ```
/// ```compile_fail
/// struct Counter(u64);
///
/// #[forkful::task]
/// fn count(counter: Counter) -> u64 {
///     counter.0
/// }
/// ```
/// ```compile_fail
/// #[forkful::task]
/// fn many(a: u8, b: u8, c: u8, d: u8, e: u8, f: u8, g: u8, h: u8, i: u8) {}
/// ```
/// ```compile_fail
/// #[forkful::task(retries = 2)]
/// fn nothing() {}
/// ```
pub use forkful_macros::task;
pub use future::Future;
pub use home::Status;
pub use init::{init, is_worker};
pub use map::Map;
pub use process_pool::{
    ProcessMap, ProcessOptions, ProcessPoolBuilder, ProcessPoolExecutor, ProcessPoolView,
    WorkerInfo, WorkerState,
};
pub use scope::{Scope, ScopedFuture};
pub use share::{Shared, share};
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

/// The programs of the README and of the project's documentation run, too.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../README.md")]
    pub struct Readme;

    #[doc = include_str!("../docs/rust.md")]
    pub struct Guide;
}
