//! Messages between two processes, with descriptors in them.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags,
    SocketType, accept_with, bind, connect, listen, recvmsg, sendmsg, shutdown, socket_with,
    socketpair,
};
use rustix::process::geteuid;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Descriptors that the kernel passes in one message at most (SCM_MAX_FD).
const MOST_FDS: usize = 253;

/// A message that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its length; 0 when the peer has gone.
    pub len: usize,
    /// Whether descriptors were lost on the way, because this process may have no more.
    pub lost: bool,
}

/// Two ends of one connection that keeps messages apart.
pub fn seqpacket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message without waiting. A peer that has gone is an error (EPIPE), not a signal; one that is slow
/// [`io::ErrorKind::WouldBlock`].
pub fn send_with_fds(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    if fds.len() > MOST_FDS {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(fds));
    }
    loop {
        match sendmsg(
            &socket,
            &[IoSlice::new(bytes)],
            &mut control,
            SendFlags::NOSIGNAL | SendFlags::DONTWAIT,
        ) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Takes one message without waiting, and appends its descriptors to `fds`. Nothing there yet is
/// [`io::ErrorKind::WouldBlock`]; a message that does not fit is [`io::ErrorKind::InvalidData`].
pub fn receive_with_fds(
    socket: impl AsFd,
    bytes: &mut [u8],
    fds: &mut Vec<OwnedFd>,
) -> io::Result<Received> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(bytes)], &mut control, flags) {
            Ok(message) => break message,
            // Or the peer died with unread messages of ours. That is told once, and before what it had said itself, which is read
            // all the same.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            Err(error) => return Err(error.into()),
        }
    };
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            fds.extend(received);
        }
    }
    if message.flags.contains(ReturnFlags::TRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Received {
        len: message.bytes,
        lost: message.flags.contains(ReturnFlags::CTRUNC),
    })
}

/// Listens under a name that no file system has: it is gone with the last descriptor. Accepting does not wait.
pub fn listen_abstract(name: &[u8]) -> io::Result<OwnedFd> {
    let socket = abstract_socket()?;
    bind(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
    listen(&socket, 128)?;
    Ok(socket)
}

/// The next connection, which does not wait either; [`io::ErrorKind::WouldBlock`] when there is none.
pub fn accept(listener: impl AsFd) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(accept_with(listener, flags)?)
}

/// Connects to such a name without waiting; [`io::ErrorKind::WouldBlock`] when too many others want to.
pub fn connect_abstract(name: &[u8]) -> io::Result<OwnedFd> {
    let socket = abstract_socket()?;
    connect(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
    Ok(socket)
}

fn abstract_socket() -> io::Result<OwnedFd> {
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        None,
    )?)
}

/// Whether the other end is a process of the same user. The kernel says so, as it was when the two were connected.
pub fn is_same_user(socket: impl AsFd) -> bool {
    let mut peer = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into a plain structure. (Not rustix's: its process number may not be 0,
    // which the number of a process in another namespace is.)
    let asked = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut peer).cast(),
            &raw mut len,
        )
    };
    asked == 0 && peer.uid == geteuid().as_raw()
}

/// Ends a connection for its peer too where other processes hold copies of this descriptor.
pub fn hang_up(socket: impl AsFd) {
    let _ = shutdown(socket, Shutdown::Both);
}

/// Sleeps until there is a message, or the end; a signal is [`io::ErrorKind::Interrupted`].
pub fn await_message(socket: impl AsFd) -> io::Result<()> {
    poll(&mut [PollFd::new(&socket, PollFlags::IN)], None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::memfd::{plain_memfd, read_text};
    use super::*;

    #[test]
    fn a_message_keeps_its_bounds_and_its_descriptors() {
        let (here, there) = seqpacket_pair().unwrap();
        let sent = plain_memfd("forkful-test").unwrap();
        rustix::io::write(&sent, b"inside").unwrap();
        let (mut bytes, mut fds) = ([0; 16], Vec::new());
        let nothing = receive_with_fds(&there, &mut bytes, &mut fds).unwrap_err();
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        send_with_fds(&here, b"one", &[sent.as_fd(), sent.as_fd()]).unwrap();
        send_with_fds(&here, b"three", &[]).unwrap();
        let received = receive_with_fds(&there, &mut bytes, &mut fds).unwrap();
        assert_eq!(
            received,
            Received {
                len: 3,
                lost: false
            }
        );
        assert_eq!((&bytes[..3], fds.len()), (&b"one"[..], 2));
        assert_eq!(read_text(&fds[1]).unwrap(), "inside");
        let cut = receive_with_fds(&there, &mut bytes[..2], &mut fds).unwrap_err();
        assert_eq!(cut.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn a_message_has_as_many_descriptors_as_the_kernel_lets_it() {
        let (here, there) = seqpacket_pair().unwrap();
        let sent = plain_memfd("forkful-test").unwrap();
        let (mut bytes, mut fds) = ([0; 16], Vec::new());
        send_with_fds(&here, b"many", &[sent.as_fd(); MOST_FDS]).unwrap();
        receive_with_fds(&there, &mut bytes, &mut fds).unwrap();
        assert_eq!(fds.len(), MOST_FDS);
        assert!(send_with_fds(&here, b"more", &[sent.as_fd(); MOST_FDS + 1]).is_err());
    }

    #[test]
    fn a_peer_that_has_gone_is_the_end_behind_its_last_words() {
        let (here, there) = seqpacket_pair().unwrap();
        send_with_fds(&there, b"last words", &[]).unwrap();
        send_with_fds(&here, b"unread", &[]).unwrap();
        drop(there);
        let (mut bytes, mut fds) = ([0; 16], Vec::new());
        let mut lengths = Vec::new();
        while lengths.last() != Some(&0) {
            lengths.push(receive_with_fds(&here, &mut bytes, &mut fds).unwrap().len);
        }
        assert_eq!(lengths, [10, 0]);
        assert!(send_with_fds(&here, b"late", &[]).is_err());
    }

    #[test]
    fn a_name_in_no_file_system_takes_many_descriptors() {
        let name = format!("forkful-test-socket-{}", std::process::id());
        let listener = listen_abstract(name.as_bytes()).unwrap();
        assert_eq!(
            accept(&listener).unwrap_err().kind(),
            io::ErrorKind::WouldBlock
        );
        let there = connect_abstract(name.as_bytes()).unwrap();
        let here = accept(&listener).unwrap();
        assert!(is_same_user(&here) && is_same_user(&there));
        let sent = plain_memfd("forkful-test").unwrap();
        send_with_fds(&there, b"many", &vec![sent.as_fd(); MOST_FDS]).unwrap();
        assert!(send_with_fds(&there, b"more", &vec![sent.as_fd(); MOST_FDS + 1]).is_err());
        await_message(&here).unwrap();
        let mut fds = Vec::new();
        receive_with_fds(&here, &mut [0; 16], &mut fds).unwrap();
        assert_eq!(fds.len(), MOST_FDS);
        let copy = here.try_clone().unwrap();
        hang_up(&here);
        drop(here);
        assert_eq!(
            receive_with_fds(&there, &mut [0; 16], &mut fds)
                .unwrap()
                .len,
            0
        );
        drop((copy, listener));
        assert_eq!(
            connect_abstract(name.as_bytes()).unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
    }
}
