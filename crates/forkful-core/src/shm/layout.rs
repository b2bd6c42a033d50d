//! The structures that lie in shared memory: words only, each group on cache lines of its own.

use super::Shared;
use crate::prim::{AtomicU32, AtomicU64};
use crate::sys::SharedWord;
use std::ops::Deref;

/// Makes a structure of shared parts a shared one itself.
macro_rules! shared {
    ($($(#[$about:meta])* pub struct $name:ident { $($(#[$note:meta])* pub $field:ident: $kind:ty,)* })*) => {$(
        $(#[$about])*
        #[derive(Debug, Default)]
        #[repr(C)]
        pub struct $name { $($(#[$note])* pub $field: $kind,)* }

        const _: () = {
            const fn shared<T: Shared>() {}
            $(shared::<$kind>();)*
        };
        // SAFETY: repr(C), and every part is shared, as the lines above ask the compiler (S2).
        unsafe impl Shared for $name {}
    )*};
}

pub(super) use shared;

/// Something alone on two cache lines: processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Line<T>(T);

// SAFETY: T is shared (S2); what follows it up to the end of the line is never read.
unsafe impl<T: Shared> Shared for Line<T> {}

impl<T> Deref for Line<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// An array.
#[derive(Debug)]
#[repr(transparent)]
pub struct Row<T, const N: usize>([T; N]);

// SAFETY: an array of what is shared (S2).
unsafe impl<T: Shared, const N: usize> Shared for Row<T, N> {}

impl<T: Default, const N: usize> Default for Row<T, N> {
    fn default() -> Self {
        Row(std::array::from_fn(|_| T::default()))
    }
}

impl<T, const N: usize> Deref for Row<T, N> {
    type Target = [T; N];
    #[inline]
    fn deref(&self) -> &[T; N] {
        &self.0
    }
}

/// Words of a purse, one for each segment.
pub const PURSE_WORDS: usize = 8;

/// Words of the sleepers' bitmap: a bit for each of 1024 workers.
pub const SLEEPER_WORDS: usize = 16;

shared! {
    /// At the very start: what the file is, and what the parent alone says later. Workers can't write here.
    pub struct Header {
        /// Says that it is ours.
        pub magic: AtomicU64,
        /// Of this layout.
        pub version: AtomicU32,
        /// Workers.
        pub workers: AtomicU32,
        /// Slots.
        pub slots: AtomicU32,
        /// Bytes per outcome ring.
        pub ring: AtomicU32,
        /// Bytes of the library.
        pub library: AtomicU64,
        /// Bytes of the area.
        pub area: AtomicU64,
        /// Bytes of the arena.
        pub arena: AtomicU64,
        /// Entries in the library.
        pub entries: Line<AtomicU64>,
        /// The position behind the last published one.
        pub tail: Line<AtomicU64>,
        /// Not 0: workers leave when they find nothing.
        pub closing: Line<AtomicU32>,
        /// Not 0: outcomes that nobody waits for are told to the process's bell.
        pub background: Line<AtomicU32>,
    }

    /// What all workers and the parent write.
    pub struct Control {
        /// Where consumers begin to look; any consumer's.
        pub hint: Line<AtomicU64>,
        /// A claim of this position or a later one tells the parent to refill.
        pub refill_at: Line<AtomicU64>,
        /// 1 while a thread of the parent waits for outcomes.
        pub leader: Line<SharedWord>,
        /// A bit per worker that sleeps, or is about to.
        pub sleepers: Line<Row<AtomicU64, SLEEPER_WORDS>>,
        /// Whether the parent takes descriptors: 0 no answer yet, 1 yes, others why not, as the kernel's number plus one.
        pub hatch: Line<AtomicU32>,
        /// Then, the hatch's name and the pool's key.
        pub hatch_words: Line<Row<AtomicU64, 4>>,
    }

    /// The first 56 bytes of a slot; the rest holds small payloads.
    pub struct SlotHead {
        /// Lap, worker and phase.
        pub state: AtomicU64,
        /// The task's position.
        pub position: AtomicU64,
        /// Function, and definitions in the high half.
        pub function: AtomicU64,
        /// Flags, and the payload's length in the high half.
        pub size: AtomicU64,
        /// Where in the area a large payload lies.
        pub place: AtomicU64,
        /// When it was submitted.
        pub submitted: AtomicU64,
        /// Where in the arena the segment begins that is lent with it, plus one; 0 for none.
        pub loan: AtomicU64,
    }

    /// A worker's words that others wait by; the start of its page.
    pub struct Bed {
        /// Changes with every wake.
        pub word: Line<SharedWord>,
        /// How far the parent has read this worker's outcomes.
        pub consumed: Line<AtomicU64>,
        /// 1 while it waits for the parent to read some.
        pub full: Line<AtomicU32>,
        /// How often the parent has answered a request for a segment.
        pub answers: Line<AtomicU64>,
        /// Segments that the parent has given it, as [`Extent::to_word`](super::Extent::to_word) has them, or 0.
        pub purse: Line<Row<AtomicU64, PURSE_WORDS>>,
    }

    /// How often how long.
    pub struct Histogram {
        /// Per bucket.
        pub counts: Row<AtomicU64, 88>,
        /// Nanoseconds in all.
        pub total: AtomicU64,
    }

    /// What a worker tells of itself; the rest of its page.
    pub struct Meters {
        /// The process.
        pub pid: AtomicU32,
        /// What it is doing.
        pub status: AtomicU32,
        /// The position that it runs, plus one; 0 for none.
        pub begun: AtomicU64,
        /// When it began that, in nanoseconds.
        pub began: AtomicU64,
        /// Since when it has nothing to do.
        pub idle_since: AtomicU64,
        /// Tasks that it ended.
        pub done: AtomicU64,
        /// Those of them that raised.
        pub failed: AtomicU64,
        /// Nanoseconds in tasks.
        pub busy: AtomicU64,
        /// Nanoseconds without.
        pub idle: AtomicU64,
        /// How long tasks waited for it.
        pub waits: Histogram,
        /// How long they ran.
        pub runs: Histogram,
    }

    /// Where an entry of the library lies.
    pub struct Entry {
        /// From the library's start.
        pub offset: AtomicU64,
        /// Bytes.
        pub len: AtomicU64,
    }

    /// The process's bell.
    pub struct BellWords {
        /// Rises with every ring.
        pub sequence: Line<SharedWord>,
        /// 1 if somebody may be asleep.
        pub armed: Line<AtomicU32>,
    }
}
