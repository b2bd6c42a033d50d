//! A queue of values between processes.

mod error;
mod iter;
mod travel;

pub use error::{PutError, QueueError};
pub use iter::{Iter, TryIter};

use super::{go_on, pid_of};
use crate::codec::context;
use crate::tasks::Portable;
use forkful_core::deadline::Deadline;
use forkful_core::sync::queue::{self as engine, Message, Stopped, Tried};
use std::cell::Cell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

/// What a message is called by whose content is a value.
const VALUE: u8 = 16;

/// Bytes from which on copying under a lock takes longer than others want to wait for it.
const LONG: usize = 64 << 10;

thread_local! {
    /// Memory for the next short message.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A queue of values that any number of processes put and get, each value by one of them, in the order in which they were put.
///
/// Values are serialised with serde when they are put, into memory that all of these processes map; so a process may end when its
/// [`put`](Queue::put) has returned. A process that is killed while it puts has put nothing, or all; one that is killed while it
/// gets has left the item, or taken it. No item is ever half there, and nobody waits for a dead one.
///
/// What is in an item has to be whole in itself: handles of this module and other things that travel beside a task's
/// arguments can't be put.
///
/// # Examples
/// ```
/// use forkful::sync::Queue;
///
/// let queue = Queue::bounded(2)?;
/// queue.put("one".to_owned()).unwrap();
/// queue.put("two".to_owned()).unwrap();
/// let refused = queue.try_put("three".to_owned()).unwrap_err();
/// assert_eq!(refused.value, "three");
/// assert_eq!(queue.get().unwrap(), "one");
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Queue<T> {
    queue: Arc<engine::Queue>,
    items: PhantomData<fn(T) -> T>,
}

impl<T: Portable> Queue<T> {
    /// An empty one for any number of items.
    ///
    /// Its memory grows with them, and shrinks again.
    ///
    /// # Errors
    /// What the system says if it gives no shared memory: there is no descriptor left, or no room for it.
    ///
    /// # Examples
    /// ```
    /// let queue = forkful::sync::Queue::<u64>::unbounded()?;
    /// assert!(queue.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn unbounded() -> io::Result<Queue<T>> {
        Queue::with(0)
    }

    /// An empty one for at most so many items; who puts more waits.
    ///
    /// # Errors
    /// What the system says if it gives no shared memory.
    ///
    /// # Panics
    /// If `capacity` is 0, or more than 1,000,000,000.
    ///
    /// # Examples
    /// ```
    /// let queue = forkful::sync::Queue::<u64>::bounded(10)?;
    /// assert_eq!(queue.capacity(), Some(10));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn bounded(capacity: usize) -> io::Result<Queue<T>> {
        assert!(
            (1..=1_000_000_000).contains(&capacity),
            "capacity is {capacity}: a queue has room for 1 to 1,000,000,000 items; make it unbounded for any number"
        );
        Queue::with(capacity as u32)
    }

    fn with(capacity: u32) -> io::Result<Queue<T>> {
        let queue = engine::Queue::create(capacity)?;
        Ok(Queue::of(Arc::new(queue)))
    }

    /// Puts a value, and waits as long as the queue is full.
    ///
    /// # Errors
    /// [`PutError`], with the value, if it can't be serialised or there is no memory for it.
    ///
    /// # Examples
    /// ```
    /// # let queue = forkful::sync::Queue::unbounded()?;
    /// queue.put((1, "one".to_owned())).unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn put(&self, value: T) -> Result<(), PutError<T>> {
        self.put_until(value, Some(Deadline::NEVER))
    }

    /// Puts a value, and waits for `timeout` at most as long as the queue is full.
    ///
    /// # Errors
    /// [`PutError`], with the value: as for [`put`](Queue::put), and [`QueueError::Full`] if there was no room until then.
    ///
    /// # Examples
    /// ```
    /// # let queue = forkful::sync::Queue::bounded(1)?;
    /// let soon = std::time::Duration::from_millis(5);
    /// queue.put_timeout(1, soon).unwrap();
    /// assert!(queue.put_timeout(2, soon).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn put_timeout(&self, value: T, timeout: Duration) -> Result<(), PutError<T>> {
        self.put_until(value, Some(Deadline::after(timeout)))
    }

    /// Puts a value if there is room for it.
    ///
    /// # Errors
    /// [`PutError`], with the value: as for [`put`](Queue::put), and [`QueueError::Full`] if there is none.
    ///
    /// # Examples
    /// ```
    /// # let queue = forkful::sync::Queue::bounded(1)?;
    /// assert!(queue.try_put(1).is_ok());
    /// assert!(queue.try_put(2).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_put(&self, value: T) -> Result<(), PutError<T>> {
        self.put_until(value, None)
    }

    fn put_until(&self, value: T, deadline: Option<Deadline>) -> Result<(), PutError<T>> {
        match self.put_bytes(&value, deadline) {
            Ok(()) => Ok(()),
            Err(reason) => Err(PutError { value, reason }),
        }
    }

    fn put_bytes(&self, value: &T, deadline: Option<Deadline>) -> Result<(), QueueError> {
        let mut scratch = SCRATCH.take();
        scratch.clear();
        let written = postcard::to_extend(value, scratch).map_err(|error| {
            let words = context::words(error);
            let name = std::any::type_name::<T>();
            QueueError::NotSent(format!("{name} can't be put: {words}"))
        });
        let bytes = written?;
        let put = self.put_message(&bytes, deadline);
        keep(bytes);
        put
    }

    fn put_message(&self, bytes: &[u8], deadline: Option<Deadline>) -> Result<(), QueueError> {
        let message = Message {
            kind: VALUE,
            front: bytes,
            cargo: None,
        };
        if bytes.len() < LONG {
            match self.queue.try_put(&message)? {
                Tried::Done(()) => return Ok(()),
                Tried::NotNow if deadline.is_none() => return Err(QueueError::Full),
                Tried::NotNow | Tried::Busy => {}
            }
        }
        let deadline = deadline.unwrap_or_else(now);
        loop {
            match self.queue.put(&message, deadline, go_on) {
                Ok(()) => return Ok(()),
                // All is right again.
                Err(Stopped::Recovered(_)) => {}
                Err(Stopped::TimedOut) => return Err(QueueError::Full),
                Err(Stopped::Failed(error)) => return Err(error.into()),
                Err(Stopped::Interrupted(never)) => match never {},
            }
        }
    }

    /// Takes the next item, and waits until there is one.
    ///
    /// # Errors
    /// [`QueueError::NotRead`] if the item is none of this type; it is gone then. [`QueueError::System`] if there is no memory for it; it
    /// stays then.
    ///
    /// # Examples
    /// ```
    /// # let queue = forkful::sync::Queue::unbounded()?;
    /// queue.put(7).unwrap();
    /// assert_eq!(queue.get().unwrap(), 7);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get(&self) -> Result<T, QueueError> {
        self.get_until(Some(Deadline::NEVER))
    }

    /// Takes the next item, and waits for `timeout` at most until there is one.
    ///
    /// # Errors
    /// As for [`get`](Queue::get), and [`QueueError::Empty`] if there was none until then.
    ///
    /// # Examples
    /// ```
    /// # let queue = forkful::sync::Queue::<u8>::unbounded()?;
    /// assert!(queue.get_timeout(std::time::Duration::from_millis(5)).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn get_timeout(&self, timeout: Duration) -> Result<T, QueueError> {
        self.get_until(Some(Deadline::after(timeout)))
    }

    /// Takes the next item if there is one.
    ///
    /// # Errors
    /// As for [`get`](Queue::get), and [`QueueError::Empty`] if there is none.
    ///
    /// # Examples
    /// ```
    /// use forkful::sync::{Queue, QueueError};
    ///
    /// let queue = Queue::<u8>::unbounded()?;
    /// assert!(matches!(queue.try_get(), Err(QueueError::Empty)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_get(&self) -> Result<T, QueueError> {
        self.get_until(None)
    }

    fn get_until(&self, deadline: Option<Deadline>) -> Result<T, QueueError> {
        let mut content = SCRATCH.take();
        content.clear();
        let kind = self.get_message(&mut content, deadline)?;
        let value = read(kind, &content);
        keep(content);
        value
    }

    fn get_message(
        &self,
        content: &mut Vec<u8>,
        deadline: Option<Deadline>,
    ) -> Result<u8, QueueError> {
        match self.queue.try_get(content, LONG)? {
            Tried::Done(kind) => return Ok(kind),
            Tried::NotNow if deadline.is_none() => return Err(QueueError::Empty),
            Tried::NotNow | Tried::Busy => {}
        }
        let deadline = deadline.unwrap_or_else(now);
        loop {
            match self.queue.get(content, deadline, go_on) {
                Ok(kind) => return Ok(kind),
                Err(Stopped::Recovered(_)) => {}
                Err(Stopped::TimedOut) => return Err(QueueError::Empty),
                Err(Stopped::Failed(error)) => return Err(error.into()),
                Err(Stopped::Interrupted(never)) => match never {},
            }
        }
    }

    /// The items as they come, without an end: each step is a [`get`](Queue::get). A queue between processes does not know who will
    /// still put something: have an item say that no more will come.
    ///
    /// # Examples
    /// ```
    /// # let queue = forkful::sync::Queue::unbounded()?;
    /// queue.put(Some(20)).unwrap();
    /// queue.put(Some(21)).unwrap();
    /// queue.put(None).unwrap();
    /// let mut sum = 0;
    /// for item in &queue {
    ///     match item? {
    ///         Some(number) => sum += number,
    ///         None => break,
    ///     }
    /// }
    /// assert_eq!(sum, 41);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> Iter<'_, T> {
        Iter { queue: self }
    }

    /// The items that wait already, and those that come while they are taken; it ends when none waits. Each step is a
    /// [`try_get`](Queue::try_get).
    ///
    /// # Examples
    /// ```
    /// # let queue = forkful::sync::Queue::unbounded()?;
    /// queue.put(1).unwrap();
    /// queue.put(2).unwrap();
    /// let items: Result<Vec<i32>, _> = queue.try_iter().collect();
    /// assert_eq!(items.unwrap(), [1, 2]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_iter(&self) -> TryIter<'_, T> {
        TryIter { queue: self }
    }
}

