//! Values as bytes, and what travels beside the bytes.
//!
//! Knows: serde, postcard. Does not know: tasks, executors.

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

    /// Into these bytes, which are empty.
    pub(crate) fn over(bytes: Vec<u8>) -> Outgoing {
        Outgoing { bytes }
    }

    /// Forgets what was written.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    /// The bytes themselves.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
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
