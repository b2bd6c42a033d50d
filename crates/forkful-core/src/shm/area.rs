//! Who has which part of the area for larger payloads: an allocator whose every word is the parent's private memory.
//!
//! A small block goes back to the block that was used last, so that its pages are warm: a cold page costs more than the copy.

use std::collections::BTreeMap;

/// A part of the area.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Extent {
    /// From the area's start.
    pub offset: u64,
    /// Bytes, at least what was asked for.
    pub len: u64,
}

/// Sizes of small blocks.
const CLASSES: [u64; 4] = [1 << 10, 4 << 10, 16 << 10, 64 << 10];
/// Larger blocks are whole pages, and small ones are cut from pieces of whole pages.
const PAGE: u64 = 4096;
/// What is cut into small blocks at a time.
const PIECE: u64 = 64 << 10;
/// Freed memory that stays as it is; what is freed past it goes back to the kernel.
const WARM: u64 = 64 << 20;

#[derive(Clone, Copy, Debug)]
struct Range {
    len: u64,
    /// Whether its pages are counted as present.
    warm: bool,
}

/// The allocator.
#[derive(Debug)]
pub struct Area {
    /// Free blocks of each class, the last used on top.
    small: [Vec<u64>; CLASSES.len()],
    /// All other free memory, by offset. Neighbours of one temperature are one range.
    free: BTreeMap<u64, Range>,
    /// Bytes of warm ranges and of small blocks.
    warm: u64,
    /// How many there may be at most.
    most_warm: u64,
}

impl Area {
    /// All of an area of `len` bytes, rounded down to whole pages, free and cold.
    pub fn new(len: u64) -> Area {
        let len = len / PAGE * PAGE;
        let mut free = BTreeMap::new();
        if len > 0 {
            free.insert(0, Range { len, warm: false });
        }
        Area {
            small: Default::default(),
            free,
            warm: 0,
            most_warm: WARM,
        }
    }

    /// Keeps less freed memory than usual, where memory is short.
    pub fn keep_warm(&mut self, bytes: u64) {
        self.most_warm = WARM.min(bytes);
    }

    /// A part of at least `len` bytes that nobody else has; `None` when there is none.
    pub fn alloc(&mut self, len: usize) -> Option<Extent> {
        let len = u64::try_from(len).ok()?.max(1);
        if let Some(class) = CLASSES.iter().position(|size| len <= *size)
            && let Some(extent) = self.alloc_small(class)
        {
            return Some(extent);
        }
        // Of a small one only what it needs, too, when there is no whole block left.
        let len = len.checked_next_multiple_of(PAGE)?;
        if let Some(offset) = self.take(len) {
            return Some(Extent { offset, len });
        }
        self.melt();
        let offset = self.take(len)?;
        Some(Extent { offset, len })
    }

    /// Gives a part back. The answer, if any, is memory that should be given back to the kernel: more than enough is warm.
    pub fn free(&mut self, extent: Extent) -> Option<Extent> {
        let Extent { offset, len } = extent;
        let keeps = self.warm + len <= self.most_warm;
        match CLASSES.iter().position(|size| len == *size) {
            // Less than a page can't be given back alone, so it is kept whatever there is.
            Some(class) if keeps || len < PAGE => {
                self.warm += len;
                self.small[class].push(offset);
                None
            }
            _ => {
                self.insert(offset, len, keeps);
                (!keeps).then_some(extent)
            }
        }
    }

    /// Free bytes that are counted as present in memory.
    pub fn warm(&self) -> u64 {
        self.warm
    }

    /// All free bytes.
    pub fn available(&self) -> u64 {
        let small = self.small.iter().zip(CLASSES);
        let small: u64 = small.map(|(list, size)| list.len() as u64 * size).sum();
        small + self.free.values().map(|range| range.len).sum::<u64>()
    }

    fn alloc_small(&mut self, class: usize) -> Option<Extent> {
        let len = CLASSES[class];
        if self.small[class].is_empty() && !self.cut(class) {
            self.melt();
            if !self.cut(class) {
                return None;
            }
        }
        let offset = self.small[class].pop()?;
        self.warm -= len;
        Some(Extent { offset, len })
    }

    /// Cuts a new piece into blocks of a class, or as little as one block when memory is short.
    fn cut(&mut self, class: usize) -> bool {
        let size = CLASSES[class];
        for piece in [PIECE, size.max(PAGE)] {
            if let Some(start) = self.take(piece) {
                // On top lies the one at the lowest address.
                let blocks = (0..piece / size).rev().map(|nth| start + nth * size);
                self.small[class].extend(blocks);
                // Not touched yet in truth: counting it as warm only makes the limit stricter.
                self.warm += piece;
                return true;
            }
        }
        false
    }

    /// Takes `len` bytes, page aligned: from one warm range if any is large enough, else from the first place that is.
    fn take(&mut self, len: u64) -> Option<u64> {
        let warm = self.free.iter().find_map(|(start, range)| {
            let offset = start.checked_next_multiple_of(PAGE)?;
            (range.warm && offset + len <= start + range.len).then_some(offset)
        });
        let offset = warm.or_else(|| self.first_fit(len))?;
        self.remove(offset, len);
        Some(offset)
    }

    /// The first page from which `len` bytes are free, in however many ranges side by side.
    fn first_fit(&self, len: u64) -> Option<u64> {
        let (mut from, mut end) = (0, 0);
        for (start, range) in &self.free {
            if *start != end {
                from = *start;
            }
            end = start + range.len;
            let offset = from.checked_next_multiple_of(PAGE)?;
            if offset.checked_add(len)? <= end {
                return Some(offset);
            }
        }
        None
    }

    /// Removes bytes that are free, splitting what sticks out at either end.
    fn remove(&mut self, offset: u64, len: u64) {
        let end = offset + len;
        let first = self
            .free
            .range(..=offset)
            .next_back()
            .map(|(start, _)| *start);
        let ranges = self.free.range(first.unwrap_or(offset)..end);
        let touched: Vec<u64> = ranges.map(|(start, _)| *start).collect();
        for start in touched {
            let Some(range) = self.free.remove(&start) else {
                continue;
            };
            let stop = start + range.len;
            let warm = range.warm;
            if start < offset {
                let len = offset.min(stop) - start;
                self.free.insert(start, Range { len, warm });
            }
            if end < stop {
                let from = end.max(start);
                self.free.insert(
                    from,
                    Range {
                        len: stop - from,
                        warm,
                    },
                );
            }
            let gone = end.min(stop).saturating_sub(offset.max(start));
            if warm {
                self.warm -= gone;
            }
        }
    }

    /// Adds free bytes, joined to their neighbours.
    fn insert(&mut self, mut offset: u64, mut len: u64, warm: bool) {
        if warm {
            self.warm += len;
        }
        if let Some((start, range)) = self.free.range(..offset).next_back()
            && start + range.len == offset
            && range.warm == warm
        {
            (offset, len) = (*start, len + range.len);
        }
        if let Some(range) = self.free.get(&(offset + len)).copied()
            && range.warm == warm
        {
            self.free.remove(&(offset + len));
            len += range.len;
        }
        self.free.insert(offset, Range { len, warm });
    }

    /// Makes all free small blocks into plain free memory, when a request can't be met otherwise.
    fn melt(&mut self) {
        for (class, size) in CLASSES.iter().enumerate() {
            let blocks = std::mem::take(&mut self.small[class]);
            self.warm -= blocks.len() as u64 * size;
            for offset in blocks {
                self.insert(offset, *size, true);
            }
        }
    }
}

#[cfg(test)]
mod tests;
