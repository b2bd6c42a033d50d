//! Where the words of a queue lie in the first window, and how they count.

use super::chain::{self, LINKS};
use super::place::SEGMENT;
use crate::prim::{AtomicU32, AtomicU64};
use crate::shm::{LockCell, Sleepers, Windows};
use crate::sync::sleepers::{MOST as LAP, Post};

// The words, each group on two cache lines of its own.
pub const MAGIC: usize = 0;
pub const MAXSIZE: usize = 8;
pub const DIED: usize = 16;
/// 1 once somebody has asked for the descriptor; changes with both locks held.
pub const WATCHED: usize = 24;
pub const PRODUCER_LOCK: usize = 128;
/// Two positions, and what `chain` has here.
pub const PRODUCERS: usize = 256;
/// How many messages had been taken when a producer last needed more memory.
pub const LAST_GETS: usize = PRODUCERS + 40;
pub const PUTS: usize = 384;
pub const CONSUMER_LOCK: usize = 512;
/// Two positions, and how many messages consumers know of, all of which there are.
pub const CONSUMERS: usize = 640;
pub const SEEN: usize = CONSUMERS + 16;
pub const GETS: usize = 768;
pub const DONE_LOCK: usize = 896;
pub const DONE: usize = 1024;
pub const READY_LOCK: usize = 1152;

/// Says that it is ours, and of this layout.
pub const OURS: u64 = u64::from_le_bytes(*b"ffqueue1");

/// How many messages lie between two counts.
#[inline]
pub fn difference(later: u32, earlier: u32) -> u32 {
    later.wrapping_sub(earlier) & LAP
}

/// Counts one message more, and wakes one who waits for that.
#[inline]
pub fn step(count: &Sleepers) {
    let _ = count.post(Post::Add(1), 1, |_| true);
}

pub fn first_window(segments: usize) -> usize {
    (LINKS + 4 * segments).next_multiple_of(4096)
}

/// What follows a count.
#[inline]
pub fn after(count: u32) -> u32 {
    count.wrapping_add(1) & LAP
}

/// Declares all words, for models, whose messages are of 8 bytes at most.
pub fn declare(memory: &mut Windows, segments: usize) {
    let first = first_window(segments);
    for offset in [
        MAGIC,
        DIED,
        PRODUCERS,
        PRODUCERS + 8,
        CONSUMERS,
        CONSUMERS + 8,
    ] {
        memory.place::<AtomicU64>(offset);
    }
    for offset in [
        MAXSIZE,
        WATCHED,
        SEEN,
        chain::MADE,
        chain::CIRCLE,
        chain::SPARE,
    ] {
        memory.place::<AtomicU32>(offset);
    }
    for offset in [PRODUCER_LOCK, CONSUMER_LOCK, DONE_LOCK, READY_LOCK] {
        memory.place::<LockCell>(offset);
    }
    for offset in [PUTS, GETS, DONE] {
        memory.place::<Sleepers>(offset);
    }
    for segment in 0..segments {
        memory.place::<AtomicU32>(LINKS + 4 * segment);
        for header in 0..4 {
            memory.place::<AtomicU64>(first + segment * SEGMENT + 16 * header);
        }
    }
}
