//! A pool of threads.
//!
//! Knows: its shared part, maps, scopes. Does not know: processes.

mod builder;
mod crew;
mod shared;
#[cfg(test)]
mod tests;
mod work;

pub use builder::{ThreadOptions, ThreadPoolBuilder};

use crate::error::{SubmitError, TaskError};
use crate::future::Future;
use crate::map::Map;
use crate::scope::{self, Scope};
use crate::shutdown::Shutdown;
use crate::stats::Stats;
use shared::{Manner, Shared};
use std::any::Any;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A pool of threads that run closures.
///
/// Threads are started when tasks come, up to the pool's number of workers, and are used again. A task that panics ends with
/// [`TaskError::Panicked`], which keeps the payload; its thread goes on. Tasks may submit to their own pool and wait for that: a thread
/// that waits runs the task itself, or has another take its place.
///
/// Dropping the pool is [`shutdown(Shutdown::Wait)`](ThreadPoolExecutor::shutdown): it runs everything that was accepted, and waits for
/// the threads.
///
/// # Examples
/// ```
/// use forkful::ThreadPoolExecutor;
///
/// let pool = ThreadPoolExecutor::new(3);
/// let future = pool.submit(|| (1..=10).sum::<u32>());
/// assert_eq!(future.result()?, 55);
///
/// let words = vec!["a", "bc", "def"];
/// let lengths: Result<Vec<usize>, _> = pool.map(str::len, words).collect();
/// assert_eq!(lengths?, [1, 2, 3]);
/// # Ok::<(), forkful::TaskError>(())
/// ```
pub struct ThreadPoolExecutor {
    shared: Arc<Shared>,
    /// Its end does not wait.
    detached: AtomicBool,
}

impl ThreadPoolExecutor {
    /// A pool of so many threads at most, with what else is default; see [`builder`](ThreadPoolExecutor::builder).
    ///
    /// # Panics
    /// If `workers` is 0.
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// assert_eq!(pool.submit(|| "done").result()?, "done");
    /// # Ok::<(), forkful::TaskError>(())
    /// ```
    pub fn new(workers: usize) -> ThreadPoolExecutor {
        match ThreadPoolExecutor::builder().workers(workers).build() {
            Ok(pool) => pool,
            Err(error) => panic!("{error}"),
        }
    }

