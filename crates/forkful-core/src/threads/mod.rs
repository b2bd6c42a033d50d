//! The thread pool: a queue, a crew of workers that sleep and wake, and the wait of a worker for its own pool.
//!
//! Knows: prim, deadline, error, sys, stats, fork. Does not know: what a job is, who starts a thread, futures.
//!
//! The pool is a passive thing: whoever submits is told whether a worker is missing ([`Berth`]) and starts the thread himself;
//! the worker's loop belongs to its user too, who asks for jobs ([`Worker::next_job`]) and rests ([`Worker::rest`]) when there
//! is none. How sleeping and waking never miss each other is told in `sleep.md`.

mod again;
mod blocked;
mod held;
mod pool;
mod queue;
mod sleep;
mod tally;
mod worker;

pub use blocked::Blocked;
pub use pool::{Pool, Terms};
pub use sleep::Sleep;
pub use tally::PoolSnapshot;
pub use worker::{Berth, Worker, WorkerState};
