//! The process pool's face: submission, options, ends.
//!
//! Knows: the shared part. Does not know: how processes are made, what travels.

mod builder;
mod map;
mod numbers;
mod options;
pub(crate) mod shared;
mod view;
mod workers;

pub use builder::ProcessPoolBuilder;
pub use map::ProcessMap;
pub use options::ProcessOptions;
pub use view::ProcessPoolView;
pub use workers::{WorkerInfo, WorkerState};

use crate::error::{BuildError, SubmitError, TaskError};
use crate::future::Future;
use crate::remote::Terms;
use crate::shutdown::Shutdown;
use crate::stats::Stats;
use crate::tasks::{Function, Portable};
use shared::{Shared, Taken};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An executor whose tasks run in worker processes: a crash ends one task, and nothing else.
///
/// Tasks are registered functions ([`#[forkful::task]`](macro@crate::task), [`register`](crate::register)); arguments and results travel
/// as bytes, by serde. Workers are processes of this same program, which starts itself again through [`init`](fn@crate::init) and forks
/// them from there; they start when there is work, and one that dies is replaced.
///
/// Dropping it waits for everything that was submitted, as [`Shutdown::Wait`] does.
///
/// # Examples
/// ```standalone_crate
/// use forkful::{ProcessPoolExecutor, TaskError};
///
/// #[forkful::task]
/// fn add(a: i32, b: i32) -> i32 {
///     a + b
/// }
///
/// #[forkful::task]
/// fn crash() {
///     std::process::abort();
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     forkful::init();
///     let pool = ProcessPoolExecutor::new(2)?;
///     let crashed = pool.submit(crash, ());
///     let sum = pool.submit(add, (1, 2));
///     assert_eq!(sum.result()?, 3);
///     match crashed.result() {
///         Err(TaskError::WorkerDied(death)) => assert_eq!(death.signal, Some(6)),
///         other => panic!("not a death: {other:?}"),
///     }
///     Ok(())
/// }
/// ```
pub struct ProcessPoolExecutor {
    shared: Arc<Shared>,
    workers: usize,
    /// Whether its drop waits for nothing.
    detached: AtomicBool,
}

impl ProcessPoolExecutor {
    /// An executor with so many worker processes at most.
    ///
    /// # Errors
    /// Those of [`ProcessPoolBuilder::build`].
    ///
    /// # Examples
    /// ```standalone_crate
    /// use forkful::ProcessPoolExecutor;
    ///
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     forkful::init();
    ///     let pool = ProcessPoolExecutor::new(2)?;
    ///     assert_eq!(pool.max_workers(), 2);
    ///     assert!(ProcessPoolExecutor::new(0).is_err());
    ///     Ok(())
    /// }
    /// ```
    pub fn new(workers: usize) -> Result<ProcessPoolExecutor, BuildError> {
        ProcessPoolExecutor::builder().workers(workers).build()
    }

    /// Settings for an executor that is to be made.
    ///
    /// # Examples
    /// ```standalone_crate
    /// use forkful::ProcessPoolExecutor;
    ///
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     forkful::init();
    ///     let pool = ProcessPoolExecutor::builder().workers(1).max_pending(100).build()?;
    ///     assert_eq!(pool.max_workers(), 1);
    ///     Ok(())
    /// }
    /// ```
    pub fn builder() -> ProcessPoolBuilder {
        ProcessPoolBuilder::default()
    }

    pub(crate) fn of(shared: Arc<Shared>, workers: usize) -> ProcessPoolExecutor {
        ProcessPoolExecutor {
            shared,
            workers,
            detached: AtomicBool::new(false),
        }
    }

    /// Has a registered function called in a worker process with these arguments, a tuple.
    ///
    /// Work that is refused becomes a future that is done, with [`TaskError::Refused`]; see [`try_submit`](Self::try_submit). Arguments
    /// that can't be written end their own task with [`TaskError::NotSent`].
    ///
    /// # Examples
    /// ```standalone_crate
    /// use forkful::ProcessPoolExecutor;
    ///
    /// #[forkful::task]
    /// fn add(a: i32, b: i32) -> i32 {
    ///     a + b
    /// }
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     forkful::init();
    ///     let pool = ProcessPoolExecutor::new(1)?;
    ///     let future = pool.submit(add, (1, 2));
    ///     assert_eq!(future.result()?, 3);
    ///     Ok(())
    /// }
    /// ```
    pub fn submit<F, A>(&self, function: F, args: A) -> Future<F::Output>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable,
    {
        refused(self.try_submit(function, args))
    }

