//! Tasks that borrow from whoever submits them.
//!
//! Knows: the pool of threads. Does not know: how a closure is lent, which is the engine's.

use crate::error::TaskError;
use crate::future::Future;
use crate::home::Task;
use crate::thread_pool::ThreadPoolView;
use forkful_core::deadline::Deadline;
use forkful_core::sys::Lock;
use forkful_core::sys::scoped::{self, Latch, Lender};
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What is remembered at least before it is looked whether some of it is done.
const FEW: usize = 64;

/// Where tasks are submitted that borrow: see [`ThreadPoolExecutor::scope`].
///
/// `'scope` is the scope itself, `'env` what lies around it, from which tasks may borrow. A task may submit others to its own scope.
///
/// # Examples
/// ```
/// let pool = forkful::ThreadPoolExecutor::new(2);
/// let text = String::from("to be or not to be");
/// let (words, letters) = pool.scope(|scope| {
///     let words = scope.submit(|| text.split(' ').count());
///     let letters = scope.submit(|| text.chars().filter(|c| c.is_alphabetic()).count());
///     (words.result(), letters.result())
/// });
/// assert_eq!((words?, letters?), (6, 13));
/// # Ok::<(), forkful::TaskError>(())
/// ```
///
/// What does not live long enough can't be borrowed:
/// ```compile_fail,E0597
/// let pool = forkful::ThreadPoolExecutor::new(2);
/// pool.scope(|scope| {
///     let inside = String::from("gone before the task runs");
///     scope.submit(|| inside.len());
/// });
/// ```
/// nor can a future leave with what was borrowed:
/// ```compile_fail,E0597
/// let pool = forkful::ThreadPoolExecutor::new(2);
/// let future;
/// {
///     let text = String::from("short");
///     future = pool.scope(|scope| scope.submit(|| text.as_str()));
/// }
/// println!("{:?}", future.result());
/// ```
/// nor the scope itself:
/// ```compile_fail
/// let pool = forkful::ThreadPoolExecutor::new(2);
/// let mut kept = None;
/// pool.scope(|scope| kept = Some(scope));
/// ```
/// and only what is safe to share between threads is:
/// ```compile_fail,E0277
/// let pool = forkful::ThreadPoolExecutor::new(2);
/// let cell = std::cell::Cell::new(1);
/// pool.scope(|scope| scope.submit(|| cell.set(2)).result().unwrap());
/// ```
/// Two tasks don't change one value:
/// ```compile_fail,E0499
/// let pool = forkful::ThreadPoolExecutor::new(2);
/// let mut sum = 0;
/// pool.scope(|scope| {
///     let first = scope.submit(|| sum += 1);
///     let second = scope.submit(|| sum += 2);
///     (first.result(), second.result())
/// });
/// ```
#[derive(Clone, Copy)]
pub struct Scope<'scope, 'env> {
    lender: Lender<'scope, 'env>,
    inner: &'scope Inner<'scope>,
}

struct Inner<'pool> {
    view: &'pool ThreadPoolView<'pool>,
    /// What its end may have to wait for, if that is in a worker of the pool: it runs them itself.
    tasks: Option<Lock<Remembered>>,
}

/// Tasks, the oldest first.
struct Remembered {
    tasks: Vec<Arc<dyn Task<()>>>,
    /// At that length those that are done are forgotten.
    limit: usize,
}

impl Remembered {
    /// Returns what is to be dropped without the lock.
    fn add(&mut self, task: Arc<dyn Task<()>>) -> Vec<Arc<dyn Task<()>>> {
        let mut gone = Vec::new();
        if self.tasks.len() >= self.limit {
            let is_done = |task: &mut Arc<dyn Task<()>>| task.state().phase().is_done();
            gone = self.tasks.extract_if(.., is_done).collect();
            self.limit = FEW + 2 * self.tasks.len();
        }
        self.tasks.push(task);
        gone
    }
}

struct Shape;

impl scoped::Shape for Shape {
    type Of<'scope, 'env> = Scope<'scope, 'env>;
}

