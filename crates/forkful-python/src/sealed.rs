//! The memory of a shared object: a sealed memfd, mapped; and how it is had from the process that gives it.

use crate::{detach, kernel};
use forkful_core::sys::errno::ENOENT;
use forkful_core::sys::{Mapping, code_of, file_identity, is_sealed};
use forkful_core::wire::Label;
use forkful_core::worker::parcel::{self, Undelivered};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

/// A sealed memfd, mapped.
pub struct File {
    pub mapping: Arc<Mapping>,
    pub fd: Arc<OwnedFd>,
    /// A task may close all descriptors, and then the number is another file's.
    identity: (u64, u64),
}

impl File {
    /// Of a memfd that is sealed.
    pub fn of(fd: OwnedFd) -> io::Result<File> {
        Ok(File {
            mapping: Arc::new(Mapping::read_only(fd.as_fd())?),
            identity: file_identity(&fd)?,
            fd: Arc::new(fd),
        })
    }

    /// Whether the number still means this file.
    pub fn is_open(&self) -> bool {
        file_identity(&self.fd).is_ok_and(|identity| identity == self.identity)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        if !self.is_open() {
            std::mem::forget(self.fd.clone());
        }
    }
}

/// Why it can't be had.
pub fn unfetched(error: Undelivered<PyErr>) -> PyErr {
    match error {
        Undelivered::Interrupted(error) => error,
        Undelivered::Failed(error) if code_of(&error) == Some(ENOENT) => PyValueError::new_err(
            "this shared object is gone: the process that shared it holds it no more",
        ),
        Undelivered::Failed(error) => kernel::refused("a shared object can't be had", &error),
    }
}

/// The memfd, and its giver's notes.
pub fn fetch(py: Python<'_>, label: Label) -> PyResult<(OwnedFd, Option<OwnedFd>)> {
    let fetched = py.detach(|| parcel::fetch(&label, &mut detach::check_signals));
    let mut fds = fetched.map_err(unfetched)?.into_iter();
    let data = fds
        .next()
        .ok_or_else(|| PyRuntimeError::new_err("a shared object came without its memory"))?;
    Ok((data, fds.next()))
}

/// What comes from another process may be anything; only what can't change any more is mapped.
pub fn checked(fd: OwnedFd) -> PyResult<File> {
    if !is_sealed(&fd) {
        return Err(PyRuntimeError::new_err(
            "what came as a shared object is no sealed memory",
        ));
    }
    File::of(fd).map_err(|error| kernel::refused("a shared object can't be mapped", &error))
}
