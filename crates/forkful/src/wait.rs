//! Waiting for many futures: for all of them, for the first, or for each as it comes.
//!
//! Knows: futures. Does not know: which executors they are of; those of one call may be of several.

use crate::error::TaskError;
use crate::future::{Future, status_of};
use crate::gather::Gathering;
use crate::home::Status;
use forkful_core::deadline::Deadline;
use std::fmt;
use std::iter::FusedIterator;
use std::time::Duration;

/// When [`wait`] returns.
///
/// # Examples
/// ```
/// use forkful::ReturnWhen;
///
/// let pool = forkful::ThreadPoolExecutor::new(1);
/// let waited = forkful::wait(vec![pool.submit(|| 1)], ReturnWhen::AllCompleted, None);
/// assert_eq!(waited.done.len(), 1);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReturnWhen {
    /// As soon as one is done, or cancelled.
    FirstCompleted,
    /// As soon as one has failed, otherwise when all are done. One that was cancelled has not failed.
    FirstException,
    /// When all are done, or cancelled.
    #[default]
    AllCompleted,
}

/// Futures that are done, and those that are not; both in the order in which they were given to [`wait`].
///
/// # Examples
/// ```
/// use forkful::{ReturnWhen, ThreadPoolExecutor};
/// use std::sync::mpsc::channel;
///
/// let pool = ThreadPoolExecutor::new(2);
/// let (end, ended) = channel::<()>();
/// let futures = vec![pool.submit(move || ended.recv().is_ok()), pool.submit(|| true)];
/// let waited = forkful::wait(futures, ReturnWhen::FirstCompleted, None);
/// assert_eq!((waited.done.len(), waited.not_done.len()), (1, 1));
/// end.send(())?;
/// for future in waited.done.into_iter().chain(waited.not_done) {
///     assert!(future.result()?);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Waited<T> {
    /// Those that are done.
    pub done: Vec<Future<T>>,
    /// The others.
    pub not_done: Vec<Future<T>>,
}

/// Blocks until as many futures are done as `until` says, or `timeout` is over; `None` is no limit.
///
/// They may be of several executors. No future at all is done at once. A worker that waits for futures of its own pool has another
/// thread take its place meanwhile.
///
/// # Examples
/// ```
/// use forkful::{ReturnWhen, ThreadPoolExecutor};
/// use std::time::Duration;
///
/// let pool = ThreadPoolExecutor::new(2);
/// let futures = (0..4).map(|n| pool.submit(move || n * n)).collect();
/// let waited = forkful::wait(futures, ReturnWhen::AllCompleted, Some(Duration::from_secs(60)));
/// assert!(waited.not_done.is_empty());
/// let squares: Result<Vec<i32>, _> = waited.done.into_iter().map(|future| future.result()).collect();
/// assert_eq!(squares?, [0, 1, 4, 9]);
/// # Ok::<(), forkful::TaskError>(())
/// ```
pub fn wait<T>(futures: Vec<Future<T>>, until: ReturnWhen, timeout: Option<Duration>) -> Waited<T> {
    let deadline = timeout.map_or(Deadline::NEVER, Deadline::after);
    let futures = match until {
        ReturnWhen::AllCompleted => {
            // The last one first: pools begin in order, so when it is done nearly all are, after one sleep instead of one for each.
            let _ = futures
                .iter()
                .rev()
                .all(|future| future.task().wait(deadline));
            futures
        }
        first => {
            let gathering = Gathering::of(futures);
            for _ in 0..gathering.len() {
                let Some(token) = gathering.arrived(deadline) else {
                    break;
                };
                if first == ReturnWhen::FirstCompleted
                    || gathering.get(token).is_some_and(has_failed)
                {
                    break;
                }
            }
            gathering.into_rest()
        }
    };
    let (done, not_done) = futures.into_iter().partition(Future::is_done);
    Waited { done, not_done }
}

fn has_failed<T>(future: &Future<T>) -> bool {
    status_of(future.task().state()) == Status::Failed
}

/// The futures, each when it is done; those first that are done already, in the order given.
///
/// Dropping the iterator leaves the others alone: their tasks run.
///
/// # Examples
/// ```
/// let pool = forkful::ThreadPoolExecutor::new(2);
/// let futures: Vec<_> = (0..4).map(|n| pool.submit(move || n * n)).collect();
/// let mut sum = 0;
/// for future in forkful::as_completed(futures) {
///     sum += future.result()?;
/// }
/// assert_eq!(sum, 14);
/// # Ok::<(), forkful::TaskError>(())
/// ```
pub fn as_completed<T>(futures: impl IntoIterator<Item = Future<T>>) -> AsCompleted<T> {
    AsCompleted {
        gathering: Gathering::of(futures.into_iter().collect()),
    }
}

