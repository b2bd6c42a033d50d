//! Memory that has a descriptor instead of a name, so that nothing is left of it when the last process has gone.

use super::lack::named;
use super::limits::file_size_limit;
use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create,
};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Bytes of text that are read at most.
const MOST_TEXT: usize = 1 << 20;

/// A sparse one of `size` bytes that nobody can shrink or grow afterwards: a mapping of it never raises SIGBUS for its end.
pub fn memfd(name: &str, size: u64) -> io::Result<OwnedFd> {
    // Past the limit the kernel would not only refuse, but send SIGXFSZ, which ends the program.
    if file_size_limit().is_some_and(|limit| size > limit) {
        return Err(named(format!("ftruncate to {size} bytes"))(Errno::FBIG));
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create(name, flags).map_err(named("memfd_create"))?;
    ftruncate(&fd, size).map_err(named("ftruncate"))?;
    fcntl_add_seals(&fd, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(fd)
}

/// An empty one that is written and read like a file.
pub fn plain_memfd(name: &str) -> io::Result<OwnedFd> {
    memfd_create(name, MemfdFlags::CLOEXEC).map_err(named("memfd_create"))
}

/// An empty one that is filled like a file, and then sealed by [`seal`].
pub fn sealable_memfd(name: &str) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    memfd_create(name, flags).map_err(named("memfd_create"))
}

const FOREVER: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::WRITE)
    .union(SealFlags::SEAL);

/// Makes sure that its size and its bytes stay what they are, whoever has it.
pub fn seal(fd: impl AsFd) -> io::Result<()> {
    Ok(fcntl_add_seals(fd, FOREVER)?)
}

/// Whether [`seal`] was called on it.
pub fn is_sealed(fd: impl AsFd) -> bool {
    fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(FOREVER))
}

/// Whether nobody can shrink or grow it, as one that [`memfd`] made.
pub fn keeps_size(fd: impl AsFd) -> bool {
    fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SealFlags::SHRINK | SealFlags::GROW))
}

/// What tells its file from every other one.
pub fn file_identity(fd: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = fstat(fd)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Its size in bytes.
pub fn file_size(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(u64::try_from(fstat(fd)?.st_size).unwrap_or(0))
}

/// A copy under a high number: once a task has closed all its files, the numbers from 3 on are its next files'.
pub fn out_of_reach(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    [900, 200, 3]
        .into_iter()
        .find_map(|least| fcntl_dupfd_cloexec(fd, least).ok())
}

/// The text at its start, wherever its offset stands: to the first zero byte, and no more than 1 MiB. Whoever else has the descriptor
/// can make the file as large as the kernel lets it.
pub fn read_text(fd: impl AsFd) -> io::Result<String> {
    let (mut bytes, mut part) = (Vec::new(), [0; 4096]);
    while bytes.len() < MOST_TEXT {
        let got = match rustix::io::pread(&fd, &mut part, bytes.len() as u64) {
            Ok(got) => &part[..got],
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        let end = got.iter().position(|byte| *byte == 0);
        bytes.extend_from_slice(&got[..end.unwrap_or(got.len())]);
        if got.is_empty() || end.is_some() {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Empties it.
pub fn truncate(fd: impl AsFd) -> io::Result<()> {
    // Whoever writes next does it where the last one stopped, and they share the place.
    rustix::fs::seek(fd.as_fd(), rustix::fs::SeekFrom::Start(0))?;
    Ok(ftruncate(fd, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_one_keeps_its_size() {
        let fd = memfd("forkful-test", 8192).unwrap();
        assert_eq!(file_size(fd.as_fd()).unwrap(), 8192);
        assert!(ftruncate(&fd, 4096).is_err());
        assert!(ftruncate(&fd, 16384).is_err());
    }

    #[test]
    fn what_is_sealed_is_read_only_and_mapped_all_the_same() {
        use super::super::map::Mapping;
        let fd = sealable_memfd("forkful-test").unwrap();
        rustix::io::write(&fd, b"twelve bytes").unwrap();
        assert!(!is_sealed(&fd));
        seal(&fd).unwrap();
        assert!(is_sealed(&fd));
        assert!(rustix::io::pwrite(&fd, b"x", 0).is_err());
        assert!(ftruncate(&fd, 0).is_err());
        assert!(Mapping::of(fd.as_fd()).is_err());
        let mapping = Mapping::read_only(fd.as_fd()).unwrap();
        // SAFETY: so many bytes are mapped, and nobody can change them.
        let bytes = unsafe { std::slice::from_raw_parts(mapping.base().as_ptr(), mapping.len()) };
        assert_eq!(bytes, b"twelve bytes");
        let other = sealable_memfd("forkful-test").unwrap();
        assert_ne!(file_identity(&fd).unwrap(), file_identity(&other).unwrap());
    }

    #[test]
    fn of_a_plain_one_its_text_is_read() {
        let fd = plain_memfd("forkful-test").unwrap();
        rustix::io::write(&fd, b"twelve bytes").unwrap();
        assert_eq!(read_text(&fd).unwrap(), "twelve bytes");
        // As large as the kernel lets it be, and most of it nothing.
        ftruncate(&fd, 1 << 45).unwrap();
        assert_eq!(read_text(&fd).unwrap(), "twelve bytes");
        truncate(&fd).unwrap();
        assert_eq!(read_text(&fd).unwrap(), "");
        for _ in 0..1025 {
            rustix::io::write(&fd, &[b'x'; 1024]).unwrap();
        }
        assert_eq!(read_text(&fd).unwrap().len(), MOST_TEXT);
    }
}
