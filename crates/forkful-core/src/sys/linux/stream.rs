//! Bytes in and out of a descriptor that is a socket, a pipe or anything else, with waiting and without.
//!
//! A socket is asked not to wait by a flag of the call, a pipe by `preadv2` and `pwritev2`: the open file itself may be
//! shared with others, who count on its being what they have made it.

use crate::deadline::Deadline;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Pieces that one call takes at most (UIO_MAXIOV).
const MOST_PIECES: usize = 1024;

/// Memory that is written out.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Piece<'a>(libc::iovec, PhantomData<&'a [u8]>);

/// Memory that is filled.
pub struct Room<'a>(libc::iovec, PhantomData<&'a mut [u8]>);

// SAFETY: as much as a `&[u8]`, which any thread may read; and as a `&mut [u8]`, which one thread has alone.
unsafe impl Send for Piece<'_> {}
// SAFETY: as above; only a call that has it by `&mut` changes it.
unsafe impl Sync for Piece<'_> {}
// SAFETY: as above.
unsafe impl Send for Room<'_> {}

/// Memory from which on it is worth the kernel's while to use huge pages: what malloc has from the kernel anew each time. Smaller blocks it
/// keeps, so their pages are there already.
const HUGE: usize = 32 << 20;

/// Has fresh memory made of huge pages where it is large: making 25,000 small ones takes as long as filling them (100 MB: 50 ms
/// instead of 100).
pub fn prefer_huge_pages(room: &Room<'_>) {
    if room.left() < HUGE {
        return;
    }
    let page = super::map::page_size();
    let base = room.0.iov_base as usize;
    let from = base.next_multiple_of(page);
    let len = (base + room.left() - from) / page * page;
    // SAFETY: a hint about memory that the room has; nothing that can be seen of its content changes. (Refused where there are none.)
    unsafe { libc::madvise(from as *mut libc::c_void, len, libc::MADV_HUGEPAGE) };
}

/// Whether a call may sleep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// [`io::ErrorKind::WouldBlock`] instead, also where the kernel can't be asked without.
    Never,
    /// Unless the descriptor itself does not wait; a signal is [`io::ErrorKind::Interrupted`].
    Kernel,
}

impl<'a> Piece<'a> {
    /// Of bytes that nobody changes meanwhile.
    pub fn new(bytes: &'a [u8]) -> Piece<'a> {
        // SAFETY: borrowed for as long as the piece lives.
        unsafe { Piece::at(bytes.as_ptr(), bytes.len()) }
    }

    /// Of memory that others may change: only the kernel reads it.
    ///
    /// # Safety
    /// `len` bytes can be read from `base` on for as long as the piece lives.
    pub unsafe fn at(base: *const u8, len: usize) -> Piece<'a> {
        let iov_base = base.cast_mut().cast();
        Piece(
            libc::iovec {
                iov_base,
                iov_len: len,
            },
            PhantomData,
        )
    }

