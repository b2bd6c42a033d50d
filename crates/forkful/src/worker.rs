//! What a worker process does.

use forkful_core::sys::leave;
use std::os::fd::OwnedFd;

/// A worker's place in its pool, and what it was given.
#[derive(Debug)]
pub(crate) struct Berth {
    /// Its seat.
    pub(crate) seat: u32,
    /// The number of the request that it was started by.
    pub(crate) generation: u64,
    /// The memory that it shares with its pool.
    pub(crate) link: OwnedFd,
    /// What its pool is woken by.
    pub(crate) bell: OwnedFd,
    /// Where its stacks go when they are asked for.
    pub(crate) dump: OwnedFd,
    /// What the pool was launched with.
    pub(crate) start: Vec<u8>,
}

/// Works until the pool needs no more of it.
pub(crate) fn work(berth: Berth) -> ! {
    let _ = berth;
    leave(0)
}
