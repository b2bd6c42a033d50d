//! A position in a queue's memory: which segment, where in it, and how many segments came before; in one word.
//!
//! | bits | what |
//! |---|---|
//! | 0..16 | offset in the segment, in units of 8 bytes; the segment's length itself when it is used up |
//! | 16..40 | the segment's number, which says where it lies |
//! | 40..64 | how many segments producers have entered before it, modulo 2^24: two positions tell how many are between them |

/// Bytes of a segment.
pub const SEGMENT: usize = 256 << 10;

/// Segments at most: 4 TiB of them.
pub const MOST: u32 = 1 << 24;

const _: () = assert!(SEGMENT / 8 < 1 << 16);

/// A position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    /// Offsets are multiples of 8.
    pub const fn new(sequence: u32, segment: u32, offset: usize) -> Place {
        let (sequence, segment) = ((sequence % MOST) as u64, (segment % MOST) as u64);
        Place(sequence << 40 | segment << 16 | (offset / 8) as u64)
    }

    /// One that was read from shared memory; `None` if there is no such segment, or it is not as long.
    pub fn read(word: u64, segments: u32) -> Option<Place> {
        let place = Place(word);
        (place.segment() < segments && place.offset() <= SEGMENT).then_some(place)
    }

    /// As it is written.
    pub fn word(self) -> u64 {
        self.0
    }

    /// The segment's number.
    pub fn segment(self) -> u32 {
        (self.0 >> 16) as u32 % MOST
    }

    /// Bytes from the segment's start.
    pub fn offset(self) -> usize {
        (self.0 & 0xffff) as usize * 8
    }

    /// Bytes from the start of all segments.
    pub fn address(self) -> usize {
        self.segment() as usize * SEGMENT + self.offset()
    }

    /// Bytes left in the segment.
    pub fn room(self) -> usize {
        SEGMENT - self.offset()
    }

    /// `bytes` further in the same segment.
    pub fn plus(self, bytes: usize) -> Place {
        debug_assert!(bytes <= self.room() && bytes.is_multiple_of(8));
        Place(self.0 + (bytes / 8) as u64)
    }

    /// The start of `segment`, which comes next.
    pub fn enter(self, segment: u32) -> Place {
        Place::new((self.0 >> 40) as u32 + 1, segment, 0)
    }

    /// How many segments were entered since an earlier one.
    pub fn since(self, earlier: Place) -> u32 {
        ((self.0 >> 40) as u32).wrapping_sub((earlier.0 >> 40) as u32) % MOST
    }

    /// Bytes since an earlier one.
    pub fn distance(self, earlier: Place) -> u64 {
        let whole = u64::from(self.since(earlier)) * SEGMENT as u64;
        (whole + self.offset() as u64).saturating_sub(earlier.offset() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_it_was_made_of() {
        let place = Place::new(MOST - 1, 7, SEGMENT - 8);
        assert_eq!(Place::read(place.word(), 8), Some(place));
        assert_eq!(Place::read(place.word(), 7), None);
        assert_eq!(Place::read(0xffff, 7), None);
        let end = place.plus(8);
        assert_eq!((end.segment(), end.room()), (7, 0));
        let next = end.enter(3);
        assert_eq!(
            (next.segment(), next.offset(), next.since(place)),
            (3, 0, 1)
        );
        assert_eq!(next.plus(16).distance(place), 24);
        assert_eq!(next.address(), 3 * SEGMENT);
    }
}
