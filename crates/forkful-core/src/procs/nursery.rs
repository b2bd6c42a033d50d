//! Messages to and from the nursery, the process that makes workers and reports their ends.

use crate::sys::{pidfd_reap, receive_with_fds, send_with_fds};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// A nursery's longest message: why a worker could not start, a traceback perhaps, of which it sends this much at most.
const LONGEST: usize = 1 << 16;

/// How long a child that leaves is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// A running nursery, as its pool sees it.
#[derive(Debug)]
pub struct Nursery {
    control: OwnedFd,
    /// Its own process.
    pub pidfd: OwnedFd,
    /// What is sent with each request, behind the request itself and the worker's dump.
    request: OwnedFd,
    extra: Vec<OwnedFd>,
    /// Whether it is this pool's alone, and a child of this process.
    pub own: bool,
}

/// What a nursery says.
#[derive(Debug)]
pub enum Message {
    /// It takes requests.
    Ready,
    /// A worker was born.
    Started {
        /// On this seat.
        worker: u32,
        /// For this request.
        generation: u64,
        /// Its process.
        pid: i32,
        /// And how to watch it.
        pidfd: OwnedFd,
    },
    /// None could be.
    Failed {
        /// The seat.
        worker: u32,
        /// The request.
        generation: u64,
        /// Why.
        text: String,
    },
    /// One has ended.
    Exited {
        /// The process.
        pid: i32,
        /// As `wait` has it.
        status: i32,
        /// Largest resident size in KiB.
        peak: u64,
    },
    /// Something that the user should read.
    Note(String),
    /// Something that this version doesn't know.
    Unknown,
}

impl Nursery {
    /// From the descriptors that the launcher handed over.
    pub fn new(
        control: OwnedFd,
        pidfd: OwnedFd,
        request: OwnedFd,
        extra: Vec<OwnedFd>,
        own: bool,
    ) -> Nursery {
        Nursery {
            control,
            pidfd,
            request,
            extra,
            own,
        }
    }

    /// The socket, to be watched.
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// Asks for a worker.
    pub fn start(&self, worker: u32, generation: u64, dump: &OwnedFd) -> io::Result<()> {
        let mut message = [0u8; 16];
        message[0] = b'S';
        message[4..8].copy_from_slice(&worker.to_le_bytes());
        message[8..].copy_from_slice(&generation.to_le_bytes());
        let fds: Vec<_> = [&self.request, dump]
            .into_iter()
            .chain(&self.extra)
            .map(AsFd::as_fd)
            .collect();
        send_with_fds(&self.control, &message, &fds)
    }

    /// Lets it go when its workers are gone.
    pub fn quit(&self) {
        let _ = send_with_fds(&self.control, &[b'Q', 0, 0, 0], &[]);
    }

    /// After `quit`, or its last message: it is about to end, and nobody else waits for one that is this process's child.
    pub fn reap(&self) {
        if self.own {
            pidfd_reap(&self.pidfd, PATIENCE);
        }
    }

    /// The next message; `None` when there is none now, an error when there will be none any more.
    pub fn receive(&self) -> io::Result<Option<Message>> {
        let (mut bytes, mut fds) = ([0u8; LONGEST], Vec::new());
        match receive_with_fds(&self.control, &mut bytes, &mut fds) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(len) => Ok(Some(read(&bytes[..len], fds))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn text_at(bytes: &[u8], at: usize) -> String {
    String::from_utf8_lossy(bytes.get(at..).unwrap_or_default()).into_owned()
}

fn read(bytes: &[u8], mut fds: Vec<OwnedFd>) -> Message {
    let mut parse = || -> Option<Message> {
        Some(match bytes.first()? {
            b'r' => Message::Ready,
            b's' => Message::Started {
                worker: u32_at(bytes, 4)?,
                generation: u64_at(bytes, 8)?,
                pid: u32_at(bytes, 16)? as i32,
                pidfd: fds.pop()?,
            },
            b'f' => Message::Failed {
                worker: u32_at(bytes, 4)?,
                generation: u64_at(bytes, 8)?,
                text: text_at(bytes, 16),
            },
            b'x' => Message::Exited {
                pid: u32_at(bytes, 4)? as i32,
                status: u32_at(bytes, 8)? as i32,
                peak: u64_at(bytes, 12)?,
            },
            b'n' => Message::Note(text_at(bytes, 4)),
            _ => return None,
        })
    };
    parse().unwrap_or(Message::Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_message(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read(&bytes, Vec::new());
        }
    }

    #[test]
    fn an_exit_is_read() {
        let mut bytes = vec![b'x', 0, 0, 0];
        bytes.extend(77i32.to_le_bytes());
        bytes.extend(9i32.to_le_bytes());
        bytes.extend(1024u64.to_le_bytes());
        assert!(matches!(
            read(&bytes, Vec::new()),
            Message::Exited {
                pid: 77,
                status: 9,
                peak: 1024
            }
        ));
    }
}
