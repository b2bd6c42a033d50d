//! Memory that two processes can see, of which either may die between two instructions or write anything anywhere.
//!
//! Knows: prim, sys. Does not know: tasks, outcomes, pools; what the words mean.
//!
//! Unsafe door 2 of the engine. The rules, to which the arguments at each site refer:
//!
//! - **S1** A [`Region`] is mapped whole, a window of [`Windows`] as well, and their files are sealed against shrinking and growing: an
//!   offset within the length is memory.
//! - **S2** What lies in it by type is [`Shared`]: atomics in `repr(C)`, for which any bytes are a value. No pointer, no `Drop`,
//!   no padding that is read.
//! - **S3** All else is bytes, copied in and out by address, never a slice: the other side may change them at any time.
//! - **S4** Each access is checked against the length. Offsets come from this process's private memory; one that was read from
//!   the region is checked by the reader first, who answers with an error, as the check here would panic.
//! - **S5** A segment of the arena has one holder at a time, who alone makes slices of it: what the parent's books say is a task's
//!   or a worker's the parent does not look at, and the other way round. Only `procs::arena::Loan` and `worker::holdings` are lenders.

#![allow(unsafe_code)]

mod area;
mod bulk;
mod cargo;
mod cells;
mod layout;
mod lent;
mod region;
mod segments;
mod windows;

pub use area::{Area, Extent};
pub use bulk::{Bulk, Pieces, Placed, Sealed};
#[cfg(test)]
pub use cargo::Bytes;
pub use cargo::{ALIGNED, Cargo, Part, append, place};
pub use cells::{
    BROKEN_ROUNDS, BarrierCell, ConditionCell, EventCell, LEDGER_ROWS, LedgerCell, LedgerRow,
    LockCell, RLockCell, SemaphoreCell, SlabHead, Sleepers, WAITER_PLACES, WaiterPlace,
};
pub use layout::{
    Bed, BellWords, Control, Entry, Header, Histogram, Line, Meters, PURSE_WORDS, Row,
    SLEEPER_WORDS, SlotHead,
};
pub(crate) use lent::Lender;
pub use lent::{Lease, Lent};
pub use region::{Region, Shared};
pub use segments::Segments;
pub use windows::{Piece, WINDOW, Windows};
