//! A zygote's end of its pool's socket: what it does not take at once waits here.

use crate::sys::{receive_with_fds, send_with_fds};
use crate::wire::Report;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The socket, and what waits for it.
#[derive(Debug)]
pub struct Line {
    socket: OwnedFd,
    waiting: VecDeque<(Vec<u8>, Option<OwnedFd>)>,
    /// The pool wants no more workers.
    pub quitting: bool,
    /// Nobody is at the other end.
    pub deaf: bool,
}

impl Line {
    /// On this socket.
    pub fn new(socket: OwnedFd) -> Line {
        Line {
            socket,
            waiting: VecDeque::new(),
            quitting: false,
            deaf: false,
        }
    }

    /// Whether something waits for room in the socket.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Nobody is there any more: nothing is sent from now on.
    pub fn hang_up(&mut self) {
        (self.deaf, self.quitting) = (true, true);
        self.waiting.clear();
    }

    /// Sends a report, now or when there is room.
    pub fn send(&mut self, report: &Report, fd: Option<&OwnedFd>) {
        let bytes = report.bytes();
        if self.waiting.is_empty() && self.try_send(&bytes, fd) {
            return;
        }
        // A copy, as the worker may be reaped and its pidfd closed before the message goes. Without one it goes as if the descriptor
        // had been lost on the way: the pool asks for it again.
        let copy = fd.and_then(|fd| fd.try_clone().ok());
        self.waiting.push_back((bytes, copy));
    }

    /// Sends what waits, as far as there is room.
    pub fn flush(&mut self) {
        while let Some((bytes, fd)) = self.waiting.front() {
            if !self.try_send(bytes, fd.as_ref()) {
                return;
            }
            self.waiting.pop_front();
        }
    }

    /// Whether it need not be sent later.
    fn try_send(&self, bytes: &[u8], fd: Option<&OwnedFd>) -> bool {
        if self.deaf {
            return true;
        }
        let fds: Vec<_> = fd.iter().map(|fd| fd.as_fd()).collect();
        match send_with_fds(&self.socket, bytes, &fds) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // The pool is gone, which the loop will be told; or the kernel takes no more descriptors, only words.
            Err(_) => fd.is_none() || self.try_send(bytes, None),
        }
    }

    /// A message, its descriptors, and whether some were lost; no bytes when the other end is gone, `None` if there is nothing now.
    pub fn receive(&self) -> Option<(Vec<u8>, Vec<OwnedFd>, bool)> {
        let (mut bytes, mut fds) = ([0u8; 512], Vec::new());
        match receive_with_fds(&self.socket, &mut bytes, &mut fds) {
            Ok(received) => Some((bytes[..received.len].to_vec(), fds, received.lost)),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::InvalidData
                ) =>
            {
                None
            }
            Err(_) => Some((Vec::new(), Vec::new(), false)),
        }
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::{plain_memfd, seqpacket_pair, stands_for};
    use std::os::fd::AsRawFd;

    /// All that has come, by number and whether it brought `sent` along.
    fn come(there: &OwnedFd, sent: &OwnedFd, into: &mut Vec<(i32, bool)>) {
        let (mut bytes, mut fds) = ([0; 64], Vec::new());
        while let Ok(received) = receive_with_fds(there, &mut bytes, &mut fds) {
            let Some(Report::Started { pid, .. }) = Report::read(&bytes[..received.len]) else {
                panic!("another message");
            };
            let fd = fds.pop();
            into.push((
                pid,
                fd.is_some_and(|fd| stands_for(fd.as_raw_fd(), sent.as_fd())),
            ));
        }
    }

    #[test]
    fn what_has_no_room_goes_later_in_its_order_and_with_its_descriptor() {
        let (here, there) = seqpacket_pair().unwrap();
        let mut line = Line::new(here);
        let sent = plain_memfd("forkful-test").unwrap();
        let mut count = 0;
        let mut send = |line: &mut Line| {
            let started = Report::Started {
                worker: 0,
                generation: 0,
                pid: count,
            };
            let copy = sent.try_clone().unwrap();
            line.send(&started, Some(&copy));
            count += 1;
        };
        while !line.is_waiting() {
            send(&mut line);
        }
        send(&mut line);
        let mut told = Vec::new();
        while line.is_waiting() {
            come(&there, &sent, &mut told);
            line.flush();
        }
        come(&there, &sent, &mut told);
        let expected: Vec<_> = (0..count).map(|pid| (pid, true)).collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn garbage_is_passed_over_and_the_end_is_no_bytes() {
        let (here, there) = seqpacket_pair().unwrap();
        let line = Line::new(here);
        assert!(line.receive().is_none());
        send_with_fds(&there, &[b'S'; 4096], &[]).unwrap();
        send_with_fds(&there, b"short", &[there.as_fd()]).unwrap();
        assert!(line.receive().is_none());
        let (bytes, fds, lost) = line.receive().unwrap();
        assert_eq!((&*bytes, fds.len(), lost), (&b"short"[..], 1, false));
        drop((there, fds));
        assert_eq!(line.receive().unwrap().0, []);
    }

    #[test]
    fn nothing_waits_for_who_is_gone() {
        let (here, there) = seqpacket_pair().unwrap();
        let mut line = Line::new(here);
        drop(there);
        line.send(&Report::Ready, None);
        assert!(!line.is_waiting());
        line.hang_up();
        line.send(&Report::Ready, None);
        assert!(!line.is_waiting() && line.quitting);
    }
}
