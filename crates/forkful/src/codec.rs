//! Values as bytes, and what travels beside the bytes.
//!
//! Knows: serde, postcard. Does not know: tasks, executors.

pub(crate) mod context {
    use std::cell::RefCell;
    use std::io;
    use std::os::fd::{BorrowedFd, OwnedFd};
    thread_local! {
        pub(crate) static FDS: RefCell<Option<Vec<Option<OwnedFd>>>> = const { RefCell::new(None) };
    }
    pub(crate) fn put_fd(fd: BorrowedFd<'_>) -> Option<io::Result<u32>> {
        FDS.with_borrow_mut(|fds| {
            let fds = fds.as_mut()?;
            fds.push(Some(fd.try_clone_to_owned().unwrap()));
            Some(Ok(fds.len() as u32 - 1))
        })
    }
    pub(crate) fn take_fd(number: u32) -> Option<io::Result<OwnedFd>> {
        FDS.with_borrow_mut(|fds| fds.as_mut()?.get_mut(number as usize)?.take().map(Ok))
    }
    pub(crate) fn refuse<E: serde::ser::Error>(words: &str) -> E {
        E::custom(words)
    }
    pub(crate) fn reject<E: serde::de::Error>(words: &str) -> E {
        E::custom(words)
    }
    pub(crate) fn words(error: postcard::Error) -> String {
        error.to_string()
    }
}
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// A value that can't be written or read.
#[derive(Debug)]
pub(crate) struct Error(pub(crate) String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is sent: bytes.
#[derive(Default)]
pub(crate) struct Outgoing {
    bytes: Vec<u8>,
}

impl Outgoing {
    /// A value.
    pub(crate) fn of<T: Serialize>(value: &T) -> Result<Outgoing, Error> {
        let mut outgoing = Outgoing::default();
        outgoing.write(value)?;
        Ok(outgoing)
    }

    /// Appends a value.
    pub(crate) fn write<T: Serialize>(&mut self, value: &T) -> Result<(), Error> {
        let bytes = std::mem::take(&mut self.bytes);
        self.bytes = postcard::to_extend(value, bytes).map_err(|error| {
            Error(format!(
                "{} can't be written: {error}",
                std::any::type_name::<T>()
            ))
        })?;
        Ok(())
    }

    /// What was written.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What has come: bytes.
pub(crate) struct Incoming<'a> {
    bytes: &'a [u8],
}

impl<'a> Incoming<'a> {
    /// Of these bytes.
    pub(crate) fn new(bytes: &'a [u8]) -> Incoming<'a> {
        Incoming { bytes }
    }

    /// The value that they are, all of them.
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let name = std::any::type_name::<T>;
        match postcard::take_from_bytes(self.bytes) {
            Ok((value, [])) => Ok(value),
            Ok((_, rest)) => Err(Error(format!(
                "{} bytes are left behind a {}",
                rest.len(),
                name()
            ))),
            Err(error) => Err(Error(format!("{} can't be read: {error}", name()))),
        }
    }
}
