//! One mapped memfd: typed words at offsets, and bytes copied in and out.

use super::cargo::Part;
use crate::prim::real_or_model;
use crate::sys::{SharedWord, SharedWord64};

/// What may lie in shared memory.
///
/// # Safety
/// A `repr(C)` or transparent type that holds nothing but atomics (S2): valid for any bytes, zero included, without padding
/// that anybody reads, changed through shared references only.
pub unsafe trait Shared: Default + Send + Sync + 'static {}

// SAFETY: an atomic of the size of its value, or its double in a model, which is never mapped.
unsafe impl Shared for crate::prim::AtomicU32 {}
// SAFETY: as above.
unsafe impl Shared for crate::prim::AtomicU64 {}
// SAFETY: transparent over an atomic, or its double in a model.
unsafe impl Shared for SharedWord {}
// SAFETY: as above.
unsafe impl Shared for SharedWord64 {}

real_or_model! {
    real: {
        use crate::sys::{Mapping, memfd, out_of_reach};
        use std::io;
        use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
        use std::ptr::NonNull;

        /// Shared memory, from its first byte to its last.
        #[derive(Debug)]
        pub struct Region {
            mapping: Mapping,
            /// For what is mapped anew. Those who only opened it may have lost it, as a task may close what it finds.
            fd: Option<OwnedFd>,
        }

        impl Region {
            /// Makes a region of zeros.
            pub fn create(name: &str, size: u64) -> io::Result<Region> {
                let fd = memfd(name, size)?;
                let mapping = Mapping::of(fd.as_fd())?;
                Ok(Region { mapping, fd: Some(fd) })
            }

            /// Maps what another process made.
            pub fn open(fd: BorrowedFd<'_>) -> io::Result<Region> {
                let mapping = Mapping::of(fd)?;
                Ok(Region { mapping, fd: out_of_reach(fd) })
            }

            /// The descriptor; in a process that only opened the region, if there was room for one.
            pub fn fd(&self) -> Option<BorrowedFd<'_>> {
                self.fd.as_ref().map(AsFd::as_fd)
            }

            /// Bytes.
            #[expect(clippy::len_without_is_empty, reason = "an empty region can't be made")]
            pub fn len(&self) -> usize {
                self.mapping.len()
            }

            /// Declares `count` words or structures from `offset` on, for models; memory is there without being declared.
            pub fn place<T: Shared>(&mut self, _offset: usize, _count: usize) {}

            /// What lies at `offset`.
            #[inline]
            pub fn at<T: Shared>(&self, offset: usize) -> &T {
                self.check(offset, size_of::<T>());
                assert!(offset.is_multiple_of(align_of::<T>()), "unaligned");
                // SAFETY: S1, S2 and S4; the base is page aligned, and the reference ends before the mapping does.
                unsafe { &*self.mapping.base().as_ptr().add(offset).cast::<T>() }
            }

            /// Copies bytes in.
            #[inline]
            pub fn write(&self, offset: usize, bytes: &[u8]) {
                self.check(offset, bytes.len());
                // SAFETY: S1, S3 and S4; a slice of this process's own does not overlap shared memory.
                unsafe {
                    let to = self.mapping.base().as_ptr().add(offset);
                    to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                }
            }

            /// Whether a range seems to have no pages yet.
            pub fn is_cold(&self, offset: usize, len: usize) -> bool {
                self.mapping.is_cold(offset, len)
            }

            /// Copies a part of a cargo in, where there are no pages yet.
            pub fn load_cold(&self, offset: usize, part: &Part) {
                self.check(offset, part.len());
                let through = |fd| {
                    let (mapping, from) = (&self.mapping, part.address());
                    // SAFETY: the part can be read, as `Cargo` says.
                    unsafe { mapping.write_through(fd, offset, from, part.len()) }
                };
                if !self.fd().is_some_and(through) {
                    self.load(offset, part);
                }
            }

            /// Copies a part of a cargo in.
            pub fn load(&self, offset: usize, part: &Part) {
                self.check(offset, part.len());
                // SAFETY: S1, S3 and S4; the part can be read, as whoever made it says, and lies elsewhere: `Cargo` says both.
                unsafe {
                    let to = self.mapping.base().as_ptr().add(offset);
                    to.copy_from_nonoverlapping(part.address(), part.len());
                }
            }

            /// Where a range lies in this process.
            pub fn address(&self, offset: usize, len: usize) -> NonNull<u8> {
                self.check(offset, len);
                // SAFETY: S1 and S4: within the mapping.
                unsafe { self.mapping.base().add(offset) }
            }

            /// The offset of an address, if it lies here.
            pub fn offset_of(&self, address: usize) -> Option<usize> {
                let offset = address.checked_sub(self.mapping.base().as_ptr() as usize)?;
                (offset < self.mapping.len()).then_some(offset)
            }

            /// Makes whole pages within the range this process's own; see [`Mapping::isolate`].
            pub fn isolate(&self, offset: usize, len: usize) -> io::Result<()> {
                let fd = self.fd().ok_or(io::ErrorKind::NotFound)?;
                self.mapping.isolate(fd, offset, len)
            }

            /// Gives a range's pages back, and leaves this process's own copies of them.
            pub fn punch(&self, offset: usize, len: usize) {
                if let Some(fd) = self.fd() {
                    self.mapping.punch(fd, offset, len);
                }
            }

            /// Undoes that.
            pub fn rejoin(&self, offset: usize, len: usize) -> io::Result<()> {
                let fd = self.fd().ok_or(io::ErrorKind::NotFound)?;
                self.mapping.rejoin(fd, offset, len)
            }

            /// Copies bytes out, behind those that `bytes` has.
            #[inline]
            pub fn read(&self, offset: usize, len: usize, bytes: &mut Vec<u8>) {
                self.check(offset, len);
                bytes.reserve(len);
                // SAFETY: S1, S3 and S4; there is room for so many behind the end, and they are initialised before they count.
                unsafe {
                    let from = self.mapping.base().as_ptr().add(offset);
                    let end = bytes.len();
                    bytes.as_mut_ptr().add(end).copy_from_nonoverlapping(from, len);
                    bytes.set_len(end + len);
                }
            }

            /// Gives whole pages within the range back; they read as zeros afterwards.
            pub fn discard(&self, offset: usize, len: usize) {
                self.mapping.discard(offset, len);
            }

            /// Lets this process only read whole pages within the range from now on.
            pub fn protect(&self, offset: usize, len: usize) {
                self.mapping.protect(offset, len);
            }

            #[inline]
            fn check(&self, offset: usize, len: usize) {
                let room = self.mapping.len().checked_sub(offset);
                assert!(room.is_some_and(|room| len <= room), "outside of the region");
            }
        }
    }
    model: {
        use std::any::Any;
        use std::collections::HashMap;
        use std::io;
        use std::os::fd::BorrowedFd;
        use std::ptr::NonNull;
        use std::sync::Mutex;

        /// Shared memory inside a model: the words that were declared, each at its offset, and bytes beside them, for a model's
        /// atomics are no plain memory. Bytes count as seen by everybody at once; the words around them tell a missing handshake.
        #[derive(Debug)]
        pub struct Region {
            words: HashMap<usize, Box<dyn Any + Send + Sync>>,
            bytes: Mutex<HashMap<usize, u8>>,
            len: usize,
        }

        impl Region {
            /// Makes a region of zeros.
            pub fn create(_name: &str, size: u64) -> io::Result<Region> {
                Ok(Region {
                    words: HashMap::new(),
                    bytes: Mutex::default(),
                    len: size as usize,
                })
            }

            /// A model has one process.
            pub fn open(_fd: BorrowedFd<'_>) -> io::Result<Region> {
                Err(io::ErrorKind::Unsupported.into())
            }

            /// A model has no descriptors.
            pub fn fd(&self) -> Option<BorrowedFd<'_>> {
                None
            }

            /// Bytes.
            #[expect(clippy::len_without_is_empty, reason = "an empty region can't be made")]
            pub fn len(&self) -> usize {
                self.len
            }

            /// Declares `count` words or structures from `offset` on.
            pub fn place<T: Shared>(&mut self, offset: usize, count: usize) {
                // Always in the same order, as a model numbers its atomics.
                for nth in 0..count {
                    let word = Box::new(T::default());
                    self.words.insert(offset + nth * size_of_real::<T>(), word);
                }
            }

            /// What lies at `offset`.
            pub fn at<T: Shared>(&self, offset: usize) -> &T {
                let word = self.words.get(&offset).expect("not part of the model");
                word.downcast_ref().expect("something else is placed here")
            }

            /// Copies bytes in.
            pub fn write(&self, offset: usize, bytes: &[u8]) {
                let mut all = self.bytes.lock().unwrap();
                all.extend(bytes.iter().enumerate().map(|(nth, byte)| (offset + nth, *byte)));
            }

            /// A model lends nothing.
            pub fn is_cold(&self, _offset: usize, _len: usize) -> bool {
                false
            }

            /// As above.
            pub fn load_cold(&self, _offset: usize, _part: &Part) {}

            /// As above.
            pub fn load(&self, _offset: usize, _part: &Part) {}

            /// A model has no addresses.
            pub fn address(&self, _offset: usize, _len: usize) -> NonNull<u8> {
                NonNull::dangling()
            }

            /// As above.
            pub fn offset_of(&self, _address: usize) -> Option<usize> {
                None
            }

            /// As above.
            pub fn isolate(&self, _offset: usize, _len: usize) -> io::Result<()> {
                Err(io::ErrorKind::Unsupported.into())
            }

            /// As above.
            pub fn punch(&self, _offset: usize, _len: usize) {}

            /// As above.
            pub fn rejoin(&self, _offset: usize, _len: usize) -> io::Result<()> {
                Err(io::ErrorKind::Unsupported.into())
            }

            /// Copies bytes out, behind those that `bytes` has.
            pub fn read(&self, offset: usize, len: usize, bytes: &mut Vec<u8>) {
                let all = self.bytes.lock().unwrap();
                bytes.extend((offset..offset + len).map(|at| all.get(&at).copied().unwrap_or(0)));
            }

            /// Nothing to give back.
            pub fn discard(&self, _offset: usize, _len: usize) {}

            /// A model writes nothing astray.
            pub fn protect(&self, _offset: usize, _len: usize) {}
        }

        /// How far apart the elements of an array lie in real memory: only words of 64 bits are placed in arrays.
        fn size_of_real<T>() -> usize {
            8
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prim::{AtomicU64, Ordering};

    #[test]
    fn two_mappings_see_the_same() {
        let made = Region::create("forkful-test", 4096).unwrap();
        let opened = Region::open(made.fd().unwrap()).unwrap();
        made.at::<AtomicU64>(8).store(7, Ordering::Release);
        assert_eq!(opened.at::<AtomicU64>(8).load(Ordering::Acquire), 7);
        made.write(4090, b"ending");
        let mut bytes = b"the ".to_vec();
        opened.read(4090, 6, &mut bytes);
        assert_eq!(bytes, b"the ending");
    }

    #[test]
    fn nothing_is_reached_outside() {
        let region = Region::create("forkful-test", 4096).unwrap();
        let refused = |access: &dyn Fn()| {
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(access)).is_err()
        };
        assert!(refused(&|| region.write(4095, b"ab")));
        assert!(refused(&|| region.read(usize::MAX, 1, &mut Vec::new())));
        assert!(refused(&|| region.read(1, usize::MAX, &mut Vec::new())));
        for offset in [4, 4096, usize::MAX - 7] {
            assert!(refused(&|| region
                .at::<AtomicU64>(offset)
                .store(1, Ordering::Relaxed)));
        }
    }
}
