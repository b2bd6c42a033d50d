//! A sparse memfd far larger than what is used of it, mapped in windows as it fills.
//!
//! The file has its full size from the start and keeps it (S1), so nobody has to be told that it grew, and no access behind its end
//! is possible. What costs memory is pages that were written; what costs addresses is windows that were looked into. The first
//! window holds words and is always there, the others double in size: [first | 1 MiB | 2 MiB | 4 MiB ...].

use super::{Part, Shared};
use crate::prim::real_or_model;

/// Bytes of the first of the doubling windows. Blocks that divide it, and are aligned to themselves, never lie in two windows.
pub const WINDOW: usize = 1 << 20;

real_or_model! {
    real: {
        use crate::sys::{Mapping, file_identity, file_size, keeps_size, memfd, out_of_reach, page_size};
        use std::io;
        use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
        use std::ptr::NonNull;
        use std::sync::atomic::{AtomicPtr, Ordering};

        /// Doubling windows at most.
        const WINDOWS: usize = 24;

        /// Window, and offset in it, of an offset behind the first window.
        #[inline]
        fn place(offset: usize) -> (usize, usize) {
            let window = (offset / WINDOW + 1).ilog2() as usize;
            (window, offset - start(window))
        }

        #[inline]
        fn start(window: usize) -> usize {
            ((1 << window) - 1) * WINDOW
        }

        /// The file, as this process sees it.
        #[derive(Debug)]
        pub struct Windows {
            fd: Option<OwnedFd>,
            first: Mapping,
            /// Bytes behind the first window.
            len: usize,
            /// Null until somebody looks into it. No lock, which another thread might hold at a fork.
            rest: [AtomicPtr<Mapping>; WINDOWS],
        }

        impl Windows {
            /// Makes a file of zeros, `first` bytes and `len` more, both whole pages.
            pub fn create(name: &str, first: usize, len: usize) -> io::Result<Windows> {
                let fd = memfd(name, (first + len) as u64)?;
                Windows::over(fd.as_fd(), Some(fd.try_clone()?), first)
            }

            /// Maps what another process made.
            pub fn open(fd: BorrowedFd<'_>, first: usize) -> io::Result<Windows> {
                Windows::over(fd, out_of_reach(fd), first)
            }

            fn over(fd: BorrowedFd<'_>, kept: Option<OwnedFd>, first: usize) -> io::Result<Windows> {
                let size = usize::try_from(file_size(fd)?).map_err(|_| io::ErrorKind::FileTooLarge)?;
                let len = size.checked_sub(first).ok_or(io::ErrorKind::InvalidData)?;
                if !keeps_size(fd) || !first.is_multiple_of(page_size()) || len > start(WINDOWS) {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                Ok(Windows {
                    first: Mapping::part(fd, 0, first)?,
                    fd: kept,
                    len,
                    rest: Default::default(),
                })
            }

            /// The descriptor, if there was room for one.
            pub fn fd(&self) -> Option<BorrowedFd<'_>> {
                self.fd.as_ref().map(AsFd::as_fd)
            }

            /// Bytes behind the first window.
            #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
            pub fn len(&self) -> usize {
                self.len
            }

            /// Declares words, for models; memory is there without being declared.
            pub fn place<T: Shared>(&mut self, _offset: usize) {}

            /// What lies at `offset` of the first window.
            #[inline]
            pub fn at<T: Shared>(&self, offset: usize) -> &T {
                let room = self.first.len().checked_sub(offset);
                assert!(room.is_some_and(|room| size_of::<T>() <= room), "outside of the window");
                assert!(offset.is_multiple_of(align_of::<T>()), "unaligned");
                // SAFETY: S1, S2 and S4; the base is page aligned, and the reference ends before the window does.
                unsafe { &*self.first.base().as_ptr().add(offset).cast::<T>() }
            }

            /// A range behind the first window, which must not lie in two of the others.
            #[inline]
            pub fn piece(&self, offset: usize, len: usize) -> io::Result<Piece<'_>> {
                let end = offset.checked_add(len);
                if end.is_none_or(|end| end > self.len) || len > WINDOW {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                let (window, offset) = place(offset);
                // SYNC(windows.made): acquire
                let made = self.rest[window].load(Ordering::Acquire);
                // SAFETY: what is stored there once is a box's content, which is freed with this only.
                let mapping = match unsafe { made.as_ref() } {
                    Some(mapping) => mapping,
                    None => self.look_into(window)?,
                };
                if offset + len > mapping.len() {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                Ok(Piece { mapping, offset, len })
            }

            #[cold]
            fn look_into(&self, window: usize) -> io::Result<&Mapping> {
                let fd = self.fd().ok_or(io::ErrorKind::NotFound)?;
                if file_identity(fd)? != self.first.file() {
                    // The number is another file's by now.
                    return Err(io::ErrorKind::NotFound.into());
                }
                let from = start(window);
                let len = (WINDOW << window).min(self.len - from);
                let mapping = Mapping::part(fd, (self.first.len() + from) as u64, len)?;
                let made = Box::into_raw(Box::new(mapping));
                let (none, place) = (std::ptr::null_mut(), &self.rest[window]);
                // SYNC(windows.made): release
                match place.compare_exchange(none, made, Ordering::Release, Ordering::Acquire) {
                    // SAFETY: as in `piece`.
                    Ok(_) => Ok(unsafe { &*made }),
                    Err(other) => {
                        // SAFETY: made above, and nobody else has seen it.
                        drop(unsafe { Box::from_raw(made) });
                        // SAFETY: as in `piece`.
                        Ok(unsafe { &*other })
                    }
                }
            }
        }

        impl Drop for Windows {
            fn drop(&mut self) {
                for place in &mut self.rest {
                    let made = *place.get_mut();
                    if !made.is_null() {
                        // SAFETY: a box's content, stored once; borrows of it end with borrows of self.
                        drop(unsafe { Box::from_raw(made) });
                    }
                }
            }
        }

        /// A checked range of one window.
        #[derive(Clone, Copy, Debug)]
        pub struct Piece<'a> {
            mapping: &'a Mapping,
            offset: usize,
            len: usize,
        }

        impl<'a> Piece<'a> {
            /// What lies at its start.
            #[inline]
            pub fn at<T: Shared>(&self) -> &'a T {
                assert!(size_of::<T>() <= self.len, "outside of the piece");
                assert!(self.offset.is_multiple_of(align_of::<T>()), "unaligned");
                // SAFETY: S1, S2 and S4; windows begin at whole pages of page-aligned mappings.
                unsafe { &*self.base().as_ptr().cast::<T>() }
            }

            /// All of it but the first `bytes`.
            #[inline]
            pub fn skip(self, bytes: usize) -> Piece<'a> {
                assert!(bytes <= self.len, "outside of the piece");
                let (mapping, offset) = (self.mapping, self.offset + bytes);
                Piece { mapping, offset, len: self.len - bytes }
            }

            /// Copies bytes in, from its start.
            #[inline]
            pub fn write(&self, bytes: &[u8]) {
                assert!(bytes.len() <= self.len, "outside of the piece");
                // SAFETY: S1, S3 and S4; a slice of this process's own does not overlap shared memory.
                unsafe { self.base().as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            }

            /// Copies `len` bytes of a part of a cargo in, from the part's byte `from` on.
            #[inline]
            pub fn load(&self, part: &Part, from: usize, len: usize) {
                let room = part.len().checked_sub(from);
                assert!(len <= self.len && room.is_some_and(|room| len <= room), "outside of the piece");
                // SAFETY: S1, S3 and S4; the part can be read, as whoever made it says, and lies elsewhere: `Cargo` says both.
                unsafe { self.base().as_ptr().copy_from_nonoverlapping(part.address().add(from), len) };
            }

            /// Copies all of it out, behind what `bytes` has, if there is memory for it.
            #[inline]
            pub fn read(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
                bytes.try_reserve(self.len).map_err(|_| io::ErrorKind::OutOfMemory)?;
                // SAFETY: S1, S3 and S4; there is room for so many behind the end, and they are initialised before they count.
                unsafe {
                    let end = bytes.len();
                    bytes.as_mut_ptr().add(end).copy_from_nonoverlapping(self.base().as_ptr(), self.len);
                    bytes.set_len(end + self.len);
                }
                Ok(())
            }

            /// Gives its whole pages back to the kernel; they read as zeros then.
            pub fn discard(&self) {
                self.mapping.discard(self.offset, self.len);
            }

            /// Has its pages found now; see [`Mapping::populate`].
            pub fn populate(&self) -> io::Result<()> {
                self.mapping.populate(self.offset, self.len)
            }

            #[inline]
            fn base(&self) -> NonNull<u8> {
                // SAFETY: S1 and S4: within the mapping, as `Windows::piece` has checked.
                unsafe { self.mapping.base().add(self.offset) }
            }
        }
    }
    model: {
        use super::Region;
        use std::io;
        use std::os::fd::BorrowedFd;

        /// The file inside a model: words that were declared, and bytes.
        #[derive(Debug)]
        pub struct Windows {
            region: Region,
            first: usize,
        }

        impl Windows {
            /// Makes a file of zeros.
            pub fn create(name: &str, first: usize, len: usize) -> io::Result<Windows> {
                let region = Region::create(name, (first + len) as u64)?;
                Ok(Windows { region, first })
            }

            /// A model has one process.
            pub fn open(_fd: BorrowedFd<'_>, _first: usize) -> io::Result<Windows> {
                Err(io::ErrorKind::Unsupported.into())
            }

            /// A model has no descriptors.
            pub fn fd(&self) -> Option<BorrowedFd<'_>> {
                None
            }

            /// Bytes behind the first window.
            #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
            pub fn len(&self) -> usize {
                self.region.len() - self.first
            }

            /// Declares words.
            pub fn place<T: Shared>(&mut self, offset: usize) {
                self.region.place::<T>(offset, 1);
            }

            /// What lies at `offset` of the first window.
            pub fn at<T: Shared>(&self, offset: usize) -> &T {
                self.region.at(offset)
            }

            /// A range behind the first window.
            pub fn piece(&self, offset: usize, len: usize) -> io::Result<Piece<'_>> {
                if offset.saturating_add(len) > self.len() {
                    return Err(io::ErrorKind::InvalidInput.into());
                }
                let (region, offset) = (&self.region, self.first + offset);
                Ok(Piece { region, offset, len })
            }
        }

        /// A checked range.
        #[derive(Clone, Copy, Debug)]
        pub struct Piece<'a> {
            region: &'a Region,
            offset: usize,
            len: usize,
        }

        impl<'a> Piece<'a> {
            /// What lies at its start.
            pub fn at<T: Shared>(&self) -> &'a T {
                self.region.at(self.offset)
            }

            /// All of it but the first `bytes`.
            pub fn skip(self, bytes: usize) -> Piece<'a> {
                let (region, offset) = (self.region, self.offset + bytes);
                Piece { region, offset, len: self.len - bytes }
            }

            /// Copies bytes in, from its start.
            pub fn write(&self, bytes: &[u8]) {
                self.region.write(self.offset, bytes);
            }

            /// A model lends nothing.
            pub fn load(&self, _part: &Part, _from: usize, _len: usize) {}

            /// Copies all of it out.
            pub fn read(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
                self.region.read(self.offset, self.len, bytes);
                Ok(())
            }

            /// Nothing to give back.
            pub fn discard(&self) {}

            /// Memory is there.
            pub fn populate(&self) -> io::Result<()> {
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prim::AtomicU64;

    const FIRST: usize = 8192;

    #[test]
    fn two_processes_views_show_the_same() {
        let made = Windows::create("forkful-test", FIRST, 64 << 30).unwrap();
        let opened = Windows::open(made.fd().unwrap(), FIRST).unwrap();
        made.at::<AtomicU64>(64).store(3, Ordering::Release);
        assert_eq!(opened.at::<AtomicU64>(64).load(Ordering::Acquire), 3);
        for offset in [0, WINDOW - 8, WINDOW, 3 * WINDOW, (64 << 30) - 8] {
            made.piece(offset, 8).unwrap().write(b"eight by");
            let mut bytes = b"the ".to_vec();
            opened.piece(offset, 8).unwrap().read(&mut bytes).unwrap();
            assert_eq!(bytes, b"the eight by");
        }
        let piece = made.piece(0, WINDOW).unwrap();
        piece.populate().unwrap();
        piece.discard();
        assert_eq!(piece.at::<AtomicU64>().load(Ordering::Acquire), 0);
    }

    #[test]
    fn nothing_is_reached_outside() {
        let made = Windows::create("forkful-test", FIRST, 3 * WINDOW).unwrap();
        for (offset, len) in [
            (3 * WINDOW, 1),
            (WINDOW - 8, 16),
            (usize::MAX, 8),
            (0, WINDOW + 1),
            (3 * WINDOW - 8, 9),
        ] {
            assert!(made.piece(offset, len).is_err(), "{offset} {len}");
        }
        let outside =
            std::panic::catch_unwind(|| made.at::<AtomicU64>(FIRST).load(Ordering::Relaxed));
        assert!(outside.is_err());
        // What can be shrunk would be SIGBUS one day.
        let fd = crate::sys::plain_memfd("forkful-test").unwrap();
        assert!(Windows::open(fd.as_fd(), FIRST).is_err());
    }
}