impl<'scope> Scope<'scope, '_> {
    /// Has a thread call `function`, which may borrow what outlives the scope; its value, or its panic, arrives in the future.
    ///
    /// Work that is refused, after a shutdown for instance, is a future that is done with [`TaskError::Refused`].
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::new(2);
    /// let mut numbers = vec![3, 1, 2];
    /// pool.scope(|scope| scope.submit(|| numbers.sort()).result())?;
    /// assert_eq!(numbers, [1, 2, 3]);
    /// # Ok::<(), forkful::TaskError>(())
    /// ```
    pub fn submit<F, T>(&'scope self, function: F) -> ScopedFuture<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let value = Arc::new(Mutex::new(None));
        let place = value.clone();
        let lent = self.lender.lend(move || {
            let value = function();
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
        });
        let future = self.inner.view.submit(move || lent.call());
        if let Some(tasks) = &self.inner.tasks {
            let gone = tasks.lock().add(future.task().clone());
            drop(gone);
        }
        ScopedFuture {
            future,
            value,
            scope: PhantomData,
        }
    }
}

impl fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("pool", self.inner.view)
            .finish_non_exhaustive()
    }
}

/// The result of a task that borrows: see [`Scope::submit`].
///
/// Whoever drops it lets the task run all the same, and its scope waits for it.
///
/// # Examples
/// ```
/// let pool = forkful::ThreadPoolExecutor::new(1);
/// let text = String::from("a b");
/// let first = pool.scope(|scope| scope.submit(|| text.split(' ').next()).result())?;
/// assert_eq!(first, Some("a"));
/// # Ok::<(), forkful::TaskError>(())
/// ```
#[must_use = "a future that is dropped takes its task's result and errors with it"]
pub struct ScopedFuture<'scope, T> {
    future: Future<()>,
    value: Arc<Mutex<Option<T>>>,
    scope: PhantomData<&'scope ()>,
}

impl<T> ScopedFuture<'_, T> {
    /// Blocks until the task is done, and returns its result: as [`Future::result`].
    ///
    /// # Errors
    /// What the task ended with.
    pub fn result(self) -> Result<T, TaskError> {
        self.future.result().map(|()| taken(&self.value))
    }

    /// The same for `timeout` at most: as [`Future::result_timeout`].
    ///
    /// # Errors
    /// [`TaskError::TimedOut`] when the time is over, otherwise what the task ended with.
    ///
    /// # Panics
    /// If an earlier call has returned the result.
    pub fn result_timeout(&mut self, timeout: Duration) -> Result<T, TaskError> {
        let ended = self.future.result_timeout(timeout);
        ended.map(|()| taken(&self.value))
    }

    /// Whether it has a result.
    pub fn is_done(&self) -> bool {
        self.future.is_done()
    }

    /// Cancels the task if no worker has begun it; whether it is cancelled now.
    pub fn cancel(&self) -> bool {
        self.future.cancel()
    }
}

/// The value of a task that has returned.
fn taken<T>(value: &Mutex<Option<T>>) -> T {
    let mut value = value.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(value) = value.take() else {
        unreachable!("a task returns after it has put its value down, and its future yields once")
    };
    value
}

impl<T> fmt::Debug for ScopedFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ScopedFuture").field(&self.future).finish()
    }
}

/// A scope of this pool.
pub(crate) fn scope<'env, F, R>(view: &ThreadPoolView<'_>, body: F) -> R
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> R,
{
    let tasks = view.pool().is_worker().then(|| {
        Lock::new(Remembered {
            tasks: Vec::new(),
            limit: FEW,
        })
    });
    scoped::scope::<Shape, _, R>(
        &Inner { view, tasks },
        |lender, inner| Scope { lender, inner },
        body,
        help,
    )
}

/// Runs what waits, the youngest first, and has another thread take this worker's place while others run the rest.
fn help(latch: &Latch, inner: &Inner<'_>) {
    let Some(tasks) = &inner.tasks else {
        return;
    };
    let last = || tasks.lock().tasks.pop();
    while let Some(task) = last() {
        task.wait(Deadline::NEVER);
    }
    if !latch.is_open() {
        let _aside = inner.view.pool().step_aside();
        latch.wait();
    }
}

#[cfg(test)]
mod tests;