    /// The same; work that is refused comes back.
    ///
    /// # Errors
    /// [`SubmitError`] with the arguments, where the executor was shut down, is broken or belongs to another process, or where the function
    /// is not registered.
    ///
    /// # Examples
    /// ```standalone_crate
    /// use forkful::{ProcessPoolExecutor, Refusal, Shutdown};
    ///
    /// #[forkful::task]
    /// fn add(a: i32, b: i32) -> i32 {
    ///     a + b
    /// }
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     forkful::init();
    ///     let pool = ProcessPoolExecutor::new(1)?;
    ///     pool.shutdown(Shutdown::Wait);
    ///     let error = pool.try_submit(add, (1, 2)).unwrap_err();
    ///     assert_eq!((error.work, error.refusal), ((1, 2), Refusal::ShutDown));
    ///     Ok(())
    /// }
    /// ```
    pub fn try_submit<F, A>(
        &self,
        function: F,
        args: A,
    ) -> Result<Future<F::Output>, SubmitError<A>>
    where
        F: Function<A>,
        A: Portable,
        F::Output: Portable,
    {
        submit(&self.shared, None, function, args)
    }

    /// A view of this executor whose tasks have these options.
    ///
    /// # Examples
    /// ```standalone_crate
    /// use forkful::{ProcessOptions, ProcessPoolExecutor};
    ///
    /// #[forkful::task]
    /// fn add(a: i32, b: i32) -> i32 {
    ///     a + b
    /// }
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     forkful::init();
    ///     let pool = ProcessPoolExecutor::new(1)?;
    ///     let sums = pool.with_options(ProcessOptions::new().retries(2).name("sums"));
    ///     assert_eq!(sums.submit(add, (1, 2)).result()?, 3);
    ///     assert_eq!(pool.stats().tasks["sums"].calls, 1);
    ///     Ok(())
    /// }
    /// ```
    pub fn with_options(&self, options: ProcessOptions) -> ProcessPoolView<'_> {
        ProcessPoolView::of(self, &options)
    }

    /// The results of a registered function over argument tuples, in their order; the workers run it for some of them ahead.
    ///
    /// See [`ProcessMap`] for how far ahead, for results in the order in which they come, and for many calls in one task.
    ///
    /// # Examples
    /// ```standalone_crate
    /// use forkful::ProcessPoolExecutor;
    ///
    /// #[forkful::task]
    /// fn add(a: i32, b: i32) -> i32 {
    ///     a + b
    /// }
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     forkful::init();
    ///     let pool = ProcessPoolExecutor::new(2)?;
    ///     let sums: Result<Vec<i32>, _> = pool.map(add, (0..4).map(|n| (n, 1))).collect();
    ///     assert_eq!(sums?, [1, 2, 3, 4]);
    ///     Ok(())
    /// }
    /// ```
    pub fn map<F, I>(
        &self,
        function: F,
        inputs: I,
    ) -> ProcessMap<'_, F, I::IntoIter, <F as Function<I::Item>>::Output>
    where
        I: IntoIterator,
        F: Function<I::Item>,
        I::Item: Portable,
        <F as Function<I::Item>>::Output: Portable,
    {
        ProcessMap::new(self, None, function, inputs.into_iter())
    }

    /// What it did until now.
    ///
    /// # Examples
    /// ```standalone_crate
    /// use forkful::ProcessPoolExecutor;
    ///
    /// #[forkful::task]
    /// fn add(a: i32, b: i32) -> i32 {
    ///     a + b
    /// }
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     forkful::init();
    ///     let pool = ProcessPoolExecutor::new(1)?;
    ///     pool.submit(add, (1, 2)).result()?;
    ///     let stats = pool.stats();
    ///     assert_eq!((stats.submitted, stats.done, stats.deaths), (1, 1, 0));
    ///     Ok(())
    /// }
    /// ```
    pub fn stats(&self) -> Stats {
        numbers::stats(&self.shared)
    }

    /// How many worker processes there are at most.
    ///
    /// # Examples
    /// See [`new`](Self::new).
    pub fn max_workers(&self) -> usize {
        self.workers
    }

    /// The worker processes that live now, and what they do.
    ///
    /// # Examples
    /// ```standalone_crate
    /// use forkful::ProcessPoolExecutor;
    ///
    /// #[forkful::task]
    /// fn sleep(millis: u64) {
    ///     std::thread::sleep(std::time::Duration::from_millis(millis));
    /// }
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     forkful::init();
    ///     let pool = ProcessPoolExecutor::new(1)?;
    ///     let future = pool.submit(sleep, (200,));
    ///     while pool.workers().first().and_then(|worker| worker.task.as_ref()).is_none() {
    ///         std::thread::yield_now();
    ///     }
    ///     let worker = &pool.workers()[0];
    ///     println!("process {} has run for {:?}", worker.pid, worker.since);
    ///     future.result()?;
    ///     Ok(())
    /// }
    /// ```
    pub fn workers(&self) -> Vec<WorkerInfo> {
        workers::look(&self.shared.pool)
    }

    /// Takes no more tasks; see [`Shutdown`] for what becomes of those that were submitted.
    ///
    /// With [`Shutdown::Wait`] and [`Shutdown::Cancel`] it returns when the last worker has left and all callbacks have run. From one of
    /// its own callbacks it returns at once.
    ///
    /// # Examples
    /// ```standalone_crate
    /// use forkful::{ProcessPoolExecutor, Shutdown};
    ///
    /// #[forkful::task]
    /// fn sleep(millis: u64) {
    ///     std::thread::sleep(std::time::Duration::from_millis(millis));
    /// }
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     forkful::init();
    ///     let pool = ProcessPoolExecutor::new(1)?;
    ///     let futures: Vec<_> = (0..100).map(|_| pool.submit(sleep, (10,))).collect();
    ///     pool.shutdown(Shutdown::Cancel);
    ///     let cancelled = futures.iter().filter(|future| future.is_cancelled()).count();
    ///     assert!(cancelled > 0 && futures.iter().all(|future| future.is_done()));
    ///     Ok(())
    /// }
    /// ```
    pub fn shutdown(&self, how: Shutdown) {
        self.shared.close();
        if how == Shutdown::Cancel {
            self.shared.cancel_pending();
        }
        if how == Shutdown::Detach {
            self.detached.store(true, Ordering::Relaxed);
        } else {
            self.shared.join();
        }
    }

    /// Ends it by force: what no worker has is cancelled, all workers are killed, what they ran ends with [`TaskError::WorkerDied`], and
    /// nothing is run again. Returns without waiting for that: `shutdown` waits.
    ///
    /// # Examples
    /// ```standalone_crate
    /// use forkful::{ProcessPoolExecutor, TaskError};
    ///
    /// #[forkful::task]
    /// fn sleep(millis: u64) {
    ///     std::thread::sleep(std::time::Duration::from_millis(millis));
    /// }
    ///
    /// fn main() -> Result<(), Box<dyn std::error::Error>> {
    ///     forkful::init();
    ///     let pool = ProcessPoolExecutor::new(1)?;
    ///     let future = pool.submit(sleep, (60_000,));
    ///     pool.kill_workers();
    ///     let result = future.result();
    ///     assert!(matches!(result, Err(TaskError::Cancelled | TaskError::WorkerDied(_))));
    ///     Ok(())
    /// }
    /// ```
    pub fn kill_workers(&self) {
        self.shared.end();
    }
}