    /// Its bytes.
    pub fn len(&self) -> usize {
        self.0.iov_len
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<'a> Room<'a> {
    /// Of bytes.
    pub fn new(bytes: &'a mut [u8]) -> Room<'a> {
        // SAFETY: borrowed for as long as the room lives.
        unsafe { Room::at(bytes.as_mut_ptr(), bytes.len()) }
    }

    /// Of memory that need not be initialised, and that others may look at: only the kernel writes it.
    ///
    /// # Safety
    /// `len` bytes can be written from `base` on for as long as the room lives.
    pub unsafe fn at(base: *mut u8, len: usize) -> Room<'a> {
        let iov_base = base.cast();
        Room(
            libc::iovec {
                iov_base,
                iov_len: len,
            },
            PhantomData,
        )
    }

    /// What is left of it.
    pub fn left(&self) -> usize {
        self.0.iov_len
    }

    /// Whether it is full.
    pub fn is_full(&self) -> bool {
        self.left() == 0
    }

    fn filled(&mut self, count: usize) {
        let count = count.min(self.0.iov_len);
        // `wrapping`, as the end of it may be one past the memory.
        self.0.iov_base = self.0.iov_base.cast::<u8>().wrapping_add(count).cast();
        self.0.iov_len -= count;
    }
}

/// Whether the descriptor is a socket; the kernel's reason if it is none at all.
pub fn is_socket(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(stat.st_mode & libc::S_IFMT == libc::S_IFSOCK)
}

/// Fills some of the room: how many bytes have come, 0 at the end of all.
pub fn take(
    fd: BorrowedFd<'_>,
    socket: bool,
    room: &mut Room<'_>,
    wait: Wait,
) -> io::Result<usize> {
    let number = fd.as_raw_fd();
    let (base, len) = (room.0.iov_base, room.0.iov_len);
    // SAFETY: the room's memory may be written by `Room::at`.
    let count = unsafe {
        match (socket, wait) {
            (true, Wait::Never) => libc::recv(number, base, len, libc::MSG_DONTWAIT),
            (true, Wait::Kernel) => libc::recv(number, base, len, libc::MSG_WAITALL),
            (false, Wait::Never) => vectored(libc::SYS_preadv2, number, &raw const room.0, 1),
            (false, Wait::Kernel) => libc::read(number, base, len),
        }
    };
    let count = counted(count)?;
    room.filled(count);
    Ok(count)
}

/// Writes some of the pieces out: how many bytes have gone.
pub fn give(
    fd: BorrowedFd<'_>,
    socket: bool,
    pieces: &[Piece<'_>],
    wait: Wait,
) -> io::Result<usize> {
    let number = fd.as_raw_fd();
    let pieces = &pieces[..pieces.len().min(MOST_PIECES)];
    let (base, len) = (pieces.as_ptr().cast::<libc::iovec>(), pieces.len());
    if socket {
        // SAFETY: a message without an address and without control data is all zeros but for its pieces.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = base.cast_mut();
        message.msg_iovlen = len as _;
        let flags = match wait {
            Wait::Never => libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
            Wait::Kernel => libc::MSG_NOSIGNAL,
        };
        // SAFETY: the kernel reads the pieces' memory, which can be read by `Piece::at`, and writes nothing.
        return counted(unsafe { libc::sendmsg(number, &raw const message, flags) });
    }
    let len = len as libc::c_int;
    // SAFETY: as above.
    counted(unsafe {
        match wait {
            Wait::Never => vectored(libc::SYS_pwritev2, number, base, len),
            Wait::Kernel => libc::writev(number, base, len),
        }
    })
}

/// `preadv2` or `pwritev2` from where the file stands, without waiting: not every C library has them.
///
/// # Safety
/// As these two have it.
unsafe fn vectored(
    call: libc::c_long,
    number: i32,
    base: *const libc::iovec,
    len: libc::c_int,
) -> isize {
    // The position is -1 in both of its halves. All are as wide as the call reads them.
    let at: libc::c_long = -1;
    let (number, len) = (libc::c_long::from(number), libc::c_long::from(len));
    let flags = libc::c_long::from(libc::RWF_NOWAIT);
    // SAFETY: the caller's.
    unsafe { libc::syscall(call, number, base, len, at, at, flags) as isize }
}

/// What is left of the pieces after so many bytes.
pub fn advance<'a, 'b>(mut pieces: &'b mut [Piece<'a>], mut count: usize) -> &'b mut [Piece<'a>] {
    while let [first, ..] = &mut *pieces {
        if count < first.len() {
            let rest = first.0.iov_base.cast::<u8>().wrapping_add(count);
            first.0.iov_base = rest.cast();
            first.0.iov_len -= count;
            break;
        }
        count -= first.len();
        pieces = &mut pieces[1..];
    }
    pieces
}

/// Sleeps until there is something to read, or the end, or an error; false at the deadline. A signal is
/// [`io::ErrorKind::Interrupted`].
pub fn await_readable(fd: BorrowedFd<'_>, deadline: Deadline) -> io::Result<bool> {
    await_one(fd, PollFlags::IN, deadline)
}

/// The same until something can be written.
pub fn await_writable(fd: BorrowedFd<'_>) -> io::Result<bool> {
    await_one(fd, PollFlags::OUT, Deadline::NEVER)
}

fn await_one(fd: BorrowedFd<'_>, what: PollFlags, deadline: Deadline) -> io::Result<bool> {
    let timeout = deadline.left().map(timespec);
    Ok(poll(&mut [PollFd::new(&fd, what)], timeout.as_ref())? > 0)
}

fn timespec(left: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    }
}