/// Futures as they are done: see [`as_completed`].
///
/// # Examples
/// ```
/// let pool = forkful::ThreadPoolExecutor::new(1);
/// let mut done = forkful::as_completed([pool.submit(|| 1)]);
/// assert_eq!(done.next().unwrap().result()?, 1);
/// assert!(done.next().is_none());
/// # Ok::<(), forkful::TaskError>(())
/// ```
#[must_use = "an iterator waits for nothing before it is asked"]
pub struct AsCompleted<T> {
    gathering: Gathering<T>,
}

impl<T> AsCompleted<T> {
    /// The same for `timeout` from now on: then [`TaskError::TimedOut`] comes, once, if futures are left.
    ///
    /// # Examples
    /// ```
    /// use forkful::{TaskError, ThreadPoolExecutor, as_completed};
    /// use std::{sync::mpsc::channel, time::Duration};
    ///
    /// let pool = ThreadPoolExecutor::new(1);
    /// let (end, ended) = channel::<()>();
    /// let stuck = pool.submit(move || ended.recv().is_ok());
    /// let mut done = as_completed([stuck]).timeout(Duration::from_millis(1));
    /// assert!(matches!(done.next(), Some(Err(TaskError::TimedOut))));
    /// let left = done.into_rest();
    /// end.send(()).unwrap();
    /// assert_eq!(left.len(), 1);
    /// ```
    pub fn timeout(self, timeout: Duration) -> AsCompletedFor<T> {
        AsCompletedFor {
            all: self,
            deadline: Deadline::after(timeout),
            is_over: false,
        }
    }

    /// The futures that were not yielded, in the order given.
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// let mut done = forkful::as_completed([pool.submit(|| 1), pool.submit(|| 2)]);
    /// assert_eq!(done.next().unwrap().result()?, 1);
    /// assert_eq!(done.into_rest().len(), 1);
    /// # Ok::<(), forkful::TaskError>(())
    /// ```
    pub fn into_rest(self) -> Vec<Future<T>> {
        self.gathering.into_rest()
    }

    fn next_until(&mut self, deadline: Deadline) -> Option<Future<T>> {
        let token = self.gathering.arrived(deadline)?;
        self.gathering.take(token)
    }
}

impl<T> Iterator for AsCompleted<T> {
    type Item = Future<T>;

    fn next(&mut self) -> Option<Future<T>> {
        self.next_until(Deadline::NEVER)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.gathering.len();
        (left, Some(left))
    }
}

impl<T> ExactSizeIterator for AsCompleted<T> {}

impl<T> FusedIterator for AsCompleted<T> {}

impl<T> fmt::Debug for AsCompleted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted")
            .field("left", &self.gathering.len())
            .finish_non_exhaustive()
    }
}

/// Futures as they are done, for some time: see [`AsCompleted::timeout`].
///
/// # Examples
/// ```
/// use std::time::Duration;
///
/// let pool = forkful::ThreadPoolExecutor::new(1);
/// for future in forkful::as_completed([pool.submit(|| 1)]).timeout(Duration::from_secs(60)) {
///     assert_eq!(future?.result()?, 1);
/// }
/// # Ok::<(), forkful::TaskError>(())
/// ```
#[must_use = "an iterator waits for nothing before it is asked"]
pub struct AsCompletedFor<T> {
    all: AsCompleted<T>,
    deadline: Deadline,
    is_over: bool,
}

impl<T> AsCompletedFor<T> {
    /// The futures that were not yielded, in the order given.
    pub fn into_rest(self) -> Vec<Future<T>> {
        self.all.into_rest()
    }
}

impl<T> Iterator for AsCompletedFor<T> {
    type Item = Result<Future<T>, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over || self.all.gathering.len() == 0 {
            return None;
        }
        let next = self.all.next_until(self.deadline);
        self.is_over = next.is_none();
        Some(next.ok_or(TaskError::TimedOut))
    }
}

impl<T> FusedIterator for AsCompletedFor<T> {}

impl<T> fmt::Debug for AsCompletedFor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompletedFor")
            .field("left", &self.all.gathering.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
