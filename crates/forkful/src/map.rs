//! A function over an iterator's items, some of them ahead of whoever takes the results.
//!
//! Knows: futures. Does not know: executors; whoever makes a map says how an item is submitted.

use crate::error::TaskError;
use crate::future::Future;
use crate::gather::Gathering;
use forkful_core::deadline::Deadline;
use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;

/// Submits an item.
pub(crate) type Submit<'pool, I, R> =
    Box<dyn FnMut(<I as Iterator>::Item) -> Future<R> + Send + 'pool>;

/// The results of a function over the items of an iterator: see [`ThreadPoolExecutor::map`](crate::ThreadPoolExecutor::map).
///
/// It is an iterator of the results, in the order of the items. Items are taken from their iterator by the thread that takes the
/// results, only as far ahead as [`look_ahead`](Map::look_ahead) says, so that the input may be endless, and larger than the memory. The
/// first items are taken when the first result is asked for.
///
/// A task that panics makes one result an error; the others come all the same. A panic of the input's iterator goes to the caller, and
/// ends the input. Dropping the map cancels the tasks that have not begun.
///
/// # Examples
/// ```
/// let pool = forkful::ThreadPoolExecutor::new(2);
/// let squares: Result<Vec<u64>, _> = pool.map(|n| n * n, 1..=4).collect();
/// assert_eq!(squares?, [1, 4, 9, 16]);
///
/// // Endless, as it is lazy.
/// let first = pool.map(|n: u64| n + 1, 0..).look_ahead(8).take(3);
/// assert_eq!(first.collect::<Result<Vec<u64>, _>>()?, [1, 2, 3]);
/// # Ok::<(), forkful::TaskError>(())
/// ```
#[must_use = "a map is lazy: nothing is submitted before the first result is asked for"]
pub struct Map<'pool, I: Iterator, R> {
    submit: Submit<'pool, I, R>,
    /// `None` at its end.
    input: Option<I>,
    look_ahead: usize,
    ahead: Ahead<R>,
}

/// What was submitted and not taken.
enum Ahead<R> {
    Ordered(VecDeque<Future<R>>),
    Unordered(Gathering<R>),
}

impl<R> Ahead<R> {
    fn len(&self) -> usize {
        match self {
            Ahead::Ordered(futures) => futures.len(),
            Ahead::Unordered(gathering) => gathering.len(),
        }
    }
}

impl<'pool, I: Iterator, R> Map<'pool, I, R> {
    /// Of an executor with so many workers.
    pub(crate) fn new(submit: Submit<'pool, I, R>, input: I, workers: usize) -> Map<'pool, I, R> {
        Map {
            submit,
            input: Some(input),
            look_ahead: default_look_ahead(workers),
            ahead: Ahead::Ordered(VecDeque::new()),
        }
    }

    /// Takes at most so many items further than the last result that was taken. The default is four for each worker, and 16 at least.
    ///
    /// # Panics
    /// If it is 0.
    pub fn look_ahead(mut self, items: usize) -> Self {
        assert!(items > 0, "look_ahead must be at least 1, not 0");
        self.look_ahead = items;
        self
    }

    /// Yields the results in the order in which they come.
    pub fn unordered(mut self) -> Self {
        if let Ahead::Ordered(futures) = &mut self.ahead {
            let futures = std::mem::take(futures);
            self.ahead = Ahead::Unordered(Gathering::of(futures.into()));
        }
        self
    }

    /// Submits items until as many are on their way as may be.
    fn fill(&mut self) {
        while self.ahead.len() < self.look_ahead {
            // Put back after the call only: an iterator that panics is not asked again.
            let Some(mut input) = self.input.take() else {
                return;
            };
            let Some(item) = input.next() else {
                return;
            };
            self.input = Some(input);
            let future = (self.submit)(item);
            match &mut self.ahead {
                Ahead::Ordered(futures) => futures.push_back(future),
                Ahead::Unordered(gathering) => gathering.add(future),
            }
        }
    }
}

/// How many items are on their way at most, if nobody says otherwise.
pub(crate) fn default_look_ahead(workers: usize) -> usize {
    (4 * workers).max(16)
}

impl<I: Iterator, R> Iterator for Map<'_, I, R> {
    type Item = Result<R, TaskError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.fill();
        match &mut self.ahead {
            Ahead::Ordered(futures) => futures.pop_front().map(Future::result),
            Ahead::Unordered(gathering) => {
                let token = gathering.arrived(Deadline::NEVER)?;
                gathering.take(token).map(Future::result)
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let (least, most) = match &self.input {
            Some(input) => input.size_hint(),
            None => (0, Some(0)),
        };
        let ahead = self.ahead.len();
        (
            least.saturating_add(ahead),
            most.and_then(|most| most.checked_add(ahead)),
        )
    }
}

impl<I: Iterator, R> FusedIterator for Map<'_, I, R> {}

impl<I: Iterator, R> Drop for Map<'_, I, R> {
    fn drop(&mut self) {
        match &self.ahead {
            // The last ones first, which are the least likely to have begun.
            Ahead::Ordered(futures) => futures.iter().rev().for_each(cancel),
            Ahead::Unordered(gathering) => gathering.watched().for_each(cancel),
        }
    }
}

fn cancel<R>(future: &Future<R>) {
    future.cancel();
}

impl<I: Iterator, R> fmt::Debug for Map<'_, I, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("look_ahead", &self.look_ahead)
            .field("on_their_way", &self.ahead.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
