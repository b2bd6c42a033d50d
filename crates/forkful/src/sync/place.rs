//! Where the words of a primitive lie, and how another process comes to them.

use super::recent;
use crate::codec::context;
use forkful_core::shm::Shared;
use forkful_core::sync::Cell;
use forkful_core::sys::file_identity;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Words of one kind, as all handles of this process have them that were cloned from one.
pub(super) struct Words<T> {
    cell: Arc<Cell>,
    kind: PhantomData<fn() -> T>,
}

/// Tells objects apart, in all processes alike.
pub(super) type Identity = ((u64, u64), usize);

/// Tells files apart, in all processes alike, as long as they exist.
pub(super) type FileIdentity = (u64, u64);

/// What stands for a file in a message.
#[derive(Serialize, Deserialize)]
pub(super) struct File {
    /// The place of its descriptor beside the message.
    number: u32,
    device: u64,
    inode: u64,
}

impl File {
    /// Puts a descriptor beside the message that `S` writes.
    pub(super) fn put<S: Serializer>(fd: BorrowedFd<'_>) -> Result<File, S::Error> {
        let (device, inode) = file_identity(fd).map_err(|error| unsent::<S>(&error))?;
        let number = match context::put_fd(fd) {
            Some(Ok(number)) => number,
            Some(Err(error)) => return Err(unsent::<S>(&error)),
            None => {
                return Err(context::refuse(
                    "a handle of forkful::sync can be sent only among the arguments of a task, or in its result",
                ));
            }
        };
        Ok(File {
            number,
            device,
            inode,
        })
    }

    pub(super) fn identity(&self) -> FileIdentity {
        (self.device, self.inode)
    }

    /// The descriptor, for whoever does not know the file.
    pub(super) fn take<'de, D: Deserializer<'de>>(&self) -> Result<OwnedFd, D::Error> {
        match context::take_fd(self.number) {
            Some(Ok(fd)) => Ok(fd),
            Some(Err(error)) => Err(context::reject(&format!(
                "the memory of a handle of forkful::sync can't be had: {error}"
            ))),
            None => Err(context::reject(
                "a handle of forkful::sync has come without its memory",
            )),
        }
    }
}

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

impl<T> Serialize for Words<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some((fd, offset)) = self.cell.hand_over() else {
            return Err(context::refuse(
                "a handle of forkful::sync can't be sent: the descriptor of its memory was closed",
            ));
        };
        (File::put::<S>(fd)?, offset as u64).serialize(serializer)
    }
}

impl<'de, T: Shared> Deserialize<'de> for Words<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (file, offset) = <(File, u64)>::deserialize(deserializer)?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let size = size_of::<T>();
        if let Some(cell) = Cell::known(file.identity(), offset, size) {
            return Ok(Words::of(cell));
        }
        let fd = file.take::<D>()?;
        let words = Cell::open(fd.as_fd(), offset, size).map(Words::of);
        let words: Words<T> = words.map_err(|error| {
            context::reject(&format!(
                "the memory of a handle of forkful::sync can't be opened here: {error}"
            ))
        })?;
        recent::keep_cell(&words.cell);
        Ok(words)
    }
}
