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
//! Descriptors, which memory can't carry, take a socket: [`Request`], [`Answer`].
//!
//! Cursors, the allocator and the shape are private to each side: shared words only publish. What the parent reads back is
//! copied out and checked, and may be anything: the answer is then [`Garbage`], and the end of that worker.

mod bell;
mod bells;
mod births;
mod cursor;
mod holds;
mod library;
mod link;
mod outcomes;
mod page;
mod parcel;
mod purse;
mod shape;
mod slots;

pub use crate::shm::Extent;
pub use bell::Bell;
pub use bells::Bells;
pub use births::{Ask, LONGEST_REPORT, Report};
pub use cursor::{Cursor, Standing};
pub use holds::{Holds, HoldsView, Mark};
pub use library::{Library, MOST_ENTRIES};
pub use link::Link;
pub use outcomes::{LENT, MORE, OutcomeHead, OutcomeReader, OutcomeWriter};
pub use page::{Page, PageSnapshot, Status};
pub use parcel::{
    Answer, Label, MESSAGE, MOST_PER_MESSAGE, MOST_PER_PARCEL, Request, Token, hatch_name,
};
pub use purse::{PURSE, Purse};
pub use shape::{LinkError, MOST_WORKERS, Shape};
pub use slots::{CARGO_INSIDE, Garbage, INLINE, Look, NO_FUNCTION, TaskHead, Tasks};

/// An outcome's kind: a value.
pub const RETURNED: u16 = 0;
/// An outcome's kind: an error. A bit, beside [`WITH_PARCEL`].
pub const RAISED: u16 = 1;
/// A bit of an outcome's kind: its payload begins with the [`Token`] of a parcel that the worker has pushed before.
pub const WITH_PARCEL: u16 = 4;
/// A bit of an outcome's kind: its payload, behind that token, says where its large buffers lie.
pub const WITH_BUFFERS: u16 = 8;

/// The position of what is no task's outcome: the runner says something, and the kind says what.
pub const NO_TASK: u64 = u64::MAX;
/// Said: a record for the parent's logs.
pub const SAID_LOG: u16 = 1;
/// Said: the worker could not begin, and why; the pool breaks.
pub const SAID_FAILURE: u16 = 2;
/// Said: the worker has descriptors to push, and wants the hatch opened; [`Link::hatch`] has the answer.
pub const SAID_HATCH: u16 = 3;
/// Said: the worker wants a segment of so many bytes (a word); [`Purse::answers`] counts the answers.
pub const SAID_SEGMENT: u16 = 4;
/// Said: nobody there holds these segments any more (a word each, where it begins).
pub const SAID_RETURNED: u16 = 5;
