//! A file descriptor as an argument or a result of a task.
//!
//! Knows: the codec's context. Does not know: tasks, executors.

use crate::codec::{self, context};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// A file descriptor that can be an argument or a result of a task: of a file, a socket, a pipe, a device.
///
/// The worker gets a descriptor of its own of the same open file, so both processes have one offset into it; the sender's is
/// closed with the arguments that it was in. Tasks that are run again after their worker has died get it again. Other serialisers than
/// that of tasks get an error.
///
/// # Examples
/// ```
/// use forkful::Fd;
/// use std::io::Write;
///
/// #[forkful::task]
/// fn log(file: Fd, line: String) {
///     let mut file = file.into_file();
///     writeln!(file, "{line}").unwrap();
/// }
///
/// let file = std::fs::File::open("/dev/null")?;
/// let arguments = (Fd::new(file), "a line".to_owned());
/// # let _ = arguments;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Fd(OwnedFd);

impl Fd {
    /// Of whatever owns one: a [`File`], a `TcpStream`, an [`OwnedFd`].
    ///
    /// # Examples
    /// ```
    /// let (reader, writer) = std::io::pipe()?;
    /// let reader = forkful::Fd::new(reader);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(fd: impl Into<OwnedFd>) -> Fd {
        Fd(fd.into())
    }

    /// As a file.
    ///
    /// # Examples
    /// ```
    /// let null = forkful::Fd::new(std::fs::File::open("/dev/null")?);
    /// let text = std::io::read_to_string(null.into_file())?;
    /// assert!(text.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_file(self) -> File {
        File::from(self.0)
    }

    /// As what it is: `TcpStream::from(fd.into_owned())`.
    ///
    /// # Examples
    /// ```
    /// let (reader, _writer) = std::io::pipe()?;
    /// let fd = forkful::Fd::new(reader);
    /// let reader = std::io::PipeReader::from(fd.into_owned());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_owned(self) -> OwnedFd {
        self.0
    }
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<OwnedFd> for Fd {
    fn from(fd: OwnedFd) -> Fd {
        Fd(fd)
    }
}

impl From<File> for Fd {
    fn from(file: File) -> Fd {
        Fd(file.into())
    }
}

impl From<Fd> for OwnedFd {
    fn from(fd: Fd) -> OwnedFd {
        fd.0
    }
}

const STRAY: &str =
    "a file descriptor can be sent only among the arguments of a task, or in its result";

impl Serialize for Fd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let put = codec::writes_message::<S>().then(|| context::put_fd(self.as_fd()));
        match put.flatten() {
            Some(Ok(number)) => number.serialize(serializer),
            Some(Err(error)) => Err(context::refuse(&format!(
                "a file descriptor can't be sent: {error}"
            ))),
            None => Err(context::refuse(STRAY)),
        }
    }
}

impl<'de> Deserialize<'de> for Fd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !codec::reads_message::<D>() {
            return Err(context::reject(STRAY));
        }
        match context::take_fd(u32::deserialize(deserializer)?) {
            Some(Ok(fd)) => Ok(Fd(fd)),
            Some(Err(error)) => Err(context::reject(&format!(
                "a file descriptor can't be had: {error}"
            ))),
            None => Err(context::reject("a file descriptor did not arrive")),
        }
    }
}
