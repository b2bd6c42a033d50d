//! The letter box: the only place where a pool's parent and its workers meet.
//!
//! Knows: prim, sys, stats (buckets), shm. Does not know: futures, processes, what a payload says.
//!
//! ```text
//! parent                          one memfd                              worker w
//! Cursor, Area, Library   ->  slots, area, library            ->  Tasks::claim, read; Link::entry
//! OutcomeReader           <-  a ring of bytes per worker      <-  OutcomeWriter::try_push
//! Bells::wake_one         ->  a bit and a word per worker     ->  Bells::sleep_until
//! Bells::listen, sleep    <-  the leader's word, then `Bell`  <-  Bells::ring
//! ```
//!
//! Cursors, the allocator and the shape are private to each side: shared words only publish. What the parent reads back is
//! copied out and checked, and may be anything: the answer is then [`Garbage`], and the end of that worker.

mod bell;
mod bells;
mod cursor;
mod library;
mod link;
mod outcomes;
mod page;
mod shape;
mod slots;

pub use crate::shm::Extent;
pub use bell::Bell;
pub use bells::Bells;
pub use cursor::{Cursor, Standing};
pub use library::{Library, MOST_ENTRIES};
pub use link::Link;
pub use outcomes::{MORE, OutcomeHead, OutcomeReader, OutcomeWriter};
pub use page::{Page, PageSnapshot, Status};
pub use shape::{LinkError, MOST_WORKERS, Shape};
pub use slots::{Garbage, INLINE, Look, NO_FUNCTION, TaskHead, Tasks};

/// An outcome's kind: a value.
pub const RETURNED: u16 = 0;
/// An outcome's kind: an error.
pub const RAISED: u16 = 1;

/// The position of what is no task's outcome: the runner says something, and the kind says what.
pub const NO_TASK: u64 = u64::MAX;
/// Said: a record for the parent's logs.
pub const SAID_LOG: u16 = 1;
/// Said: the worker could not begin, and why; the pool breaks.
pub const SAID_FAILURE: u16 = 2;
