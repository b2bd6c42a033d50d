//! A file's memory in this process's addresses.

use super::lack::named;
use super::memfd::file_size;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mprotect, munmap};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

/// A whole file, mapped shared until dropped.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping is plain memory without a thread of its own; what may be done with it at once, its users say.
unsafe impl Send for Mapping {}
// SAFETY: as above; this type itself only hands out the address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps all of `fd`. No swap is reserved, and core dumps leave it out: most of it is never touched.
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Mapping> {
        let len = usize::try_from(file_size(fd)?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        if len == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        // SAFETY: the kernel chooses the address, so no other memory is touched.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                flags,
                fd,
                0,
            )
        }
        .map_err(named("mmap"))?;
        // SAFETY: the range was mapped just now, and the advice does not change what is read.
        let _ = unsafe { madvise(base, len, Advice::LinuxDontDump) };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping { base, len })
    }

    /// Its first byte, page aligned.
    #[inline]
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Its length in bytes.
    #[inline]
    #[expect(
        clippy::len_without_is_empty,
        reason = "an empty mapping can't be made"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Gives the whole pages within this range back to the kernel; they read as zeros then. A hint: errors are no errors.
    pub fn discard(&self, offset: usize, len: usize) {
        if let Some((start, len)) = self.pages(offset, len) {
            // SAFETY: the range lies within the mapping, whose users read any bytes there.
            let _ = unsafe {
                madvise(
                    self.base.as_ptr().add(start).cast(),
                    len,
                    Advice::LinuxRemove,
                )
            };
        }
    }

    /// Lets this process only read the whole pages within this range from now on: a stray write there ends it, by SIGSEGV. A
    /// hint: errors are no errors.
    pub fn protect(&self, offset: usize, len: usize) {
        if let Some((start, len)) = self.pages(offset, len) {
            // SAFETY: the range lies within the mapping; a write of ours there would be a crash, but no undefined behaviour.
            let _ = unsafe {
                mprotect(
                    self.base.as_ptr().add(start).cast(),
                    len,
                    MprotectFlags::READ,
                )
            };
        }
    }

    /// Where the whole pages within a range begin, and their bytes.
    fn pages(&self, offset: usize, len: usize) -> Option<(usize, usize)> {
        let page = page_size();
        let end = offset.saturating_add(len).min(self.len) / page * page;
        let start = offset.min(self.len).next_multiple_of(page);
        (start < end).then(|| (start, end - start))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `of`, unmapped once; borrows of its memory end with borrows of self.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// Bytes per page.
pub fn page_size() -> usize {
    rustix::param::page_size()
}

#[cfg(test)]
mod tests {
    use super::super::memfd::memfd;
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn two_mappings_show_the_same_and_a_discard_zeroes_whole_pages() {
        let page = page_size();
        let fd = memfd("forkful-test", 4 * page as u64).unwrap();
        let (one, two) = (
            Mapping::of(fd.as_fd()).unwrap(),
            Mapping::of(fd.as_fd()).unwrap(),
        );
        // SAFETY: both mappings are four pages long, and only this thread touches them.
        unsafe {
            one.base().as_ptr().write_bytes(7, 4 * page);
            one.discard(1, 3 * page);
            let at = |offset: usize| two.base().as_ptr().add(offset).read();
            assert_eq!(
                [at(0), at(page), at(3 * page - 1), at(3 * page)],
                [7, 0, 0, 7]
            );
        }
        one.discard(usize::MAX, usize::MAX);
        one.discard(0, 0);
    }
}
