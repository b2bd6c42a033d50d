//! The meters: plain atomics that everybody writes, that nobody waits for, and that a reader copies at any time.
//!
//! Knows: sys (the clock). Does not know: who writes, who reads, what a task is.
//!
//! A worker's own meters have one writer, so a plain load and store replaces the locked instruction; a reader may see two
//! numbers of the same moment one task apart, never a torn one.

mod asks;
mod counter;
mod histogram;
mod meter;

pub use asks::{Asks, AsksSnapshot, Gaps};
pub use counter::Counter;
pub use histogram::{BUCKETS, Histogram, HistogramSnapshot, bucket_bound, bucket_of};
pub use meter::{Meter, MeterSnapshot, WorkerMeter, WorkerSnapshot};
