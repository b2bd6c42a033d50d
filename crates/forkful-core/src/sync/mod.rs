//! How threads wait for each other, and processes, which may leave by dying at any instruction.
//!
//! Knows: prim, deadline, error, sys, shm, fork (the generation). Does not know: futures, pools, what is guarded.
//!
//! **Threads of one process**: a [`Parker`] is where one thread sleeps, a [`Line`] those that wait for a turn, and [`Flag`], [`Gate`] and
//! [`Permits`] are what they wait for. They lie in private memory, and nobody who waits ever looks without being woken.
//!
//! **Processes**: the words lie in cells of a [`slab`], which is shared whole. Nobody watches over anybody: each process maps the words
//! and finds out by itself.
//!
//! - A **held** thing has an [`Owner`] in its word, which names the process that holds it. Who waits looks every few
//!   milliseconds whether that one lives, and takes over what a dead one held ([`Taken::Recovered`]).
//! - What is **not held** by anybody, as an event or a semaphore, is waited for without looking ([`Sleepers`]): the change that ends
//!   the wait and the wake are one system call, which a kill can't cut in half.

pub mod barrier;
pub mod condition;
pub mod event;
pub mod flag;
pub mod gate;
pub mod ledger;
pub mod line;
pub mod lock;
pub mod owner;
pub mod park;
pub mod permits;
pub mod queue;
pub mod rlock;
#[cfg(test)]
mod scribble;
pub mod semaphore;
pub mod slab;
pub mod sleepers;

pub use crate::shm::{
    BarrierCell, ConditionCell, EventCell, LedgerCell, LockCell, RLockCell, SemaphoreCell, Sleepers,
};
pub use barrier::{Arrival, Broken};
pub use flag::Flag;
pub use gate::Gate;
pub use ledger::Permit;
pub use line::Line;
pub use lock::{NotHeld, Taken};
pub use owner::Owner;
pub use park::Parker;
pub use permits::Permits;
pub use rlock::thread_number;
pub use semaphore::TooMany;
pub use slab::{Cell, after_in_child};
