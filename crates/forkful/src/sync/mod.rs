//! What the processes of a pool wait for each other with: a mutex, a semaphore, an event, a condition variable, a barrier, a queue.
//!
//! Each is a handle. Clones of it are the same object, and so is what a worker gets when a handle is among the arguments of a task,
//! however deep inside of them: the object lies in memory that all of these processes map. They work between threads of one process
//! as well, and cost there what they cost between processes.
//!
//! Any process may be killed at any moment. A [`Mutex`] whose holder is gone is handed to the next one, who is told; permits of a
//! [`Semaphore`] come back; a [`Queue`] has no half-written items; a notification of a [`Condvar`] that went to a process that died
//! goes to another one; a [`Barrier`] whose action dies is broken. An object is gone when the last process that has a handle of it
//! lets go, or ends.
//!
//! A wait blocks its thread: in async code it belongs where that is allowed, as in tokio's `spawn_blocking`. A handle that comes with
//! task after task is mapped in its worker once.
//!
//! A handle can be serialised only as a part of a task's arguments or result, as nobody else could make anything of it: other
//! serialisers get an error, and so does an item of a [`Queue`].
//!
//! # Examples
//! Sums of several threads, which would be workers in a larger program:
//!
//! ```
//! use forkful::sync::{Barrier, Queue};
//!
//! let (queue, barrier) = (Queue::unbounded()?, Barrier::new(3)?);
//! for nth in 0..2u64 {
//!     let (queue, barrier) = (queue.clone(), barrier.clone());
//!     std::thread::spawn(move || {
//!         queue.put(nth + 20).unwrap();
//!         barrier.wait().unwrap();
//!     });
//! }
//! barrier.wait().unwrap();
//! assert_eq!(queue.get().unwrap() + queue.get().unwrap(), 41);
//! # Ok::<(), std::io::Error>(())
//! ```

// Knows: the engine's cells and queue, codec. Does not know: executors, tasks.

mod barrier;
mod condvar;
mod event;
mod mutex;
mod place;
mod queue;
mod recent;
mod semaphore;

pub use barrier::{Barrier, BarrierWaitResult, BrokenBarrier};
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use mutex::{LockResult, Mutex, MutexGuard, OwnerDied, TryLockError, TryLockResult};
pub use queue::{Iter, PutError, Queue, QueueError, TryIter};
pub(crate) use recent::{begin as begin_worker, rest};
pub use semaphore::{Permit, Semaphore, TooManyPermits};

/// No wait of these ends before its time: signal handlers run, and it goes on.
fn go_on() -> Result<(), std::convert::Infallible> {
    Ok(())
}

/// As the rest of the crate has it.
fn pid_of(owner: forkful_core::sync::Owner) -> i32 {
    owner.pid() as i32
}

#[cfg(test)]
mod tests;
