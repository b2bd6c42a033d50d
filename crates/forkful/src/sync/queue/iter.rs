//! The items of a queue, one after the other.

use super::{Queue, QueueError};
use crate::tasks::Portable;

/// The items of a [`Queue`]: see [`Queue::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    pub(super) queue: &'a Queue<T>,
}

impl<T: Portable> Iterator for Iter<'_, T> {
    type Item = Result<T, QueueError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.queue.get())
    }
}

/// The items of a [`Queue`] that wait: see [`Queue::try_iter`].
#[derive(Debug)]
pub struct TryIter<'a, T> {
    pub(super) queue: &'a Queue<T>,
}

impl<T: Portable> Iterator for TryIter<'_, T> {
    type Item = Result<T, QueueError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.queue.try_get() {
            Err(QueueError::Empty) => None,
            item => Some(item),
        }
    }
}

impl<'a, T: Portable> IntoIterator for &'a Queue<T> {
    type Item = Result<T, QueueError>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}
