//! A descriptor through which messages go, with their length before them, as the standard library's connections send them.
//!
//! Whatever does not have to wait is done with the interpreter's lock held, as a call costs less than leaving and coming back.
//! Who has to wait for a message spins first (`sys/spin.rs`), as a wake across CPUs costs ten times the message. Nothing is
//! read ahead: what a selector says of the descriptor is true of the connection.

use crate::buffers::message::Blank;
use crate::{detach, ffi};
use forkful_core::deadline::Deadline;
use forkful_core::sys::stream::{self, Piece, Room, Wait};
use forkful_core::sys::{Cover, code_of, spin_or_yield_until};
use pyo3::exceptions::{PyEOFError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

/// No descriptor.
const CLOSED: i32 = -1;

/// Bytes up to which a message is tried with the interpreter's lock held: some 10 us of copying.
const AT_ONCE: usize = 64 << 10;

/// The longest message whose length fits into the four bytes that every version reads.
const SHORT: usize = 0x7fff_ffff;

/// What a descriptor is: not asked yet.
const UNKNOWN: u8 = 0;
const SOCKET: u8 = 1;
const OTHER: u8 = 2;

/// Why a wait without the interpreter's lock has ended.
enum Ended {
    Kernel(io::Error),
    Closed,
    Raised(PyErr),
}

impl From<PyErr> for Ended {
    fn from(error: PyErr) -> Ended {
        Ended::Raised(error)
    }
}

impl From<Ended> for PyErr {
    fn from(ended: Ended) -> PyErr {
        match ended {
            Ended::Kernel(error) => system_error(&error),
            Ended::Closed => closed(),
            Ended::Raised(error) => error,
        }
    }
}

/// The descriptor, and what is known of it.
pub struct Channel {
    handle: AtomicI32,
    kind: AtomicU8,
}

impl Channel {
    /// Of no descriptor yet.
    pub fn new() -> Channel {
        Channel {
            handle: AtomicI32::new(CLOSED),
            kind: AtomicU8::new(UNKNOWN),
        }
    }

    /// The descriptor's number, unless it is closed.
    pub fn handle(&self) -> Option<i32> {
        self.open().ok()
    }

    /// The same, or the error that says so.
    pub fn number(&self) -> PyResult<i32> {
        Ok(self.open()?)
    }

    pub fn set_handle(&self, handle: Option<i32>) {
        self.kind.store(UNKNOWN, Ordering::Relaxed);
        let handle = handle.filter(|handle| *handle >= 0).unwrap_or(CLOSED);
        self.handle.store(handle, Ordering::Relaxed);
    }

    /// Whether there is something to read, or the end, by the deadline.
    pub fn poll(&self, py: Python<'_>, deadline: Deadline) -> PyResult<bool> {
        let now = Deadline::after(std::time::Duration::ZERO);
        let at_once = match self.await_message(now) {
            Err(Ended::Kernel(error)) if error.kind() == ErrorKind::Interrupted => false,
            other => other?,
        };
        if at_once || deadline.passed() {
            return Ok(at_once);
        }
        let _cover = Cover::enter();
        Ok(py.detach(|| {
            if spin_or_yield_until(|| self.await_message(now).unwrap_or(true)) {
                return Ok(true);
            }
            detach::check_signals()?;
            loop {
                match self.await_message(deadline) {
                    Err(Ended::Kernel(error)) if error.kind() == ErrorKind::Interrupted => {
                        detach::check_signals()?;
                    }
                    other => return other,
                }
            }
        })?)
    }

    fn open(&self) -> Result<i32, Ended> {
        match self.handle.load(Ordering::Relaxed) {
            CLOSED => Err(Ended::Closed),
            handle => Ok(handle),
        }
    }

    /// The descriptor, asked for before each call: another thread may close it meanwhile, and another file get its number.
    fn descriptor(&self) -> Result<(i32, bool), Ended> {
        let handle = self.open()?;
        let socket = match self.kind.load(Ordering::Relaxed) {
            UNKNOWN => {
                let socket = stream::is_socket(ffi::lent_fd(&handle)).map_err(Ended::Kernel)?;
                let kind = if socket { SOCKET } else { OTHER };
                self.kind.store(kind, Ordering::Relaxed);
                socket
            }
            kind => kind == SOCKET,
        };
        Ok((handle, socket))
    }

    fn take(&self, room: &mut Room<'_>, wait: Wait) -> Result<usize, Ended> {
        let (handle, socket) = self.descriptor()?;
        stream::take(ffi::lent_fd(&handle), socket, room, wait).map_err(Ended::Kernel)
    }

    fn give(&self, pieces: &[Piece<'_>], wait: Wait) -> Result<usize, Ended> {
        let (handle, socket) = self.descriptor()?;
        stream::give(ffi::lent_fd(&handle), socket, pieces, wait).map_err(Ended::Kernel)
    }

    fn await_message(&self, deadline: Deadline) -> Result<bool, Ended> {
        let handle = self.open()?;
        stream::await_readable(ffi::lent_fd(&handle), deadline).map_err(Ended::Kernel)
    }

    /// Sends one message, whose length is `size`.
    pub fn transmit(&self, py: Python<'_>, size: usize, body: &mut [Piece<'_>]) -> PyResult<()> {
        let mut head = [0; 12];
        let head = if size > SHORT {
            head[..4].copy_from_slice(&(-1_i32).to_be_bytes());
            head[4..].copy_from_slice(&(size as u64).to_be_bytes());
            &head[..]
        } else {
            head[..4].copy_from_slice(&(size as u32).to_be_bytes());
            &head[..4]
        };
        if let [body] = body {
            return self.transmit_pieces(py, size, &mut [Piece::new(head), *body]);
        }
        let mut pieces = Vec::with_capacity(body.len() + 1);
        pieces.push(Piece::new(head));
        pieces.extend_from_slice(body);
        self.transmit_pieces(py, size, &mut pieces)
    }

    fn transmit_pieces(
        &self,
        py: Python<'_>,
        size: usize,
        pieces: &mut [Piece<'_>],
    ) -> PyResult<()> {
        let (mut rest, mut begun) = (pieces, false);
        if size <= AT_ONCE {
            match self.give(rest, Wait::Never) {
                Ok(gone) => (rest, begun) = (stream::advance(rest, gone), true),
                Err(ended) if may_come_later(&ended) => {}
                Err(ended) => return Err(ended.into()),
            }
        }
        while !rest.is_empty() {
            let _cover = Cover::enter();
            let gone = py.detach(|| self.give_waiting(rest, begun))?;
            (rest, begun) = (stream::advance(rest, gone), true);
            if !rest.is_empty() {
                // A signal may be what has cut it short.
                py.check_signals()?;
            }
        }
        Ok(())
    }

    fn give_waiting(&self, pieces: &[Piece<'_>], begun: bool) -> Result<usize, Ended> {
        loop {
            match self.give(pieces, Wait::Kernel) {
                Err(Ended::Kernel(error)) if error.kind() == ErrorKind::Interrupted => {
                    detach::check_signals()?;
                }
                // A descriptor that does not wait. Half a message would be the end of all that follow.
                Err(Ended::Kernel(error)) if begun && error.kind() == ErrorKind::WouldBlock => {
                    self.sleep(|fd| stream::await_writable(ffi::lent_fd(fd)))?;
                }
                other => return other,
            }
        }
    }

    /// The length of the next message.
    pub fn receive_size(&self, py: Python<'_>) -> PyResult<u64> {
        let mut head = [0; 4];
        self.fill(py, &mut Room::new(&mut head), true)?;
        match i32::from_be_bytes(head) {
            -1 => {
                let mut head = [0; 8];
                self.fill(py, &mut Room::new(&mut head), false)?;
                Ok(u64::from_be_bytes(head))
            }
            // One that is negative is taken for an empty message, as the standard library does.
            size => Ok(u64::try_from(size).unwrap_or(0)),
        }
    }

    pub fn receive_body<'py>(&self, py: Python<'py>, size: u64) -> PyResult<Bound<'py, PyBytes>> {
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut blank = Blank::new(py, size)?;
        let mut room = blank.room();
        stream::prefer_huge_pages(&room);
        self.fill(py, &mut room, false)?;
        Ok(blank.filled())
    }

    /// Fills all of the room. With `first` it is what a message begins with, for which somebody may have to wait long.
    pub fn fill(&self, py: Python<'_>, room: &mut Room<'_>, first: bool) -> PyResult<()> {
        let mut fresh = true;
        let mut at_once = room.left() <= AT_ONCE;
        while !room.is_full() {
            let taken = if at_once {
                match self.take(room, Wait::Never) {
                    Err(ended) if may_come_later(&ended) => {
                        at_once = false;
                        continue;
                    }
                    other => other,
                }
            } else {
                let _cover = Cover::enter();
                py.detach(|| self.take_waiting(room, first && fresh))
            };
            match taken {
                Ok(0) if fresh => return Err(PyEOFError::new_err(())),
                Ok(0) => return Err(PyOSError::new_err("got end of file during message")),
                Ok(_) => fresh = false,
                Err(ended) => return Err(ended.into()),
            }
            if !room.is_full() {
                py.check_signals()?;
            }
        }
        Ok(())
    }

    fn take_waiting(&self, room: &mut Room<'_>, first: bool) -> Result<usize, Ended> {
        if first {
            let mut taken = None;
            spin_or_yield_until(|| match self.take(room, Wait::Never) {
                Err(ended) if may_come_later(&ended) => false,
                other => {
                    taken = Some(other);
                    true
                }
            });
            if let Some(taken) = taken {
                return taken;
            }
            detach::check_signals()?;
        }
        loop {
            match self.take(room, Wait::Kernel) {
                Err(Ended::Kernel(error)) if error.kind() == ErrorKind::Interrupted => {
                    detach::check_signals()?;
                }
                // A descriptor that does not wait; within a message it is waited for, or the rest would be lost.
                Err(Ended::Kernel(error)) if !first && error.kind() == ErrorKind::WouldBlock => {
                    self.sleep(|fd| stream::await_readable(ffi::lent_fd(fd), Deadline::NEVER))?;
                }
                other => return other,
            }
        }
    }

    fn sleep(&self, until: impl Fn(&i32) -> io::Result<bool>) -> Result<(), Ended> {
        match until(&self.open()?) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(detach::check_signals()?),
            Err(error) => Err(Ended::Kernel(error)),
            Ok(_) => Ok(()),
        }
    }
}

/// Whether the kernel only says that there is nothing just now.
fn may_come_later(ended: &Ended) -> bool {
    let Ended::Kernel(error) = ended else {
        return false;
    };
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

fn closed() -> PyErr {
    PyOSError::new_err("handle is closed")
}

/// As the interpreter raises what a call of the kernel says.
fn system_error(error: &io::Error) -> PyErr {
    let code = match error.kind() {
        // Without a number where it is ours.
        ErrorKind::WouldBlock => forkful_core::sys::errno::EAGAIN,
        _ => match code_of(error) {
            Some(code) => code,
            None => return PyOSError::new_err(error.to_string()),
        },
    };
    Python::attach(|py| {
        let words = py
            .import("os")
            .and_then(|os| os.call_method1("strerror", (code,)));
        match words {
            Ok(words) => PyOSError::new_err((code, words.unbind())),
            Err(error) => error,
        }
    })
}
