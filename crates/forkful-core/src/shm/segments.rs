//! Which segments of the arena are free: an allocator whose every word is the parent's private memory.
//!
//! A segment comes in one of eight sizes per doubling, is never divided, and goes to whoever wants one of its size next, the last
//! used first: its pages are there, and a page that is not costs ten times its copy.

use super::area::{Area, Extent};
use std::collections::BTreeMap;

const PAGE: u64 = 4096;
/// Sizes per doubling, and pages of the first of them.
const STEPS: u64 = 8;
/// Pages of the smallest segment: less is not worth lending.
const LEAST: u64 = 32;

/// The size of the segment for so many bytes, by its number.
fn size_for(len: u64) -> Option<u16> {
    let pages = len.div_ceil(PAGE).max(LEAST);
    let shift = u64::from((pages / STEPS).ilog2());
    // Rounding up may reach the next doubling, whose first size it is then.
    let steps = pages.div_ceil(1 << shift);
    let number = shift * STEPS + (steps - STEPS);
    (bytes_of(number)? >= len).then_some(number as u16)
}

/// Bytes of a size.
fn bytes_of(number: u64) -> Option<u64> {
    let (shift, step) = (number / STEPS, number % STEPS);
    let shift = u32::try_from(shift).ok().filter(|shift| *shift < 40)?;
    let pages = (STEPS + step) << shift;
    (pages < 1 << 40).then_some(pages * PAGE)
}

impl Extent {
    /// Whether so many bytes have room in this segment, and it is not kept for too little: no larger than the allocator would give.
    pub fn suits(self, len: u64) -> bool {
        self.len >= len && self.len / 2 <= len.max(LEAST * PAGE)
    }

    /// In one word, if it is a segment; never 0.
    pub fn to_word(self) -> u64 {
        let number = size_for(self.len).unwrap_or(0);
        ((u64::from(number) + 1) << 40) | (self.offset / PAGE)
    }

    /// From it; `None` if it is none within an arena of so many bytes.
    pub fn of_word(word: u64, arena: u64) -> Option<Extent> {
        let len = bytes_of((word >> 40).checked_sub(1)?)?;
        let offset = (word & ((1 << 40) - 1)) * PAGE;
        (offset.checked_add(len)? <= arena).then_some(Extent { offset, len })
    }
}

/// The allocator.
#[derive(Debug)]
pub struct Segments {
    /// Addresses without pages.
    cold: Area,
    /// Free segments with pages, by size; the last used on top.
    shelf: BTreeMap<u16, Vec<u64>>,
    /// Bytes on the shelf.
    warm: u64,
    /// Bytes that somebody has.
    out: u64,
    /// What both may be together.
    cap: u64,
}

impl Segments {
    /// All of an arena of `len` bytes, of which `cap` may be used at a time.
    pub fn new(len: u64, cap: u64) -> Segments {
        let mut cold = Area::new(len);
        cold.keep_warm(0);
        Segments {
            cold,
            shelf: BTreeMap::new(),
            warm: 0,
            out: 0,
            cap,
        }
    }

    /// A segment of at least `len` bytes that nobody else has. `past_cap`: whatever the cap says. What has to be given back to the
    /// kernel before is added to `gone`, and is the caller's to [`Segments::chill`].
    pub fn alloc(&mut self, len: u64, past_cap: bool, gone: &mut Vec<Extent>) -> Option<Extent> {
        let number = size_for(len.max(1))?;
        let len = bytes_of(number.into())?;
        // One somewhat larger is better than a cold one.
        let near = number..=number + STEPS as u16 / 2;
        let found = self.shelf.range_mut(near).find_map(|(size, shelf)| {
            let offset = shelf.pop()?;
            Some((*size, offset))
        });
        if let Some((size, offset)) = found {
            let len = bytes_of(size.into())?;
            self.warm -= len;
            self.out += len;
            return Some(Extent { offset, len });
        }
        if !past_cap && self.out.checked_add(len)? > self.cap {
            return None;
        }
        while self.out.saturating_add(self.warm).saturating_add(len) > self.cap {
            match self.take_down() {
                Some(extent) => gone.push(extent),
                None => break,
            }
        }
        let extent = self.cold.alloc(usize::try_from(len).ok()?)?;
        self.out += len;
        Some(Extent {
            offset: extent.offset,
            len,
        })
    }

    /// Nobody has it any more. `cold`: its pages are gone.
    pub fn free(&mut self, segment: Extent, cold: bool) {
        self.out -= segment.len;
        if cold {
            self.chill(segment);
            return;
        }
        let number = size_for(segment.len).unwrap_or(0);
        self.shelf.entry(number).or_default().push(segment.offset);
        self.warm += segment.len;
    }

