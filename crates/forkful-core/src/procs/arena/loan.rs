//! A segment that this process has: what a view of it keeps.

use super::Arena;
use crate::fork;
use crate::shm::{Lease, Lender};
use crate::wire::Extent;
use std::ptr::NonNull;
use std::sync::Arc;

/// A segment that this process has, until this is dropped.
#[derive(Debug)]
pub struct Loan {
    pub(super) arena: Arc<Arena>,
    pub(super) segment: Extent,
    pub(super) generation: u32,
}

impl Loan {
    /// Bytes.
    pub fn len(&self) -> u64 {
        self.segment.len
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Where a range of it lies; `None` if it ends before.
    pub fn at(&self, offset: u64, len: u64) -> Option<NonNull<u8>> {
        let inside = offset.checked_add(len)? <= self.segment.len;
        let start = inside.then_some(self.segment.offset + offset)?;
        self.arena.link.lent(start, len)
    }

    /// The same, as slices.
    pub fn lease(self) -> Lease {
        Lease::of(self)
    }
}

impl Lender for Loan {
    fn place(&self, offset: u64, len: u64) -> Option<NonNull<u8>> {
        self.at(offset, len)
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        // In a forked child it is memory like any other, and the segment is the parent's to return.
        if self.generation == fork::generation() {
            self.arena.end(self.segment);
        }
    }
}