impl<T> Queue<T> {
    fn of(queue: Arc<engine::Queue>) -> Queue<T> {
        Queue {
            queue,
            items: PhantomData,
        }
    }

    /// How many items wait at this moment.
    ///
    /// # Examples
    /// ```
    /// # let queue = forkful::sync::Queue::unbounded()?;
    /// queue.put(1).unwrap();
    /// assert_eq!(queue.len(), 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.queue.len() as usize
    }

    /// Whether none waits at this moment.
    ///
    /// # Examples
    /// ```
    /// assert!(forkful::sync::Queue::<u8>::unbounded()?.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether as many wait as may, at this moment.
    ///
    /// # Examples
    /// ```
    /// assert!(!forkful::sync::Queue::<u8>::bounded(1)?.is_full());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    /// How many items may wait; `None` for any number.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(forkful::sync::Queue::<u8>::unbounded()?.capacity(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn capacity(&self) -> Option<usize> {
        match self.queue.maxsize() {
            0 => None,
            most => Some(most as usize),
        }
    }

    /// Counts one item as finished that was got: for [`join`](Queue::join). `false`, and nothing counted, if all were.
    ///
    /// # Errors
    /// [`QueueError::Damaged`] if a process has written over the queue's memory.
    ///
    /// # Examples
    /// ```
    /// # let queue = forkful::sync::Queue::unbounded()?;
    /// queue.put(1).unwrap();
    /// let item = queue.get().unwrap();
    /// assert!(queue.task_done().unwrap());
    /// queue.join();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn task_done(&self) -> Result<bool, QueueError> {
        loop {
            match self.queue.task_done(go_on) {
                Ok(done) => return Ok(done),
                Err(Stopped::Failed(error)) => return Err(error.into()),
                Err(Stopped::Recovered(_) | Stopped::TimedOut) => {}
                Err(Stopped::Interrupted(never)) => match never {},
            }
        }
    }

    /// Waits until all items that were put are counted as finished by [`task_done`](Queue::task_done). Those of a process that was killed
    /// between the two are not: see [`join_timeout`](Queue::join_timeout).
    ///
    /// # Examples
    /// ```
    /// # let queue = forkful::sync::Queue::<u8>::unbounded()?;
    /// queue.join();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join(&self) {
        let _ = self.queue.join(Deadline::NEVER, go_on);
    }

    /// The same for `timeout` at most; whether they are.
    ///
    /// # Examples
    /// ```
    /// # let queue = forkful::sync::Queue::unbounded()?;
    /// queue.put(1).unwrap();
    /// assert!(!queue.join_timeout(std::time::Duration::from_millis(5)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn join_timeout(&self, timeout: Duration) -> bool {
        self.queue.join(Deadline::after(timeout), go_on).is_ok()
    }

    /// The process that died last in the middle of a put or a get, as far as somebody has found out; the queue was put right then.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(forkful::sync::Queue::<u8>::unbounded()?.owner_died(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn owner_died(&self) -> Option<i32> {
        self.queue.owner_died().map(pid_of)
    }
}

fn now() -> Deadline {
    Deadline::after(Duration::ZERO)
}

/// The value of a message.
fn read<T: Portable>(kind: u8, content: &[u8]) -> Result<T, QueueError> {
    let name = std::any::type_name::<T>;
    if kind != VALUE {
        return Err(QueueError::NotRead(format!(
            "the item is no {}: another program has put it",
            name()
        )));
    }
    match postcard::take_from_bytes(content) {
        Ok((value, [])) => Ok(value),
        Ok((_, rest)) => Err(QueueError::NotRead(format!(
            "the item is no {}: {} bytes are left behind it",
            name(),
            rest.len()
        ))),
        Err(error) => Err(QueueError::NotRead(format!(
            "the item is no {}: {}",
            name(),
            context::words(error)
        ))),
    }
}

/// Keeps memory for the next message.
fn keep(bytes: Vec<u8>) {
    if bytes.capacity() <= LONG {
        SCRATCH.set(bytes);
    }
}

// Whatever a panic leaves here is what it leaves to another process.
impl<T> UnwindSafe for Queue<T> {}
impl<T> RefUnwindSafe for Queue<T> {}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Queue {
            queue: self.queue.clone(),
            items: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("len", &self.len()).finish()
    }
}
