//! Where the words of a shared primitive lie, and how another process comes to them.

use crate::kernel::refused;
use crate::{detach, ffi};
use forkful_core::deadline::Deadline;
use forkful_core::shm::Shared;
use forkful_core::sync::Cell;
use pyo3::prelude::*;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, OwnedFd};

/// A descriptor of a file of cells that has come from another process, to be opened by place; closed with it.
#[pyclass(frozen, module = "forkful._engine")]
pub struct CellFile {
    fd: OwnedFd,
}

#[pymethods]
impl CellFile {
    /// The descriptor is this object's from now on.
    #[new]
    fn new(fd: i32) -> CellFile {
        CellFile {
            fd: ffi::own_fd(fd),
        }
    }
}

/// Words of one kind.
pub struct Words<T> {
    cell: Cell,
    kind: PhantomData<T>,
}

/// Where they are, as a pickle says it.
pub type Place<'py> = (Bound<'py, CellFile>, usize);

impl<T: Shared> Words<T> {
    /// New ones, or those of another process.
    pub fn at(place: Option<Place<'_>>) -> PyResult<Words<T>> {
        use std::os::fd::AsFd;
        let size = size_of::<T>();
        let cell = match place {
            None => Cell::new(size),
            Some((file, offset)) => Cell::open(file.get().fd.as_fd(), offset, size),
        };
        let cell =
            cell.map_err(|error| refused("shared memory for a lock can't be had", &error))?;
        Ok(Words {
            cell,
            kind: PhantomData,
        })
    }

    /// The words.
    #[inline]
    pub fn get(&self) -> &T {
        self.cell.at(0)
    }

    /// The descriptor, which stays ours, and the place in it.
    pub fn hand_over(&self) -> PyResult<(i32, usize)> {
        let (fd, offset) = self.cell.hand_over().ok_or_else(|| {
            pyo3::exceptions::PyRuntimeError::new_err(
                "the descriptor of the memory that this object lies in was closed, so that it can't be sent to another process",
            )
        })?;
        Ok((fd.as_raw_fd(), offset))
    }

    /// The same in every process that has it, and no other one's.
    pub fn identity(&self) -> (u64, u64, usize) {
        let ((device, inode), offset) = self.cell.identity();
        (device, inode, offset)
    }
}

/// Whether a call is one that waits, and until when: `acquire(block, timeout)` of the standard library's semaphores.
pub fn patience(
    block: Option<&Bound<'_, PyAny>>,
    timeout: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<Deadline>> {
    if let Some(block) = block
        && !block.is_truthy()?
    {
        return Ok(None);
    }
    let deadline = detach::deadline(timeout)?;
    Ok((deadline.is_never() || !deadline.passed()).then_some(deadline))
}