    /// Takes the free segment off the shelf that is likely to be missed least. When the kernel has its pages, [`Segments::chill`].
    pub fn take_down(&mut self) -> Option<Extent> {
        let (size, shelf) = self
            .shelf
            .iter_mut()
            .rev()
            .find(|(_, shelf)| !shelf.is_empty())?;
        let extent = Extent {
            offset: shelf.remove(0),
            len: bytes_of((*size).into())?,
        };
        self.warm -= extent.len;
        Some(extent)
    }

    /// Its pages are the kernel's again.
    pub fn chill(&mut self, segment: Extent) {
        self.cold.free(segment);
    }

    /// Bytes of free segments with pages.
    pub fn warm(&self) -> u64 {
        self.warm
    }

    /// Bytes that somebody has.
    pub fn out(&self) -> u64 {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_rise_by_an_eighth() {
        let mut last = 0;
        let first = u64::from(size_for(1).unwrap());
        for number in first..(30 * STEPS) {
            let bytes = bytes_of(number).unwrap();
            assert!(bytes > last && (last == 0 || bytes <= last + last / 7));
            assert_eq!(size_for(bytes), Some(number as u16));
            assert_eq!(size_for(last + 1), Some(number as u16));
            last = bytes;
        }
        assert_eq!(size_for(u64::MAX), None);
        assert_eq!(size_for(1 << 60), None);
    }

    #[test]
    fn a_word_holds_a_segment_and_garbage_none_outside() {
        let arena = 1 << 36;
        for (offset, len) in [(0, 1), (PAGE, 100 << 20), (5 << 30, 9 << 30)] {
            let len = bytes_of(size_for(len).unwrap().into()).unwrap();
            let segment = Extent { offset, len };
            assert_eq!(Extent::of_word(segment.to_word(), arena), Some(segment));
        }
        for word in [0, u64::MAX, 1 << 63, (1 << 41) - 1] {
            assert_eq!(Extent::of_word(word, arena), None);
        }
    }

    #[test]
    fn the_last_used_comes_first_and_a_cap_holds() {
        let mut gone = Vec::new();
        let mut segments = Segments::new(1 << 30, 10 << 20);
        let mut alloc = |segments: &mut Segments, len, past| segments.alloc(len, past, &mut gone);
        let one = alloc(&mut segments, 4 << 20, false).unwrap();
        let two = alloc(&mut segments, 4 << 20, false).unwrap();
        assert_eq!(alloc(&mut segments, 4 << 20, false), None);
        assert!(alloc(&mut segments, 4 << 20, true).is_some());
        segments.free(one, false);
        segments.free(two, false);
        assert_eq!(alloc(&mut segments, 4 << 20, false), Some(two));
        assert_eq!(segments.warm(), 4 << 20);
        // What lies on the shelf makes room.
        assert!(alloc(&mut segments, 2 << 20, false).is_some());
        assert_eq!(gone, [one]);
        assert_eq!(segments.warm(), 0);
    }

    proptest! {
        /// Nobody gets what another one has, and nothing is lost.
        #[test]
        fn everybody_has_his_own(steps in prop::collection::vec((any::<bool>(), 0usize..8, 1u64..(3 << 20)), 1..60)) {
            let arena = 16 << 20;
            let mut segments = Segments::new(arena, 12 << 20);
            let (mut held, mut gone): (Vec<Extent>, Vec<Extent>) = (Vec::new(), Vec::new());
            for (give, which, len) in steps {
                if give && !held.is_empty() {
                    let extent = held.swap_remove(which % held.len());
                    segments.free(extent, len % 3 == 0);
                } else if let Some(extent) = segments.alloc(len, len % 5 == 0, &mut gone) {
                    prop_assert!(extent.suits(len) && extent.offset + extent.len <= arena);
                    for other in held.iter().chain(&gone) {
                        prop_assert!(extent.offset + extent.len <= other.offset || other.offset + other.len <= extent.offset);
                    }
                    held.push(extent);
                }
                for extent in gone.drain(..) {
                    segments.chill(extent);
                }
                prop_assert_eq!(segments.out(), held.iter().map(|extent| extent.len).sum::<u64>());
            }
            for extent in held {
                segments.free(extent, false);
            }
            while let Some(extent) = segments.take_down() {
                segments.chill(extent);
            }
            prop_assert_eq!(segments.warm() + segments.out(), 0);
            prop_assert_eq!(segments.cold.available(), arena);
        }
    }
}
