//! Messages to and from the nursery, the process that makes workers and reports their ends.

use crate::sys::{pidfd_reap, receive_with_fds, send_with_fds};
use crate::wire::{Ask, LONGEST_REPORT, Report};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

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
    /// This, with a descriptor to watch a worker by where it tells of a birth, if this process could take one more.
    Report(Report, Option<OwnedFd>),
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
        send_with_fds(&self.control, &Ask::Start(worker, generation).bytes(), &fds)
    }

    /// Has it send the descriptor of a worker again, which got lost.
    pub fn tell_again(&self, worker: u32, generation: u64) {
        let _ = send_with_fds(&self.control, &Ask::Again(worker, generation).bytes(), &[]);
    }

    /// Has it kill a worker of its own, of which nobody here has a descriptor.
    pub fn undo(&self, worker: u32, generation: u64) {
        let _ = send_with_fds(&self.control, &Ask::Kill(worker, generation).bytes(), &[]);
    }

    /// Lets it go when its workers are gone.
    pub fn quit(&self) {
        let _ = send_with_fds(&self.control, &Ask::Quit.bytes(), &[]);
    }

    /// After `quit`, or its last message: it is about to end, and nobody else waits for one that is this process's child.
    pub fn reap(&self) {
        if self.own {
            pidfd_reap(&self.pidfd, PATIENCE);
        }
    }

    /// The next message; `None` when there is none now, an error when there will be none any more.
    pub fn receive(&self) -> io::Result<Option<Message>> {
        let (mut bytes, mut fds) = ([0u8; LONGEST_REPORT], Vec::new());
        match receive_with_fds(&self.control, &mut bytes, &mut fds) {
            Ok(received) if received.len == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(received) => Ok(Some(read(&bytes[..received.len], fds))),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn read(bytes: &[u8], mut fds: Vec<OwnedFd>) -> Message {
    match Report::read(bytes) {
        Some(report) => Message::Report(report, fds.pop()),
        None => Message::Unknown,
    }
}
