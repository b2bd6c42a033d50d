//! The words of the primitives that processes share; what they mean, `sync` says.

use super::layout::shared;
use super::region::Shared;
use crate::prim::{AtomicU32, AtomicU64};
use crate::sys::SharedWord64;

shared! {
    /// A lock that outlives its holder.
    pub struct LockCell {
        /// The holder; in the highest bit of the low half, whether anybody may sleep.
        pub holder: SharedWord64,
        /// The holder whose death was found last.
        pub died: AtomicU64,
    }

    /// A number that processes wait for.
    pub struct Sleepers {
        /// In the low half the number, and whether somebody sleeps without a limit; in the high one how many wait.
        pub word: SharedWord64,
    }

    /// The first words of a slab.
    pub struct SlabHead {
        /// Says that it is one.
        pub magic: AtomicU64,
        /// Of this layout.
        pub version: AtomicU32,
        /// The bytes of a cell.
        pub cell: AtomicU32,
    }
}
