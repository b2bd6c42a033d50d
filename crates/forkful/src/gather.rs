//! Futures that arrive one by one, in the order in which they are done.
//!
//! Knows: futures, homes. Does not know: which executors there are.

use crate::future::Future;
use crate::home::{Home, Task};
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::future::{Arrivals, Hook};
use std::any::Any;
use std::convert::Infallible;
use std::sync::Arc;

/// Watches futures; each has a token, by which it is known as long as it is watched.
pub(crate) struct Gathering<T> {
    arrivals: Arc<Arrivals>,
    futures: Vec<Option<Future<T>>>,
    /// Tokens that are free.
    free: Vec<usize>,
    /// A task of each executor.
    homes: Vec<Arc<dyn Task<T>>>,
}

impl<T> Gathering<T> {
    /// Of nothing.
    pub(crate) fn new() -> Gathering<T> {
        Gathering {
            arrivals: Arc::default(),
            futures: Vec::new(),
            free: Vec::new(),
            homes: Vec::new(),
        }
    }

    /// Of these; the tokens are their places.
    pub(crate) fn of(futures: Vec<Future<T>>) -> Gathering<T> {
        let mut gathering = Gathering::new();
        gathering.futures.reserve(futures.len());
        futures.into_iter().for_each(|future| gathering.add(future));
        gathering
    }

    /// Watches one more.
    pub(crate) fn add(&mut self, future: Future<T>) {
        let task = future.task().clone();
        self.note_home(&task);
        let token = match self.free.pop() {
            Some(token) => {
                self.futures[token] = Some(future);
                token
            }
            None => {
                self.futures.push(Some(future));
                self.futures.len() - 1
            }
        };
        if task.state().phase().is_done() {
            self.arrivals.arrive(token);
        } else {
            task.hook(Hook::Arrive(self.arrivals.clone(), token));
        }
    }

    /// How many are watched.
    pub(crate) fn len(&self) -> usize {
        self.futures.len() - self.free.len()
    }

    /// The token of the next one to be done, which was not told before; waits for it. `None`: the time is over, or none is left.
    pub(crate) fn arrived(&self, deadline: Deadline) -> Option<usize> {
        if let Some(token) = self.arrivals.pop() {
            return Some(token);
        }
        let homes: Vec<&dyn Home> = self.homes.iter().map(|task| task.home()).collect();
        homes.iter().for_each(|home| home.poll());
        if let Some(token) = self.arrivals.pop() {
            return Some(token);
        }
        if homes.iter().any(|home| home.is_inherited())
            && let Some(token) = self.lost()
        {
            return Some(token);
        }
        if deadline.passed() || self.len() == 0 {
            return None;
        }
        let _aside: Vec<Box<dyn Any>> = homes.iter().filter_map(|home| home.step_aside()).collect();
        if let [home] = homes[..] {
            let ready = || !self.arrivals.is_empty();
            match home.lead(&ready, deadline) {
                Some(true) => {
                    if let Some(token) = self.arrivals.pop() {
                        return Some(token);
                    }
                }
                Some(false) => return self.arrivals.pop(),
                None => {}
            }
        }
        let _interests: Vec<_> = homes.iter().map(|home| home.interest()).collect();
        let waited = self.arrivals.next(deadline, || Ok::<(), Infallible>(()));
        match waited {
            Ok(token) => Some(token),
            Err(WaitError::TimedOut) => None,
            Err(WaitError::Interrupted(never)) => match never {},
        }
    }

    /// The token of one that nobody will complete in this process: whoever asks it for its result is told so.
    fn lost(&self) -> Option<usize> {
        let is_lost = |future: &Option<Future<T>>| {
            let lost = future.as_ref().map(|future| future.task().home());
            lost.is_some_and(Home::is_inherited)
        };
        self.futures.iter().position(is_lost)
    }

    /// A future that has arrived, which is not watched any more.
    pub(crate) fn take(&mut self, token: usize) -> Option<Future<T>> {
        let future = self.futures.get_mut(token)?.take()?;
        self.free.push(token);
        Some(future)
    }

    /// The future of a token.
    pub(crate) fn get(&self, token: usize) -> Option<&Future<T>> {
        self.futures.get(token)?.as_ref()
    }

    /// Ends the watch, and hands over what is left, by rising tokens.
    pub(crate) fn into_rest(mut self) -> Vec<Future<T>> {
        self.sweep();
        let futures = std::mem::take(&mut self.futures);
        futures.into_iter().flatten().collect()
    }

    /// What is watched.
    pub(crate) fn watched(&self) -> impl Iterator<Item = &Future<T>> {
        self.futures.iter().flatten()
    }

    /// Notes the executor of a task.
    fn note_home(&mut self, task: &Arc<dyn Task<T>>) {
        let number = task.home().number();
        let is_it = |known: &Arc<dyn Task<T>>| known.home().number() == number;
        // Nearly always all are of one: compared with the last one first.
        if number != 0 && !self.homes.iter().rev().any(is_it) {
            self.homes.push(task.clone());
        }
    }

    fn sweep(&self) {
        for future in self.watched() {
            if !future.task().state().phase().is_done() {
                future.task().sweep(&self.arrivals);
            }
        }
    }
}

impl<T> Drop for Gathering<T> {
    fn drop(&mut self) {
        self.sweep();
    }
}
