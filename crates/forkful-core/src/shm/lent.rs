//! Slices of memory that one holder has to himself: a segment of an arena, cut into ranges that nobody else has.
//!
//! That the kernel could show the same pages to another process changes nothing for the language: who may write there is settled by the
//! books (S5), and a process that writes where it has no business does what any stray write does, to this memory as to any other. So a
//! range is a slice as a vector's is, exclusive where the owner is borrowed exclusively.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Arc;

/// Who has a segment, until he is dropped (S5).
pub(crate) trait Lender: Send + Sync + 'static {
    /// Where a range of it lies, which stays mapped as long as he lives; `None` if it ends before.
    fn place(&self, offset: u64, len: u64) -> Option<NonNull<u8>>;
}

struct Inner(Box<dyn Lender>);

/// A segment, of which each byte is given away once at most.
pub struct Lease {
    inner: Arc<Inner>,
    /// What was cut off: where each range begins, and where it ends.
    cut: BTreeMap<u64, u64>,
}

impl Lease {
    /// Of what somebody has.
    pub(crate) fn of(lender: impl Lender) -> Lease {
        Lease {
            inner: Arc::new(Inner(Box::new(lender))),
            cut: BTreeMap::new(),
        }
    }

    /// A range of it; `None` if the segment ends before, or somebody has a byte of it already.
    pub fn cut(&mut self, offset: u64, len: u64) -> Option<Lent> {
        let end = offset.checked_add(len)?;
        let before = self.cut.range(..end).next_back();
        if len == 0 || before.is_some_and(|(_, taken)| *taken > offset) {
            return None;
        }
        let address = self.inner.0.place(offset, len)?;
        let len = usize::try_from(len).ok()?;
        self.cut.insert(offset, end);
        Some(Lent {
            address,
            len,
            room: len,
            inner: self.inner.clone(),
        })
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("cut", &self.cut).finish()
    }
}

/// A range of a segment: bytes that are this value's alone. The segment is its holder's until the last range of it is dropped.
pub struct Lent {
    address: NonNull<u8>,
    /// Bytes that count.
    len: usize,
    /// Bytes there are.
    room: usize,
    inner: Arc<Inner>,
}

// SAFETY: it has its range to itself, as `Lease::cut` sees to, so it may go to any thread, as a vector may.
unsafe impl Send for Lent {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for Lent {}

impl Lent {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: S5: mapped as long as the lender lives, which this keeps; any bytes are a value, and a file's pages are never
        // uninitialised. Nobody in this process has a range that overlaps, and the one who owns this is borrowed.
        unsafe { std::slice::from_raw_parts(self.address.as_ptr(), self.len) }
    }

    /// The same, to be written to.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and borrowed exclusively. Segments are mapped to be written.
        unsafe { std::slice::from_raw_parts_mut(self.address.as_ptr(), self.len) }
    }

    /// Bytes that it could have.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Has so many bytes count from now on, no more than there are; what comes to light is whatever lay there.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(self.room);
    }

    /// How many ranges of the same segment there are; others may only become fewer, as no range is made of a range.
    pub fn sharers(&self) -> usize {
        Arc::strong_count(&self.inner)
    }
}

impl std::fmt::Debug for Lent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Lent").field(&self.len).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::Lock;

    /// Memory of this process, which says when it is given back.
    struct Own(
        Lock<Vec<u8>>,
        #[expect(dead_code, reason = "counted")] Arc<()>,
    );

    impl Lender for Own {
        fn place(&self, offset: u64, len: u64) -> Option<NonNull<u8>> {
            let mut bytes = self.0.lock();
            let end = offset.checked_add(len)? as usize;
            bytes
                .get_mut(offset as usize..end)
                .and_then(|range| NonNull::new(range.as_mut_ptr()))
        }
    }

    #[test]
    fn no_byte_is_given_away_twice() {
        let alive = Arc::new(());
        let mut lease = Lease::of(Own(Lock::new(vec![7; 100]), alive.clone()));
        let mut back = lease.cut(50, 50).unwrap();
        let mut front = lease.cut(10, 20).unwrap();
        for (offset, len) in [
            (50, 50),
            (49, 2),
            (99, 1),
            (0, 11),
            (29, 1),
            (0, 100),
            (15, 2),
            (100, 1),
            (90, 20),
            (5, 0),
            (u64::MAX, 2),
        ] {
            assert!(lease.cut(offset, len).is_none(), "{offset} {len}");
        }
        assert!(lease.cut(30, 20).is_some(), "what lies between");
        drop(lease);
        back.bytes_mut().fill(1);
        front.bytes_mut()[19] = 2;
        assert_eq!((back.bytes()[0], back.bytes().len()), (1, 50));
        assert_eq!(front.bytes()[18..], [7, 2]);
        front.set_len(5);
        assert_eq!((front.bytes().len(), front.room()), (5, 20));
        front.set_len(50);
        assert_eq!(front.bytes().len(), 20);
        assert_eq!(front.sharers(), 2);
        drop(back);
        assert_eq!((front.sharers(), Arc::strong_count(&alive)), (1, 2));
        drop(front);
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
