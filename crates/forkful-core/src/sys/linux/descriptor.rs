//! Descriptors as numbers and as what stands behind them, and bytes that nobody can guess.

use super::memfd::file_identity;
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::rand::{GetRandomFlags, getrandom};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// `fcntl`'s question whether two descriptors are one open file, since Linux 6.10; libc does not name it.
const F_DUPFD_QUERY: libc::c_int = 1027;
const KCMP_FILE: libc::c_long = 0;

/// The kernel's reasons that others than `sys` have to name.
pub mod errno {
    /// There is none of this name.
    pub const ENOENT: i32 = libc::ENOENT;
    /// The other end has failed in some way.
    pub const EIO: i32 = libc::EIO;
    /// There is nothing just now.
    pub const EAGAIN: i32 = libc::EAGAIN;
    /// It may not.
    pub const EACCES: i32 = libc::EACCES;
    /// It contradicts itself.
    pub const EINVAL: i32 = libc::EINVAL;
    /// This process has no room for another descriptor.
    pub const EMFILE: i32 = libc::EMFILE;
    /// This user has too many descriptors on their way between processes.
    pub const ETOOMANYREFS: i32 = libc::ETOOMANYREFS;
}

/// Whether both stand for one open file, with one offset and one set of flags. No is said too where the kernel does not tell.
fn is_same_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let (one, other) = (one.as_raw_fd(), other.as_raw_fd());
    // SAFETY: plain numbers; an older kernel answers with an error.
    match unsafe { libc::fcntl(one, F_DUPFD_QUERY, other) } {
        0 => false,
        1 => true,
        _ => compares_equal(one, other),
    }
}

/// The same question to older kernels, which some containers forbid.
fn compares_equal(one: RawFd, other: RawFd) -> bool {
    let pid = std::process::id();
    // SAFETY: compares two descriptors of this process by their numbers, and touches no memory.
    unsafe { libc::syscall(libc::SYS_kcmp, pid, pid, KCMP_FILE, one, other) == 0 }
}

/// Closes, in a process that was just forked, its copy of a descriptor whose owner is not to be touched: a thread that is not here
/// may have been in the middle of it.
pub fn close_inherited(fd: RawFd) {
    // SAFETY: the number is that of an inherited copy, which nothing in this process will use or close: its owner is forgotten.
    unsafe { libc::close(fd) };
}

/// The descriptor that this process was started with under this number, if it is still the file with this identity; programs that are
/// started from here don't get it. To be called once for each.
pub fn adopt(number: RawFd, identity: (u64, u64)) -> Option<OwnedFd> {
    if number < 3 || file_identity(borrow(number).ok()?).ok()? != identity {
        return None;
    }
    // SAFETY: it is open, and whoever started this process has passed it on for this caller alone, as its identity says: nobody else
    // here knows of it.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    fcntl_setfd(&fd, FdFlags::CLOEXEC).ok()?;
    Some(fd)
}

/// Sixteen bytes that nobody can guess.
pub fn random_token() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    let mut filled = 0;
    while filled < bytes.len() {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(bytes)
}

/// A copy of what a number stands for, as `dup` makes it.
pub fn duplicate(number: RawFd) -> io::Result<OwnedFd> {
    borrow(number)?.try_clone_to_owned()
}

/// Whether a number stands for the same open file as a descriptor of ours.
pub fn stands_for(number: RawFd, fd: BorrowedFd<'_>) -> bool {
    borrow(number).is_ok_and(|number| is_same_file(number, fd))
}

fn borrow(number: RawFd) -> io::Result<BorrowedFd<'static>> {
    if number < 0 {
        return Err(rustix::io::Errno::BADF.into());
    }
    // SAFETY: not -1, and given to single system calls only, which refuse a number that stands for nothing.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

#[cfg(test)]
mod tests {
    use super::super::memfd::plain_memfd;
    use super::*;
    use std::os::fd::{AsFd, IntoRawFd};

    #[test]
    fn a_copy_is_the_same_file() {
        let one = plain_memfd("forkful-test").unwrap();
        let other = plain_memfd("forkful-test").unwrap();
        let copy = duplicate(one.as_raw_fd()).unwrap();
        assert!(stands_for(copy.as_raw_fd(), one.as_fd()));
        assert!(!stands_for(other.as_raw_fd(), one.as_fd()));
        assert!(!stands_for(-1, one.as_fd()));
        assert!(!compares_equal(one.as_raw_fd(), other.as_raw_fd()));
        assert_eq!(duplicate(-1).unwrap_err().raw_os_error(), Some(libc::EBADF));
        let number = copy.into_raw_fd();
        close_inherited(number);
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(random_token().unwrap(), random_token().unwrap());
    }
}
