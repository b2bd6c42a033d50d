//! Values that all processes read where they lie, once.
//!
//! Knows: the codec, the engine's sealed memory and its notes of who holds what. Does not know: tasks, executors.

mod hold;
#[cfg(test)]
mod tests;

use crate::codec::context::{self, Way, keep, put_fd, refuse, reject, take_fd};
use crate::codec::{Error, Outgoing};
use forkful_core::wire::{Label, Mark, Token};
use hold::Hold;
pub(crate) use hold::{rests_at, sweep};
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::any::Any;
use std::fmt;
use std::io;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;

/// Places a value where all worker processes can read it, without a copy per task or per process: written once, into memory that
/// nobody can change afterwards.
///
/// What is handed back stands for it, here and, as an argument of tasks, in workers. There it costs some bytes per task; a worker maps the
/// memory and reads the value once, when the first task brings it, and keeps it as long as this process has a handle. The memory is
/// freed when the last handle in any process is gone, or the last process.
///
/// What is shared are the [`Bytes`](crate::Bytes) in the value, whatever their size from 64 KiB on: they lie in the shared memory itself,
/// and whoever writes to one gets a copy of his own. All else (numbers, strings, maps) each process makes once from the memory.
///
/// # Errors
/// Serde's, if the value can't be written or read back, as [`io::ErrorKind::InvalidInput`]; and the system's, if it has no memory or no
/// descriptor left.
///
/// # Examples
/// ```
/// use forkful::Bytes;
///
/// let table = forkful::share(("squares".to_owned(), Bytes::zeroed(1 << 20)))?;
/// assert_eq!(table.0, "squares");
/// assert_eq!(table.1.len(), 1 << 20);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn share<T>(value: T) -> io::Result<Shared<T>>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    let unusable = |error: Error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let parts = Outgoing::in_parts(&value).map_err(unusable)?;
    // Its buffers' memory is needed until they are placed, and no longer.
    drop(value);
    let hold = Hold::place(parts)?;
    Shared::read(hold).map_err(unusable)
}

/// A value that was placed by [`share`]: it dereferences to it, in the process that has placed it and in every other that a task brings
/// it to.
///
/// As an argument or a result of a task it is a handle; outside of a task it can't be serialised. Clones are handles of one value.
///
/// # Examples
/// ```
/// let words = forkful::share(vec!["to".to_owned(), "be".to_owned()])?;
/// let same = words.clone();
/// assert_eq!(same.len(), 2);
/// # Ok::<(), std::io::Error>(())
/// ```
pub struct Shared<T>(Arc<Value<T>>);

/// The value in this process.
struct Value<T> {
    // Before the hold, whose memory it may show.
    value: T,
    hold: Arc<Hold>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Shared<T> {
    /// The value as this process has it, or else read now.
    fn read(hold: Arc<Hold>) -> Result<Shared<T>, Error> {
        if let Some(known) = hold.value::<Value<T>>() {
            return Ok(Shared(known));
        }
        // Without a lock, as it is the user's code: two threads may both read it, and the first who is ready is kept.
        let value = hold.open(|incoming| incoming.read::<T>())?;
        let fresh = Arc::new(Value {
            value,
            hold: hold.clone(),
        });
        Ok(Shared(hold.add_value(fresh)))
    }
}

// As an `Arc` is. What is changed beside the value is ours, and whole after a panic.
impl<T: RefUnwindSafe> UnwindSafe for Shared<T> {}
impl<T: RefUnwindSafe> RefUnwindSafe for Shared<T> {}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T> AsRef<T> for Shared<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared(self.0.clone())
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&**self).finish()
    }
}

/// What a message says of it: its token; where a worker asks for it, and the giver's note; or the number of its first descriptor, and
/// how many they are.
type Ticket = ([u8; 16], Option<([u8; 32], Vec<u8>)>, Option<(u32, u32)>);

const OUTSIDE: &str = "a shared object can be serialised only as an argument or a result of a task";

impl<T: Any + Send + Sync> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hold = &self.0.hold;
        let unsent = |error: io::Error| refuse(&format!("a shared object can't be sent: {error}"));
        let mut ticket: Ticket = (hold.token.0, None, None);
        match context::way() {
            Way::Nothing => return Err(refuse(OUTSIDE)),
            Way::ToWorker => {
                let (label, mark) = hold.give().map_err(unsent)?;
                ticket.1 = Some((label.to_bytes(), mark.to_bytes().to_vec()));
                keep(Box::new(self.0.clone()));
            }
            Way::ByDescriptor => {
                let fds = hold.fds().map_err(unsent)?;
                let mut first = None;
                for fd in &fds {
                    let number = put_fd(fd.as_fd()).ok_or_else(|| refuse(OUTSIDE))?;
                    let number = number.map_err(unsent)?;
                    first.get_or_insert(number);
                }
                ticket.2 = first.map(|first| (first, fds.len() as u32));
            }
        }
        ticket.serialize(serializer)
    }
}

impl<'de, T: DeserializeOwned + Send + Sync + 'static> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shared<T>, D::Error> {
        let (token, given, fds) = Ticket::deserialize(deserializer)?;
        let token = Token(token);
        let unfetched =
            |error: io::Error| reject(&format!("a shared object can't be had: {error}"));
        let label = |(label, mark): ([u8; 32], Vec<u8>)| {
            Some((Label::of_bytes(&label)?, Mark::of_bytes(&mark)?))
        };
        let given = match given.map(label) {
            Some(None) => return Err(reject("this is no shared object")),
            given => given.flatten(),
        };
        let hold = match (Hold::known(token), given, fds) {
            (Some(hold), ..) => hold,
            (None, Some((label, mark)), _) => Hold::fetch(label, mark.owner).map_err(unfetched)?,
            (None, None, Some((first, count))) => {
                let mut own = Vec::new();
                for number in first..first.saturating_add(count) {
                    let fd = take_fd(number).ok_or_else(|| reject(OUTSIDE))?;
                    own.push(fd.map_err(unfetched)?);
                }
                Hold::of(token, own).map_err(unfetched)?
            }
            (None, None, None) => return Err(reject("this is no shared object")),
        };
        let shared = Shared::read(hold).map_err(|error| reject(&error.0))?;
        if let Some((_, mark)) = given {
            hold::keep(mark, shared.0.clone());
        }
        Ok(shared)
    }
}