    /// Settings for a new pool.
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::builder().workers(2).name("disk").build()?;
    /// let name = pool.submit(|| std::thread::current().name().map(str::to_owned));
    /// assert_eq!(name.result()?.as_deref(), Some("disk_0"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> ThreadPoolBuilder {
        ThreadPoolBuilder::default()
    }

    pub(self) fn of(shared: Arc<Shared>) -> ThreadPoolExecutor {
        ThreadPoolExecutor {
            shared,
            detached: AtomicBool::new(false),
        }
    }

    /// Has a thread call `function`; its value, or its panic, arrives in the future.
    ///
    /// Work that is refused, after a shutdown for instance, is a future that is done with [`TaskError::Refused`]; see
    /// [`try_submit`](ThreadPoolExecutor::try_submit) for having the closure back then. Blocks while
    /// [`max_pending`](ThreadPoolBuilder::max_pending) tasks wait, if that is set.
    ///
    /// # Examples
    /// ```
    /// use forkful::{TaskError, ThreadPoolExecutor};
    ///
    /// let pool = ThreadPoolExecutor::new(2);
    /// assert_eq!(pool.submit(|| 6 * 7).result()?, 42);
    ///
    /// let error = pool.submit(|| -> u8 { panic!("no way") }).result().unwrap_err();
    /// let TaskError::Panicked(panic) = error else { panic!("{error}") };
    /// assert_eq!(panic.message(), "no way");
    /// # Ok::<(), forkful::TaskError>(())
    /// ```
    #[inline]
    pub fn submit<F, T>(&self, function: F) -> Future<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        or_refused(self.try_submit(function))
    }

    /// The same, but work that is refused is handed back.
    ///
    /// # Errors
    /// The closure and the reason: the pool was shut down, it is broken, it was inherited through a fork, or no thread can be started.
    ///
    /// # Examples
    /// ```
    /// use forkful::{Refusal, Shutdown, ThreadPoolExecutor};
    ///
    /// let pool = ThreadPoolExecutor::new(1);
    /// assert_eq!(pool.try_submit(|| 1).unwrap().result()?, 1);
    /// pool.shutdown(Shutdown::Wait);
    /// let refused = pool.try_submit(|| 2).unwrap_err();
    /// assert_eq!(refused.refusal, Refusal::ShutDown);
    /// assert_eq!((refused.work)(), 2);
    /// # Ok::<(), forkful::TaskError>(())
    /// ```
    #[inline]
    pub fn try_submit<F, T>(&self, function: F) -> Result<Future<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.shared.submit(function, &PLAIN)
    }

    /// The pool, with options for what is submitted through it.
    ///
    /// # Examples
    /// ```
    /// use forkful::{ThreadOptions, ThreadPoolExecutor};
    ///
    /// let pool = ThreadPoolExecutor::new(1);
    /// let later = pool.with_options(ThreadOptions::new().priority(10));
    /// let results = (later.submit(|| 1), pool.submit(|| 2));
    /// assert_eq!((results.0.result()?, results.1.result()?), (1, 2));
    /// # Ok::<(), forkful::TaskError>(())
    /// ```
    pub fn with_options(&self, options: ThreadOptions) -> ThreadPoolView<'_> {
        let name = options.name.as_deref();
        ThreadPoolView {
            pool: self,
            manner: Manner {
                priority: options.priority,
                meter: name.map(|name| self.shared.meter(name)),
            },
        }
    }

    /// The results of `function` over the items of `inputs`, in their order; the threads call it for some items ahead.
    ///
    /// See [`Map`] for how far ahead, and for results in the order in which they come. To borrow instead of moving what `function`
    /// needs, see [`scope`](ThreadPoolExecutor::scope).
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::new(2);
    /// let mut sum = 0;
    /// for result in pool.map(|n| n * n, 0..1000u64) {
    ///     sum += result?;
    /// }
    /// assert_eq!(sum, 332_833_500);
    /// # Ok::<(), forkful::TaskError>(())
    /// ```
    pub fn map<F, I, R>(&self, function: F, inputs: I) -> Map<'_, I::IntoIter, R>
    where
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        I: IntoIterator,
        I::Item: Send + 'static,
        R: Send + 'static,
    {
        self.with_options(ThreadOptions::new())
            .map(function, inputs)
    }

    /// Calls `body` with a scope, whose tasks may borrow what lives around it; returns when all of them have ended.
    ///
    /// So does a panic of the body: it goes on when the tasks have ended. A panic of a task goes to its future, and if that was dropped
    /// it is seen by the panic hook only. In one of the pool's own threads the end of a scope runs what nobody has begun, so that scopes
    /// may be nested.
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::new(2);
    /// let mut numbers = [1, 2, 3, 4, 5, 6];
    /// let (left, right) = numbers.split_at_mut(3);
    /// pool.scope(|scope| {
    ///     let _ = scope.submit(|| left.iter_mut().for_each(|n| *n *= 10));
    ///     right.iter_mut().for_each(|n| *n *= 100);
    /// });
    /// assert_eq!(numbers, [10, 20, 30, 400, 500, 600]);
    /// ```
    pub fn scope<'env, F, R>(&self, body: F) -> R
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    {
        self.with_options(ThreadOptions::new()).scope(body)
    }

    /// Ends the pool: no more is taken, and [`Shutdown`] says what becomes of the tasks that were accepted.
    ///
    /// Called by one of the pool's own threads it does not wait, as that would be for itself. It may be called again, for instance to wait
    /// after [`Shutdown::Detach`].
    ///
    /// # Examples
    /// ```
    /// use forkful::{Shutdown, ThreadPoolExecutor};
    ///
    /// let pool = ThreadPoolExecutor::new(1);
    /// let future = pool.submit(|| 1);
    /// pool.shutdown(Shutdown::Wait);
    /// assert!(future.is_done());
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

    /// What it did until now.
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// pool.submit(|| ()).result()?;
    /// assert_eq!(pool.stats().done, 1);
    /// # Ok::<(), forkful::TaskError>(())
    /// ```
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// How many threads it has at most, those not counted that wait for tasks of their own pool.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(forkful::ThreadPoolExecutor::new(3).max_workers(), 3);
    /// ```
    pub fn max_workers(&self) -> usize {
        self.shared.pool.limit() as usize
    }

    /// Whether the calling thread is one of its own.
    pub(crate) fn is_worker(&self) -> bool {
        crew::is_worker_of(self.shared.number)
    }

    /// See [`Home::step_aside`](crate::home::Home::step_aside).
    pub(crate) fn step_aside(&self) -> Option<Box<dyn Any>> {
        crew::step_aside(self.shared.number)
    }
}