fn counted(count: isize) -> io::Result<usize> {
    usize::try_from(count).map_err(|_| {
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            // Kernels whose pipes can't be asked without waiting: whoever comes again may wait.
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => io::ErrorKind::WouldBlock.into(),
            _ => error,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::pipe;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn there_and_back(reader: BorrowedFd<'_>, writer: BorrowedFd<'_>) {
        let socket = is_socket(reader).unwrap();
        let mut bytes = [0; 16];
        let nothing = take(reader, socket, &mut Room::new(&mut bytes), Wait::Never).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        assert!(!await_readable(reader, Deadline::after(Duration::ZERO)).unwrap());
        let pieces = [Piece::new(b"one"), Piece::new(b""), Piece::new(b"three")];
        assert_eq!(give(writer, socket, &pieces, Wait::Never).unwrap(), 8);
        assert!(await_readable(reader, Deadline::NEVER).unwrap());
        let mut room = Room::new(&mut bytes[..5]);
        assert_eq!(take(reader, socket, &mut room, Wait::Kernel).unwrap(), 5);
        assert!(room.is_full());
        let mut room = Room::new(&mut bytes[5..]);
        assert_eq!(take(reader, socket, &mut room, Wait::Never).unwrap(), 3);
        assert_eq!(room.left(), 8);
        assert_eq!(&bytes[..8], b"onethree");
    }

    #[test]
    fn a_socket_gives_what_it_was_given() {
        let (here, there) = UnixStream::pair().unwrap();
        there_and_back(here.as_fd(), there.as_fd());
        drop(there);
        let mut bytes = [0; 4];
        let end = take(here.as_fd(), true, &mut Room::new(&mut bytes), Wait::Kernel);
        assert_eq!(end.unwrap(), 0);
        let late = give(here.as_fd(), true, &[Piece::new(b"late")], Wait::Never);
        assert_eq!(late.unwrap_err().raw_os_error(), Some(libc::EPIPE));
    }

    #[test]
    fn a_pipe_does_the_same() {
        let (reader, writer) = pipe().unwrap();
        there_and_back(reader.as_fd(), writer.as_fd());
        drop(writer);
        let mut bytes = [0; 4];
        let end = take(
            reader.as_fd(),
            false,
            &mut Room::new(&mut bytes),
            Wait::Never,
        );
        assert_eq!(end.unwrap(), 0);
    }

    #[test]
    fn a_full_pipe_is_not_waited_for() {
        let (_reader, writer) = pipe().unwrap();
        let much = vec![7; 1 << 20];
        let gone = give(writer.as_fd(), false, &[Piece::new(&much)], Wait::Never).unwrap();
        assert!(gone > 0 && gone < much.len());
        let full = give(writer.as_fd(), false, &[Piece::new(&much)], Wait::Never).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_large_room_keeps_its_content() {
        let mut bytes = vec![7; HUGE + 5000];
        prefer_huge_pages(&Room::new(&mut bytes[3..]));
        assert!(bytes.iter().all(|&byte| byte == 7));
    }

    #[test]
    fn pieces_are_left_behind() {
        let mut pieces = [Piece::new(b"one"), Piece::new(b""), Piece::new(b"three")];
        let rest = advance(&mut pieces, 4);
        assert_eq!((rest.len(), rest[0].len()), (1, 4));
        assert!(advance(rest, 4).is_empty());
    }
}
