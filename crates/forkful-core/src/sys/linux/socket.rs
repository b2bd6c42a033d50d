//! Messages between two processes, with descriptors in them.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

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
            Err(Errno::INTR) => {}
            // The peer died with unread messages of ours.
            Err(Errno::CONNRESET) => {
                return Ok(Received {
                    len: 0,
                    lost: false,
                });
            }
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

#[cfg(test)]
mod tests {
    use super::super::memfd::{plain_memfd, read_fd};
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
        assert_eq!(read_fd(&fds[1]).unwrap(), b"inside");
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
    fn a_peer_that_has_gone_is_the_end() {
        let (here, there) = seqpacket_pair().unwrap();
        send_with_fds(&there, b"unread", &[]).unwrap();
        send_with_fds(&here, b"unread", &[]).unwrap();
        drop(there);
        let (mut bytes, mut fds) = ([0; 16], Vec::new());
        let mut lengths = Vec::new();
        while lengths.last() != Some(&0) {
            lengths.push(receive_with_fds(&here, &mut bytes, &mut fds).unwrap().len);
        }
        assert!(send_with_fds(&here, b"late", &[]).is_err());
    }
}
