//! What all workers are told once: functions and definitions, in a log that only grows.

use super::{Garbage, Link};
use crate::prim::Ordering;
use std::sync::Arc;

/// An entry that is longer is not kept a second time, to be restored: it is a large global's, and there may be many.
const KEPT: usize = 64 << 10;

/// Entries at most.
pub const MOST_ENTRIES: u32 = 65536;

/// The parent's end, with its private cursor.
#[derive(Debug)]
pub struct Library {
    link: Arc<Link>,
    used: u64,
    count: u32,
    /// Each entry's end, and the bytes of those that are short.
    copies: Vec<(u64, Option<Box<[u8]>>)>,
}

impl Library {
    pub(super) fn new(link: Arc<Link>) -> Library {
        Library {
            link,
            used: 0,
            count: 0,
            copies: Vec::new(),
        }
    }

    /// Adds an entry, and returns its number; `None` when the library is full.
    pub fn append(&mut self, bytes: &[u8]) -> Option<u32> {
        let len = bytes.len() as u64;
        let end = self.used.checked_add(len)?;
        if self.count == MOST_ENTRIES || end > self.link.shape().library {
            return None;
        }
        let at = self.link.layout().library + self.used as usize;
        self.link.region().write(at, bytes);
        let number = self.count;
        let entry = self.link.entry_words(number);
        entry.offset.store(self.used, Ordering::Relaxed);
        entry.len.store(len, Ordering::Relaxed);
        // SYNC(library.entries): release
        self.link
            .entry_count()
            .store(u64::from(number) + 1, Ordering::Release);
        (self.used, self.count) = (end, number + 1);
        let copy = (bytes.len() <= KEPT).then(|| Box::from(bytes));
        self.copies.push((end, copy));
        Some(number)
    }

    /// Writes everything anew after garbage was found. Workers may read meanwhile: what they can have read already is the same.
    pub fn restore(&self) {
        let mut start = 0;
        for (number, (end, copy)) in (0..).zip(&self.copies) {
            let entry = self.link.entry_words(number);
            entry.offset.store(start, Ordering::Relaxed);
            entry.len.store(end - start, Ordering::Relaxed);
            if let Some(bytes) = copy {
                let at = self.link.layout().library + start as usize;
                self.link.region().write(at, bytes);
            }
            start = *end;
        }
        // SYNC(library.entries): release
        self.link
            .entry_count()
            .store(self.count.into(), Ordering::Release);
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.count
    }
}

impl Link {
    /// How many entries the library has.
    #[inline]
    pub fn entries(&self) -> u32 {
        // SYNC(library.entries): acquire
        let count = self.entry_count().load(Ordering::Acquire);
        count.min(MOST_ENTRIES.into()) as u32
    }

    /// Copies an entry over what `bytes` held.
    pub fn entry(&self, number: u32, bytes: &mut Vec<u8>) -> Result<(), Garbage> {
        bytes.clear();
        if number >= self.entries() {
            return Err(Garbage);
        }
        let entry = self.entry_words(number);
        let offset = entry.offset.load(Ordering::Relaxed);
        let len = entry.len.load(Ordering::Relaxed);
        let end = offset.checked_add(len).ok_or(Garbage)?;
        if end > self.shape().library {
            return Err(Garbage);
        }
        let at = self.layout().library + offset as usize;
        self.region().read(at, len as usize, bytes);
        Ok(())
    }
}
