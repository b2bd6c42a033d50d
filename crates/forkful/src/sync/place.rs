//! Where the words of a primitive lie, and how another process comes to them.

use super::recent;
use crate::codec::{self, context, context::File};
use forkful_core::shm::Shared;
use forkful_core::sync::Cell;
use forkful_core::sys::file_identity;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// Words of one kind, as all handles of this process have them that were cloned from one.
pub(super) struct Words<T> {
    cell: Arc<Cell>,
    kind: PhantomData<fn() -> T>,
}

// Whatever a panic leaves here is what it leaves to another process.
impl<T> UnwindSafe for Words<T> {}
impl<T> RefUnwindSafe for Words<T> {}

/// Tells objects apart, in all processes alike.
pub(super) type Identity = ((u64, u64), usize);

/// Tells files apart, in all processes alike, as long as they exist.
pub(super) type FileIdentity = (u64, u64);

/// What stands for a file in a message.
#[derive(Serialize, Deserialize)]
pub(super) struct Ticket {
    /// The place of its descriptor beside the message.
    number: u32,
    device: u64,
    inode: u64,
}

impl Ticket {
    /// Puts a file beside the message that `S` writes.
    pub(super) fn put<S: Serializer>(file: &Arc<dyn File>) -> Result<Ticket, S::Error> {
        if !codec::writes_message::<S>() {
            return Err(context::refuse(STRAY));
        }
        let Some(fd) = file.fd() else {
            return Err(context::refuse(
                "a handle of forkful::sync can't be sent: the descriptor of its memory was closed",
            ));
        };
        let (device, inode) = file_identity(fd).map_err(|error| unsent::<S>(&error))?;
        let number = match context::put_file((device, inode), file) {
            Some(Ok(number)) => number,
            Some(Err(error)) => return Err(unsent::<S>(&error)),
            None => return Err(context::refuse(STRAY)),
        };
        Ok(Ticket {
            number,
            device,
            inode,
        })
    }

    pub(super) fn identity(&self) -> FileIdentity {
        (self.device, self.inode)
    }

    /// Opens the file, for whoever does not know it.
    pub(super) fn open<E: de::Error, R>(
        &self,
        open: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
    ) -> Result<R, E> {
        match context::with_fd(self.number, open) {
            Some(Ok(opened)) => Ok(opened),
            Some(Err(error)) => Err(context::reject(&format!(
                "the memory of a handle of forkful::sync can't be had: {error}"
            ))),
            None => Err(context::reject(
                "a handle of forkful::sync has come without its memory",
            )),
        }
    }
}

/// A deserializer that reads a message.
pub(super) fn ticket_of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<D, D::Error> {
    if codec::reads_message::<D>() {
        Ok(deserializer)
    } else {
        Err(context::reject(STRAY))
    }
}

const STRAY: &str =
    "a handle of forkful::sync can be sent only among the arguments of a task, or in its result";

fn unsent<S: Serializer>(error: &io::Error) -> S::Error {
    context::refuse(&format!(
        "a handle of forkful::sync can't be sent to another process: {error}"
    ))
}

impl<T: Shared> Words<T> {
    /// New ones.
    pub(super) fn new() -> io::Result<Words<T>> {
        Cell::new(size_of::<T>()).map(Words::of)
    }

    fn of(cell: Cell) -> Words<T> {
        Words {
            cell: Arc::new(cell),
            kind: PhantomData,
        }
    }

    #[inline]
    pub(super) fn get(&self) -> &T {
        self.cell.at(0)
    }

    pub(super) fn identity(&self) -> Identity {
        self.cell.identity()
    }
}

impl<T> Clone for Words<T> {
    fn clone(&self) -> Self {
        Words {
            cell: self.cell.clone(),
            kind: PhantomData,
        }
    }
}

/// The file that a cell lies in.
struct CellFile(Arc<Cell>);

impl File for CellFile {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.hand_over().map(|(fd, _)| fd)
    }
}

impl<T> Serialize for Words<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let file: Arc<dyn File> = Arc::new(CellFile(self.cell.clone()));
        let (_, offset) = self.cell.identity();
        (Ticket::put::<S>(&file)?, offset as u64).serialize(serializer)
    }
}

impl<'de, T: Shared> Deserialize<'de> for Words<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (ticket, offset) = <(Ticket, u64)>::deserialize(ticket_of(deserializer)?)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let size = size_of::<T>();
        if let Some(cell) = Cell::known(ticket.identity(), offset, size) {
            return Ok(Words::of(cell));
        }
        let cell = ticket.open(|fd| Cell::open(fd, offset, size))?;
        let words = Words::of(cell);
        recent::keep_cell(&words.cell);
        Ok(words)
    }
}
