//! A worker's purse: segments of the arena that the parent has given it, to send results in.
//!
//! ```text
//!         either puts one in that is its own
//! empty  ------------------------>  full
//!        <------------------------
//!          the worker takes it, or the parent takes it back: one exchange, so one of the two has it
//! ```
//!
//! Who has which segment is in the parent's private books; a purse only says what the worker may take. Any word here may be garbage:
//! what a worker takes lies within the arena, and what it sends back the parent looks up.

use crate::prim::Ordering;
use crate::shm::{Bed, Extent, PURSE_WORDS};

/// Segments that a purse holds at most.
pub const PURSE: usize = PURSE_WORDS;

/// One worker's.
#[derive(Clone, Copy, Debug)]
pub struct Purse<'a> {
    bed: &'a Bed,
    arena: u64,
}

impl<'a> Purse<'a> {
    pub(super) fn new(bed: &'a Bed, arena: u64) -> Purse<'a> {
        Purse { bed, arena }
    }

    /// Puts a segment in, if there is a free place: the parent one that it gives, the worker one that it does not need now.
    pub fn put(&self, segment: Extent) -> bool {
        self.bed.purse.iter().any(|word| {
            // SYNC(purse.put): release
            word.compare_exchange(0, segment.to_word(), Ordering::Release, Ordering::Relaxed)
                .is_ok()
        })
    }

    /// What lies in it: a look only.
    pub fn content(&self) -> impl Iterator<Item = Extent> {
        let arena = self.arena;
        let words = self.bed.purse.iter();
        words.filter_map(move |word| Extent::of_word(word.load(Ordering::Relaxed), arena))
    }

    /// Takes out a segment that `wanted` says; in the worker for itself, in the parent to have it back.
    pub fn take(&self, mut wanted: impl FnMut(Extent) -> bool) -> Option<Extent> {
        for word in self.bed.purse.iter() {
            // SYNC(purse.put): acquire
            let seen = word.load(Ordering::Acquire);
            let Some(segment) = Extent::of_word(seen, self.arena).filter(|found| wanted(*found))
            else {
                continue;
            };
            let order = Ordering::Acquire;
            if word.compare_exchange(seen, 0, order, order).is_ok() {
                return Some(segment);
            }
        }
        None
    }

    /// Parent: empties it, for a new process on this seat.
    pub fn clear(&self) {
        for word in self.bed.purse.iter() {
            word.store(0, Ordering::SeqCst);
        }
    }

    /// Worker: how many requests have been answered.
    pub fn answers(&self) -> u64 {
        // SYNC(purse.answer): acquire
        self.bed.answers.load(Ordering::Acquire)
    }

    /// Parent: a request was looked at, and what can be given is in the purse.
    pub fn answer(&self) {
        // SYNC(purse.answer): release
        self.bed.answers.fetch_add(1, Ordering::Release);
    }
}
