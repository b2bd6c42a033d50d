//! Many bytes with one owner, wherever they lie, and the cargo that is made of some of them.

use super::{Cargo, Lent, Part};
use crate::sys::Mapping;
use std::sync::Arc;

/// Bytes that stay where they are while they are shared.
#[derive(Debug)]
pub enum Bulk {
    /// On the heap.
    Own(Vec<u8>),
    /// In a segment.
    Lent(Lent),
    /// In memory that nobody can change any more.
    Placed(Placed),
}

impl Bulk {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Bulk::Own(bytes) => bytes,
            Bulk::Lent(lent) => lent.bytes(),
            Bulk::Placed(placed) => placed.bytes(),
        }
    }

    /// The same, to be written to, where they can be.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        match self {
            Bulk::Own(bytes) => Some(bytes),
            Bulk::Lent(lent) => Some(lent.bytes_mut()),
            Bulk::Placed(_) => None,
        }
    }
}

/// A file that nobody can change any more, as this process sees it.
#[derive(Debug)]
pub struct Sealed(Mapping);

impl Sealed {
    /// All of it.
    pub fn of(fd: std::os::fd::BorrowedFd<'_>) -> std::io::Result<Sealed> {
        if !crate::sys::is_sealed(fd) {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
        Mapping::read_only(fd).map(Sealed)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped as long as this lives, and sealed against writing, shrinking and growing, as `of` has seen.
        unsafe { std::slice::from_raw_parts(self.0.base().as_ptr(), self.0.len()) }
    }

    /// A range of it; `None` if it ends before.
    pub fn range(self: &Arc<Self>, offset: u64, len: u64) -> Option<Placed> {
        let offset = usize::try_from(offset).ok()?;
        let len = usize::try_from(len).ok()?;
        self.bytes().get(offset..offset.checked_add(len)?)?;
        Some(Placed {
            file: self.clone(),
            offset,
            len,
        })
    }
}

/// A range of such a file, which is mapped as long as this lives.
#[derive(Debug)]
pub struct Placed {
    file: Arc<Sealed>,
    offset: usize,
    len: usize,
}

impl Placed {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.file.bytes()[self.offset..self.offset + self.len]
    }

    /// Has only so many of them count.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

/// Pieces that wait until they are copied, each beginning apart. Their owners may go on reading them, and drop them.
#[derive(Debug, Default)]
pub struct Pieces {
    kept: Vec<Arc<Bulk>>,
    parts: Vec<Part>,
}

impl Pieces {
    /// Adds one.
    pub fn add(&mut self, bulk: Arc<Bulk>) {
        let bytes = bulk.bytes();
        self.parts
            .push(Part::new(bytes.as_ptr(), bytes.len(), true));
        self.kept.push(bulk);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

// SAFETY: nobody writes to, moves or frees what lies in an `Arc` that is shared: this has its share as long as it lives. What lies in a
// segment is lent as long.
unsafe impl Cargo for Pieces {
    fn parts(&self) -> &[Part] {
        &self.parts
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ALIGNED, append};
    use super::*;
    use crate::sys::{memfd, seal, sealable_memfd};
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn pieces_lie_apart_and_outlive_their_owners() {
        let mut pieces = Pieces::default();
        for byte in [1, 2] {
            let bulk = Arc::new(Bulk::Own(vec![byte; 70]));
            pieces.add(bulk.clone());
            drop(bulk);
        }
        let mut bytes = Vec::new();
        append(&pieces, &mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, 2 * ALIGNED + 70);
        assert_eq!((bytes[69], bytes[128], bytes[197]), (1, 2, 2));
    }

    #[test]
    fn only_what_is_sealed_is_seen_as_bytes() {
        let loose = memfd("forkful-test", 4096).unwrap();
        assert!(Sealed::of(loose.as_fd()).is_err());
        let fd = sealable_memfd("forkful-test").unwrap();
        let mut file = std::fs::File::from(fd.try_clone().unwrap());
        file.write_all(b"twelve bytes").unwrap();
        drop(file);
        seal(&fd).unwrap();
        let sealed = Arc::new(Sealed::of(fd.as_fd()).unwrap());
        let mut placed = sealed.range(7, 5).unwrap();
        for (offset, len) in [(8, 5), (13, 0), (u64::MAX, 2)] {
            assert!(sealed.range(offset, len).is_none(), "{offset} {len}");
        }
        drop((sealed, fd));
        assert_eq!(placed.bytes(), b"bytes");
        placed.truncate(2);
        placed.truncate(9);
        assert_eq!(placed.bytes(), b"by");
        assert!(Bulk::Placed(placed).bytes_mut().is_none());
    }
}
