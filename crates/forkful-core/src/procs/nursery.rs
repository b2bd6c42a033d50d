//! Messages to and from the nursery, the process that makes workers and reports their ends.

use crate::sys::{pidfd_reap, receive_with_fds, send_with_fds};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// The same by number, to be looked at.
    pub pid: i32,
    request: OwnedFd,
    extra: Vec<OwnedFd>,
    /// Whether it is this pool's alone, a child of this process forked with all of its state. If not, each worker is sent what
    /// state this process is in by then.
    pub own: bool,
    /// How the watcher calls it.
    pub token: u32,
    ready: AtomicBool,
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
        /// And how to watch it, if this process could take one more descriptor.
        pidfd: Option<OwnedFd>,
    },
    /// None could be.
    Failed {
        /// The seat.
        worker: u32,
        /// The request.
        generation: u64,
        /// Why.
        text: String,
        /// As the kernel has it, where it was the kernel.
        code: Option<i32>,
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
        pid: i32,
        request: OwnedFd,
        extra: Vec<OwnedFd>,
        own: bool,
    ) -> Nursery {
        Nursery {
            control,
            pidfd,
            pid,
            request,
            extra,
            own,
            token: 0,
            ready: AtomicBool::new(false),
        }
    }

    /// Whether it has said that it takes requests.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    /// It has.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Relaxed);
    }

    /// The socket, to be watched.
    pub fn control(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }

    /// What it was made with.
    pub fn request(&self) -> BorrowedFd<'_> {
        self.request.as_fd()
    }

    /// Asks for a worker, with a request of its own and with what its pool shares, or as the nursery has them.
    pub fn start(
        &self,
        worker: u32,
        generation: u64,
        dump: &OwnedFd,
        sent: Option<(BorrowedFd<'_>, &[BorrowedFd<'_>])>,
    ) -> io::Result<()> {
        let (request, shared) = sent.unwrap_or((self.request(), &[]));
        let fds: Vec<_> = [request, dump.as_fd()]
            .into_iter()
            .chain(shared.iter().copied())
            .chain(self.extra.iter().map(AsFd::as_fd))
            .collect();
        send_with_fds(&self.control, &message(b'S', worker, generation), &fds)
    }

    /// Has it send the descriptor of a worker again, which got lost.
    pub fn tell_again(&self, worker: u32, generation: u64) {
        let _ = send_with_fds(&self.control, &message(b'W', worker, generation), &[]);
    }

    /// Has it kill a worker of its own, of which nobody here has a descriptor.
    pub fn undo(&self, worker: u32, generation: u64) {
        let _ = send_with_fds(&self.control, &message(b'K', worker, generation), &[]);
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
            Ok(received) if received.len == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(received) => Ok(Some(read(&bytes[..received.len], fds))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn message(letter: u8, worker: u32, generation: u64) -> [u8; 16] {
    let mut message = [0u8; 16];
    message[0] = letter;
    message[4..8].copy_from_slice(&worker.to_le_bytes());
    message[8..].copy_from_slice(&generation.to_le_bytes());
    message
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
                pidfd: fds.pop(),
            },
            b'f' => Message::Failed {
                worker: u32_at(bytes, 4)?,
                generation: u64_at(bytes, 8)?,
                text: text_at(bytes, 16),
                code: match u16::from_le_bytes(bytes.get(2..4)?.try_into().ok()?) {
                    0 => None,
                    code => Some(code.into()),
                },
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
