//! Bytes that stay where they are until they are copied into shared memory: what a task takes along.

use std::collections::TryReserveError;

/// A piece of a cargo.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    address: *const u8,
    len: usize,
    /// Whether it begins at a round place, or goes on where the one before it ends.
    pub apart: bool,
}

// SAFETY: an address and a number; who may read there, `Cargo` says.
unsafe impl Send for Part {}
// SAFETY: as above.
unsafe impl Sync for Part {}

/// What begins apart lies at a multiple of this: a cache line, which is what readers of arrays count on.
pub const ALIGNED: u64 = 64;

impl Part {
    /// `len` bytes from this address on.
    pub fn new(address: *const u8, len: usize, apart: bool) -> Part {
        Part {
            address: if len == 0 {
                std::ptr::dangling()
            } else {
                address
            },
            len,
            apart,
        }
    }

    /// Where it is.
    pub fn address(&self) -> *const u8 {
        self.address
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// What holds the bytes of some parts.
///
/// # Safety
/// As long as it lives, each part can be read, by any thread. (Somebody may write there meanwhile: what arrives is then whatever was
/// seen.) No part lies in memory that is free in an arena.
pub unsafe trait Cargo: Send + Sync + 'static {
    /// The pieces, in order.
    fn parts(&self) -> &[Part];

    /// Bytes that they take in a segment.
    fn room(&self) -> u64 {
        self.parts().iter().fold(0, |end, part| place(end, part).1)
    }
}

impl std::fmt::Debug for dyn Cargo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Cargo").field(&self.room()).finish()
    }
}

/// Where a part begins and ends, behind one that ends at `end`.
pub fn place(end: u64, part: &Part) -> (u64, u64) {
    let start = if part.apart {
        end.next_multiple_of(ALIGNED)
    } else {
        end
    };
    (start, start + part.len as u64)
}

/// Copies a cargo behind what there is, as it would lie in a segment that begins there.
pub fn append(cargo: &dyn Cargo, bytes: &mut Vec<u8>) -> Result<(), TryReserveError> {
    let start = bytes.len();
    bytes.try_reserve_exact(usize::try_from(cargo.room()).unwrap_or(usize::MAX))?;
    let mut end = 0;
    for part in cargo.parts() {
        let (at, stop) = place(end, part);
        bytes.resize(start + at as usize, 0);
        // SAFETY: `Cargo` says that it can be read, and it lies elsewhere; there is room for so many bytes, which count once they are
        // there.
        unsafe {
            let to = bytes.as_mut_ptr().add(bytes.len());
            to.copy_from_nonoverlapping(part.address, part.len);
            bytes.set_len(bytes.len() + part.len);
        }
        end = stop;
    }
    Ok(())
}

/// A cargo for tests.
#[cfg(test)]
pub struct Bytes {
    _own: Vec<u8>,
    part: [Part; 1],
}

#[cfg(test)]
impl Bytes {
    /// Of these.
    pub fn of(bytes: Vec<u8>) -> Bytes {
        let part = Part::new(bytes.as_ptr(), bytes.len(), true);
        Bytes {
            _own: bytes,
            part: [part],
        }
    }

    /// Of what lies in a mapping, which the test keeps.
    pub fn at(address: std::ptr::NonNull<u8>, len: usize) -> Bytes {
        Bytes {
            _own: Vec::new(),
            part: [Part::new(address.as_ptr(), len, true)],
        }
    }
}

// SAFETY: its own bytes stay where they are, and a test keeps a mapping that it looks at.
#[cfg(test)]
unsafe impl Cargo for Bytes {
    fn parts(&self) -> &[Part] {
        &self.part
    }
}
