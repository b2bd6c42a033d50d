//! Locks, and what else processes wait for together, in memory that any of them may leave by dying at any instruction.
//!
//! Knows: prim, deadline, error, sys, shm. Does not know: futures, pools, queues of values, what is guarded.
//!
//! Nobody watches over anybody: each process maps the words and finds out by itself.
//!
//! - A **held** thing has an [`Owner`] in its word, which names the process that holds it. Who waits looks every few
//!   milliseconds whether that one lives, and takes over what a dead one held ([`Taken::Recovered`]).
//! - What is **not held** by anybody, as an event or a semaphore, is waited for without looking ([`Sleepers`]): the change that ends
//!   the wait and the wake are one system call, which a kill can't cut in half.
//! - The words lie in cells of a [`slab`], which is shared whole.

pub mod barrier;
pub mod condition;
pub mod event;
pub mod lock;
pub mod owner;
pub mod rlock;
pub mod semaphore;
pub mod slab;
pub mod sleepers;

pub use crate::shm::{
    BarrierCell, ConditionCell, EventCell, LockCell, RLockCell, SemaphoreCell, Sleepers,
};
pub use barrier::{Arrival, Broken};
pub use lock::{NotHeld, Taken};
pub use owner::Owner;
pub use rlock::thread_number;
pub use semaphore::TooMany;
pub use slab::{Cell, after_in_child};