impl Default for ThreadPoolExecutor {
    /// A pool with a thread for each CPU that this process may use.
    fn default() -> ThreadPoolExecutor {
        ThreadPoolExecutor::new(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

// Nothing of the user's is called while a lock is held, and no lock is poisoned: whoever catches a panic finds it whole.
impl UnwindSafe for ThreadPoolExecutor {}
impl RefUnwindSafe for ThreadPoolExecutor {}

impl Drop for ThreadPoolExecutor {
    fn drop(&mut self) {
        self.shared.close();
        if !*self.detached.get_mut() {
            self.shared.join();
        }
    }
}

impl fmt::Debug for ThreadPoolExecutor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPoolExecutor")
            .field("name", &self.shared.name)
            .field("max_workers", &self.max_workers())
            .field("pending", &self.shared.pool.pending())
            .finish_non_exhaustive()
    }
}

/// What a task is told without options.
static PLAIN: Manner = Manner {
    priority: 0,
    meter: None,
};

#[inline]
fn or_refused<F, T: Send + 'static>(submitted: Result<Future<T>, SubmitError<F>>) -> Future<T> {
    submitted.unwrap_or_else(|refused| Future::ready(Err(TaskError::Refused(refused.refusal))))
}

/// A pool of threads with options for its tasks: see [`ThreadPoolExecutor::with_options`].
///
/// # Examples
/// ```
/// use forkful::{ThreadOptions, ThreadPoolExecutor};
///
/// let pool = ThreadPoolExecutor::new(1);
/// let named = pool.with_options(ThreadOptions::new().name("double"));
/// let doubled: Result<Vec<i32>, _> = named.map(|n| 2 * n, [1, 2]).collect();
/// assert_eq!(doubled?, [2, 4]);
/// assert_eq!(pool.stats().tasks["double"].calls, 2);
/// # Ok::<(), forkful::TaskError>(())
/// ```
#[derive(Clone)]
pub struct ThreadPoolView<'pool> {
    pool: &'pool ThreadPoolExecutor,
    manner: Manner,
}

impl<'pool> ThreadPoolView<'pool> {
    /// As [`ThreadPoolExecutor::submit`].
    pub fn submit<F, T>(&self, function: F) -> Future<T>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        or_refused(self.try_submit(function))
    }

    /// As [`ThreadPoolExecutor::try_submit`].
    ///
    /// # Errors
    /// The closure and the reason.
    pub fn try_submit<F, T>(&self, function: F) -> Result<Future<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        self.pool.shared.submit(function, &self.manner)
    }

    /// As [`ThreadPoolExecutor::scope`].
    pub fn scope<'env, F, R>(&self, body: F) -> R
    where
        F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
    {
        scope::scope(self, body)
    }

    /// Whose it is.
    pub(crate) fn pool(&self) -> &'pool ThreadPoolExecutor {
        self.pool
    }

    /// As [`ThreadPoolExecutor::map`].
    pub fn map<F, I, R>(&self, function: F, inputs: I) -> Map<'pool, I::IntoIter, R>
    where
        F: Fn(I::Item) -> R + Send + Sync + 'static,
        I: IntoIterator,
        I::Item: Send + 'static,
        R: Send + 'static,
    {
        let (view, function) = (self.clone(), Arc::new(function));
        let submit = move |item| {
            let function = function.clone();
            view.submit(move || function(item))
        };
        Map::new(
            Box::new(submit),
            inputs.into_iter(),
            self.pool.max_workers(),
        )
    }
}

impl fmt::Debug for ThreadPoolView<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadPoolView")
            .field("pool", &self.pool)
            .field("priority", &self.manner.priority)
            .finish_non_exhaustive()
    }
}
