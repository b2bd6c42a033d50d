//! The words of the primitives that processes share; what they mean, `sync` says.

use super::layout::{Row, shared};
use super::region::Shared;
use crate::prim::{AtomicU32, AtomicU64};
use crate::sys::SharedWord64;

/// How many broken rounds a barrier remembers.
pub const BROKEN_ROUNDS: usize = 8;

/// Waiters of a condition that are woken in their order; a model has no patience for so many.
pub const WAITER_PLACES: usize = if crate::prim::MODELLED { 2 } else { 64 };

/// Processes that a ledger can name at a time.
pub const LEDGER_ROWS: usize = 60;

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

    /// A semaphore.
    pub struct SemaphoreCell {
        /// The permits there are.
        pub value: Sleepers,
        /// Who took one last.
        pub taker: AtomicU64,
        /// The most there may be.
        pub most: AtomicU32,
        /// Nothing.
        pub _spare: AtomicU32,
        /// Held for a moment by those who must not pass the most.
        pub gate: LockCell,
    }

    /// A semaphore that knows who holds its permits.
    pub struct LedgerCell {
        /// Changes whenever permits come back.
        pub changes: Sleepers,
        /// Permits in all: those on the rows and those that are free.
        pub total: AtomicU64,
        /// The most there may be.
        pub most: AtomicU64,
        /// The holder whose death was found last.
        pub died: AtomicU64,
        /// Held by those who change anything.
        pub gate: LockCell,
        /// How many rows have ever been used: no look goes further.
        pub used: AtomicU64,
        /// Who holds some.
        pub rows: Row<LedgerRow, LEDGER_ROWS>,
    }

    /// A process that holds permits.
    pub struct LedgerRow {
        /// The process, or 0.
        pub owner: AtomicU64,
        /// How many.
        pub held: AtomicU64,
    }

    /// A lock that its thread may take again.
    pub struct RLockCell {
        /// Held as long as the count is not 0.
        pub lock: LockCell,
        /// Which thread of the holder, 0 while nobody has written it.
        pub thread: AtomicU64,
        /// How often.
        pub count: AtomicU64,
    }

    /// An event.
    pub struct EventCell {
        /// Odd while it is set; larger each time it is cleared.
        pub flag: Sleepers,
    }

    /// A barrier.
    pub struct BarrierCell {
        /// Twice the rounds that are over; odd while it is broken.
        pub round: Sleepers,
        /// In the high half a round, in the low one how many have arrived for it.
        pub arrivals: AtomicU64,
        /// In the high half the round whose action runs, in the low one 1; or 0.
        pub acting: AtomicU64,
        /// Held by those who change anything.
        pub gate: LockCell,
        /// How many make a round.
        pub parties: AtomicU32,
        /// Nothing.
        pub _spare: AtomicU32,
        /// The last rounds that broke, by their number.
        pub broken: Row<AtomicU32, BROKEN_ROUNDS>,
    }

    /// The waiters of a condition.
    pub struct ConditionCell {
        /// Counts arrivals and notifications.
        pub clock: AtomicU64,
        /// Permits for those who found no place.
        pub crowd: Sleepers,
        /// How many of those have not been notified.
        pub crowded: AtomicU64,
        /// A place for each waiter.
        pub places: Row<WaiterPlace, WAITER_PLACES>,
    }

    /// A waiter of a condition.
    pub struct WaiterPlace {
        /// In the low half whether he waits, was notified, sleeps without a limit.
        pub state: SharedWord64,
        /// His process.
        pub owner: AtomicU64,
        /// When he came.
        pub came: AtomicU64,
        /// When he was notified.
        pub notified: AtomicU64,
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
