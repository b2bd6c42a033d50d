//! The items of a queue, one after the other.

use super::{Queue, QueueError};
use crate::tasks::Portable;

/// The items of a [`Queue`] as they come: see [`Queue::iter`].
///
/// # Examples
/// ```
/// # let queue = forkful::sync::Queue::unbounded()?;
/// queue.put(1).unwrap();
/// let first = queue.iter().next().unwrap();
/// assert_eq!(first.unwrap(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
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
///
/// # Examples
/// ```
/// # let queue = forkful::sync::Queue::unbounded()?;
/// queue.put(1).unwrap();
/// assert_eq!(queue.try_iter().count(), 1);
/// # Ok::<(), std::io::Error>(())
/// ```
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
