//! A file's memory in this process's addresses.

use super::lack::named;
use super::memfd::{file_identity, file_size};
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use rustix::mm::{Advice, MapFlags, MprotectFlags, ProtFlags, madvise, mmap, mprotect, munmap};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};

/// A whole file, mapped shared until dropped.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
    /// Which file that is.
    file: (u64, u64),
}

// SAFETY: the mapping is plain memory without a thread of its own; what may be done with it at once, its users say.
unsafe impl Send for Mapping {}
// SAFETY: as above; this type itself only hands out the address.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps all of `fd`. No swap is reserved, and core dumps leave it out: most of it is never touched.
    pub fn of(fd: BorrowedFd<'_>) -> io::Result<Mapping> {
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        Mapping::with(fd, ProtFlags::READ | ProtFlags::WRITE, flags)
    }

    /// Maps all of a sealed `fd`, to be read only: whatever writes there is ended by SIGSEGV, or has the kernel's EFAULT. Core dumps
    /// leave it out.
    pub fn read_only(fd: BorrowedFd<'_>) -> io::Result<Mapping> {
        // Before 6.7 the kernel takes a shared mapping of what is sealed against writing for one that might become writable. A private
        // one has the same pages, as nobody writes to it.
        Mapping::with(fd, ProtFlags::READ, MapFlags::PRIVATE)
    }

    /// Maps `len` bytes from `start` on, as [`Mapping::of`] does; both are whole pages, within the file.
    pub fn part(fd: BorrowedFd<'_>, start: u64, len: usize) -> io::Result<Mapping> {
        if start.saturating_add(len as u64) > file_size(fd)? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = MapFlags::SHARED | MapFlags::NORESERVE;
        Mapping::range(fd, start, len, ProtFlags::READ | ProtFlags::WRITE, flags)
    }

    fn with(fd: BorrowedFd<'_>, protection: ProtFlags, flags: MapFlags) -> io::Result<Mapping> {
        let len = usize::try_from(file_size(fd)?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        Mapping::range(fd, 0, len, protection, flags)
    }

    fn range(
        fd: BorrowedFd<'_>,
        start: u64,
        len: usize,
        protection: ProtFlags,
        flags: MapFlags,
    ) -> io::Result<Mapping> {
        if len == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: the kernel chooses the address, so no other memory is touched.
        let base = unsafe { mmap(ptr::null_mut(), len, protection, flags, fd, start) };
        let base = base.map_err(named("mmap"))?;
        // SAFETY: the range was mapped just now, and the advice does not change what is read.
        let _ = unsafe { madvise(base, len, Advice::LinuxDontDump) };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Mapping {
            base,
            len,
            file: file_identity(fd)?,
        })
    }

    /// Which file this is a mapping of.
    pub fn file(&self) -> (u64, u64) {
        self.file
    }

    /// Has the kernel find the pages of a range now, so that a lack of memory is an error here instead of a signal at some later
    /// write. Also cheaper than one fault for each. Kernels before 5.14 can't, and it is no error there.
    pub fn populate(&self, offset: usize, len: usize) -> io::Result<()> {
        let Some((start, len)) = self.pages(offset, len) else {
            return Ok(());
        };
        // SAFETY: within the mapping; no byte changes.
        let populated = unsafe {
            let start = self.base.as_ptr().add(start);
            madvise(start.cast(), len, Advice::LinuxPopulateWrite)
        };
        match populated {
            Err(Errno::INVAL | Errno::INTR) | Ok(()) => Ok(()),
            // What would have been a SIGBUS.
            Err(Errno::FAULT) => Err(named("madvise")(Errno::NOMEM)),
            Err(errno) => Err(named("madvise")(errno)),
        }
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

    /// Makes a range of whole pages this process's own: what it reads there stays as it is, and what it writes there, or any other
    /// process, nobody else sees. `fd` is of the file that is mapped. An error leaves the range as it was, or shared in part.
    ///
    /// The kernel copies page by page, each as it is at that moment, whatever other threads write meanwhile.
    pub fn isolate(&self, fd: BorrowedFd<'_>, offset: usize, len: usize) -> io::Result<()> {
        let (start, len) = self.remap(fd, offset, len, MapFlags::PRIVATE)?;
        // SAFETY: within the mapping, as `remap` says; the pages keep their content.
        let copied = unsafe {
            let start = self.base.as_ptr().add(start);
            madvise(start.cast(), len, Advice::LinuxPopulateWrite)
        };
        if copied.is_err() {
            // Kernels before 5.14: a write that changes nothing is copied as well.
            for page in (start..start + len).step_by(page_size()) {
                // SAFETY: within the mapping, and aligned; an atomic, as other threads may be at it.
                let word = unsafe { &*self.base.as_ptr().add(page).cast::<AtomicU64>() };
                word.fetch_or(0, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    /// Undoes [`Mapping::isolate`]: the range shows the file again.
    pub fn rejoin(&self, fd: BorrowedFd<'_>, offset: usize, len: usize) -> io::Result<()> {
        let (start, len) = self.remap(fd, offset, len, MapFlags::SHARED)?;
        // SAFETY: within the mapping; the advice does not change what is read.
        let _ = unsafe {
            let start = self.base.as_ptr().add(start);
            madvise(start.cast(), len, Advice::LinuxDontDump)
        };
        Ok(())
    }

    /// Whether a range seems to have no pages yet: the last of it has none.
    pub fn is_cold(&self, offset: usize, len: usize) -> bool {
        let Some((start, len)) = self.pages(offset, len) else {
            return false;
        };
        let page = page_size();
        let mut there = 0_u8;
        // SAFETY: the last page of the range lies within the mapping, and one byte is written for it.
        let told = unsafe {
            let last = self.base.as_ptr().add(start + len - page);
            libc::mincore(last.cast(), page, &raw mut there)
        };
        told == 0 && there & 1 == 0
    }

    /// Writes to the file instead of to its mapping, which saves the kernel the zeros that a new page has at first: for 100 MB of new
    /// pages 34 ms instead of 59. `false` if not all of it could be written.
    ///
    /// # Safety
    /// So many bytes can be read there. Somebody may write there meanwhile: no slice of them is made.
    pub unsafe fn write_through(
        &self,
        fd: BorrowedFd<'_>,
        offset: usize,
        from: *const u8,
        len: usize,
    ) -> bool {
        if file_identity(fd).ok() != Some(self.file) {
            return false;
        }
        let mut done = 0;
        while done < len {
            // SAFETY: the kernel reads what the caller says can be read, and gives an error for what can't.
            let written = unsafe {
                let at = (offset + done) as libc::off_t;
                libc::pwrite(fd.as_raw_fd(), from.add(done).cast(), len - done, at)
            };
            match usize::try_from(written) {
                Ok(0) => return false,
                Ok(written) => done += written,
                Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Gives the pages of a range of the file back to the kernel, and leaves what this process has of its own there.
    pub fn punch(&self, fd: BorrowedFd<'_>, offset: usize, len: usize) {
        if let Some((start, len)) = self.pages(offset, len)
            && file_identity(fd).is_ok_and(|id| id == self.file)
        {
            let how = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            let _ = fallocate(fd, how, start as u64, len as u64);
        }
    }

    fn remap(
        &self,
        fd: BorrowedFd<'_>,
        offset: usize,
        len: usize,
        kind: MapFlags,
    ) -> io::Result<(usize, usize)> {
        let (start, len) = self.pages(offset, len).ok_or(io::ErrorKind::InvalidInput)?;
        if file_identity(fd)? != self.file {
            // The number is another file's by now.
            return Err(io::ErrorKind::NotFound.into());
        }
        let flags = kind | MapFlags::FIXED | MapFlags::NORESERVE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: replaces a part of this very mapping by the same part of the same file, in one step: any address in it stays valid.
        let mapped = unsafe {
            let start_at = self.base.as_ptr().add(start).cast();
            mmap(start_at, len, protection, flags, fd, start as u64)
        };
        mapped.map_err(named("mmap"))?;
        Ok((start, len))
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
        // SAFETY: as above.
        unsafe {
            let write = |map: &Mapping, page_no: usize, value: u8| {
                map.base().as_ptr().add(page_no * page).write(value)
            };
            let read =
                |map: &Mapping, page_no: usize| map.base().as_ptr().add(page_no * page).read();
            write(&one, 1, 5);
            one.isolate(fd.as_fd(), page, page).unwrap();
            assert_eq!(read(&one, 1), 5);
            write(&two, 1, 6);
            assert_eq!(read(&one, 1), 5, "what others write is not seen");
            write(&one, 1, 8);
            assert_eq!(read(&two, 1), 6, "nor do others see what is written");
            write(&one, 2, 9);
            assert_eq!(read(&two, 2), 9, "the page behind it is shared still");
            one.punch(fd.as_fd(), page, page);
            assert_eq!((read(&one, 1), read(&two, 1)), (8, 0), "its own copy stays");
            write(&two, 1, 6);
            one.rejoin(fd.as_fd(), page, page).unwrap();
            assert_eq!(read(&one, 1), 6);
            let other = memfd("forkful-test", page as u64).unwrap();
            assert!(one.isolate(other.as_fd(), page, page).is_err());
        }
        one.discard(usize::MAX, usize::MAX);
        one.discard(0, 0);
    }
}