/// What was refused as a future.
fn refused<T: Send + 'static, A>(submitted: Result<Future<T>, SubmitError<A>>) -> Future<T> {
    submitted.unwrap_or_else(|error| {
        let refusal = error.refusal;
        // The arguments' drop is the user's.
        drop(error.work);
        Future::ready(Err(TaskError::Refused(refusal)))
    })
}

fn submit<F, A>(
    shared: &Arc<Shared>,
    terms: Option<&Arc<Terms>>,
    function: F,
    args: A,
) -> Result<Future<F::Output>, SubmitError<A>>
where
    F: Function<A>,
    A: Portable,
    F::Output: Portable,
{
    // Its type is what names it.
    let _ = function;
    match shared.accept::<F, A>(&args, terms, 0) {
        Ok(Taken::Task(task)) => Ok(Future::of(task)),
        Ok(Taken::Unsent(error)) => Ok(Future::ready(Err(error))),
        Err(refusal) => Err(SubmitError {
            work: args,
            refusal,
        }),
    }
}

// Nothing of the user's is called while a lock is held, and no lock is poisoned: whoever catches a panic finds it whole.
impl UnwindSafe for ProcessPoolExecutor {}
impl RefUnwindSafe for ProcessPoolExecutor {}

impl Drop for ProcessPoolExecutor {
    fn drop(&mut self) {
        self.shared.close();
        if !*self.detached.get_mut() {
            self.shared.join();
        }
    }
}

impl fmt::Debug for ProcessPoolExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessPoolExecutor")
            .field("workers", &self.workers)
            .field("refusal", &self.shared.refusal())
            .finish_non_exhaustive()
    }
}
