//! A buffer of bytes that goes to another process and back without being copied into a message.
//!
//! Knows: the codec's context, the engine's segments. Does not know: tasks, executors.

use crate::codec::context::{self, put_buffer, take_buffer};
use crate::codec::{self, reads_message, writes_message};
use forkful_core::fork;
use forkful_core::shm::Bulk;
use forkful_core::sys::Lock;
use forkful_core::worker::Desk;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};
use std::borrow::Borrow;
use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, OnceLock};

/// Bytes from which on a buffer goes beside the message.
pub(crate) const BESIDE: usize = 64 << 10;

/// Bytes from which on a buffer is born in a segment: those of the smallest one.
const BORN: usize = 128 << 10;

/// Bytes from which on it is waited for a segment to be born in: the parent's answer takes less time than the copy would.
const WORTH_WAITING: usize = 1 << 20;

/// A buffer of bytes that goes to another process and back without being copied into a message.
///
/// It is used like a `Vec<u8>`, as a slice above all. As an argument or a result of a task, alone or anywhere inside of a structure, a
/// large one (64 KiB and more) travels beside the message: an argument is copied once, into memory that the worker shares, when the
/// task's turn comes, and the worker reads and writes it there; a result that lies there already (an argument that is returned, or what
/// [`zeroed`](Bytes::zeroed) and [`with_capacity`](Bytes::with_capacity) have made in a task) is handed back without any copy, and
/// is read where it lies as long as the `Bytes` lives, whatever becomes of the worker and the executor.
///
/// Clones share their memory until one of them is written to, which copies it first. So does a `Bytes` with the task that it was given
/// to while that has not begun.
///
/// serde reads and writes it as bytes in any format.
///
/// # Examples
/// ```
/// use forkful::Bytes;
///
/// let mut pixels = Bytes::zeroed(1920 * 1080);
/// pixels[0] = 255;
/// assert_eq!(pixels.len(), 1920 * 1080);
/// assert_eq!(Bytes::from(vec![1, 2, 3]).into_vec(), [1, 2, 3]);
/// ```
#[derive(Clone)]
pub struct Bytes {
    bulk: Arc<Bulk>,
}

impl Bytes {
    /// None.
    ///
    /// # Examples
    /// ```
    /// assert!(forkful::Bytes::new().is_empty());
    /// ```
    pub fn new() -> Bytes {
        Bytes::from(Vec::new())
    }

    /// So many zeros. In a task they are made where the result needs no copy to travel, if they are many (128 KiB and more) and there is
    /// room.
    ///
    /// # Examples
    /// ```
    /// let mut bytes = forkful::Bytes::zeroed(3);
    /// bytes[1] = 7;
    /// assert_eq!(*bytes, [0, 7, 0]);
    /// ```
    pub fn zeroed(len: usize) -> Bytes {
        match born(len) {
            Some(mut bytes) => {
                let fresh = Arc::get_mut(&mut bytes.bulk);
                if let Some(Bulk::Lent(lent)) = fresh {
                    lent.set_len(len);
                    // It was somebody else's before.
                    lent.bytes_mut().fill(0);
                }
                bytes
            }
            None => Bytes::from(vec![0; len]),
        }
    }

    /// None, with room for so many, to be added by [`extend_from_slice`](Bytes::extend_from_slice) or [`io::Write`]. In a task the room
    /// is where [`zeroed`](Bytes::zeroed) makes its zeros.
    ///
    /// # Examples
    /// ```
    /// let mut bytes = forkful::Bytes::with_capacity(1 << 20);
    /// bytes.extend_from_slice(b"abc");
    /// assert_eq!(*bytes, *b"abc");
    /// ```
    pub fn with_capacity(capacity: usize) -> Bytes {
        born(capacity).unwrap_or_else(|| Bytes::from(Vec::with_capacity(capacity)))
    }

    /// How many there can be before they have to move.
    ///
    /// # Examples
    /// ```
    /// assert!(forkful::Bytes::with_capacity(100).capacity() >= 100);
    /// ```
    pub fn capacity(&self) -> usize {
        match &*self.bulk {
            Bulk::Own(bytes) => bytes.capacity(),
            Bulk::Lent(lent) => lent.room(),
            _ => self.len(),
        }
    }

    /// Adds these at the end. If there is no room for them, or other clones have the memory, all move to memory of their own.
    ///
    /// # Examples
    /// ```
    /// let mut bytes = forkful::Bytes::from(*b"abc");
    /// bytes.extend_from_slice(b"de");
    /// assert_eq!(*bytes, *b"abcde");
    /// ```
    pub fn extend_from_slice(&mut self, more: &[u8]) {
        if let Some(bulk) = Arc::get_mut(&mut self.bulk) {
            match bulk {
                Bulk::Own(bytes) => return bytes.extend_from_slice(more),
                Bulk::Lent(lent) => {
                    let len = lent.bytes().len();
                    if more.len() <= lent.room() - len {
                        lent.set_len(len + more.len());
                        return lent.bytes_mut()[len..].copy_from_slice(more);
                    }
                }
                _ => {}
            }
        }
        // Twice as much each time, so that many small pieces don't copy all of it each.
        let mut bytes = Vec::with_capacity((self.len() + more.len()).max(2 * self.len()));
        bytes.extend_from_slice(self);
        bytes.extend_from_slice(more);
        *self = Bytes::from(bytes);
    }

    /// Keeps the first so many only; if there are no more, it does nothing.
    ///
    /// # Examples
    /// ```
    /// let mut bytes = forkful::Bytes::from(*b"abcde");
    /// bytes.truncate(3);
    /// assert_eq!(*bytes, *b"abc");
    /// ```
    pub fn truncate(&mut self, len: usize) {
        if len >= self.len() {
            return;
        }
        match Arc::get_mut(&mut self.bulk) {
            Some(Bulk::Own(bytes)) => bytes.truncate(len),
            Some(Bulk::Lent(lent)) => lent.set_len(len),
            Some(Bulk::Placed(placed)) => placed.truncate(len),
            None => *self = Bytes::from(&self[..len]),
        }
    }

    /// The same as a vector, which is copied unless this is one already and nobody shares it.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(forkful::Bytes::from(*b"ab").into_vec(), vec![97, 98]);
    /// ```
    pub fn into_vec(self) -> Vec<u8> {
        match Arc::try_unwrap(self.bulk) {
            Ok(Bulk::Own(bytes)) => bytes,
            Ok(bulk) => bulk.bytes().to_vec(),
            Err(shared) => shared.bytes().to_vec(),
        }
    }

    fn of(bulk: Bulk) -> Bytes {
        Bytes {
            bulk: Arc::new(bulk),
        }
    }
}

// As a vector is: whoever holds the memory is behind a pointer to a trait, of which the compiler knows nothing.
impl UnwindSafe for Bytes {}
impl RefUnwindSafe for Bytes {}

/// An empty one with room for so many in a segment, in a worker that has one.
fn born(len: usize) -> Option<Bytes> {
    if len < BORN {
        return None;
    }
    let desk = own_desk()?;
    let (holdings, bytes) = (desk.holdings(), len as u64);
    let found = match holdings.take(bytes) {
        None if len >= WORTH_WAITING => codec::segment(&desk, bytes),
        found => found,
    };
    let Some(segment) = found else {
        desk.wish_for_segment(bytes);
        return None;
    };
    let birth = holdings.birth(segment);
    let room = birth.len();
    let mut lent = birth.lease().cut(0, room)?;
    lent.set_len(0);
    Some(Bytes::of(Bulk::Lent(lent)))
}

/// A worker's place, with the generation of processes whose it is: a forked child's parent has it.
type Place = Lock<Option<(u32, Arc<Desk>)>>;

/// This process's, if it is a worker.
static DESK: OnceLock<Place> = OnceLock::new();

/// From now on this process is a worker, on this place.
pub(crate) fn work_at(desk: &Arc<Desk>) {
    let place = DESK.get_or_init(|| Lock::new(None));
    let before = place.lock().replace((fork::generation(), desk.clone()));
    drop(before);
}

fn own_desk() -> Option<Arc<Desk>> {
    let desk = DESK.get()?.lock();
    let (generation, desk) = desk.as_ref()?;
    (*generation == fork::generation()).then(|| desk.clone())
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::new()
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bulk.bytes()
    }
}

impl DerefMut for Bytes {
    /// Copies them first if clones share them, or a task that has not begun.
    fn deref_mut(&mut self) -> &mut [u8] {
        let alone = Arc::get_mut(&mut self.bulk).is_some_and(|bulk| bulk.bytes_mut().is_some());
        if !alone {
            *self = Bytes::from(&**self);
        }
        match Arc::get_mut(&mut self.bulk).and_then(Bulk::bytes_mut) {
            Some(bytes) => bytes,
            None => unreachable!("nobody else has it, and it can be written to"),
        }
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for Bytes {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl Borrow<[u8]> for Bytes {
    fn borrow(&self) -> &[u8] {
        self
    }
}

impl From<Vec<u8>> for Bytes {
    /// Without a copy.
    fn from(bytes: Vec<u8>) -> Bytes {
        Bytes::of(Bulk::Own(bytes))
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Bytes {
        Bytes::from(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Bytes {
    fn from(bytes: [u8; N]) -> Bytes {
        Bytes::from(bytes.to_vec())
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Vec<u8> {
        bytes.into_vec()
    }
}

impl FromIterator<u8> for Bytes {
    fn from_iter<I: IntoIterator<Item = u8>>(bytes: I) -> Bytes {
        Bytes::from(Vec::from_iter(bytes))
    }
}

impl io::Write for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl PartialEq for Bytes {
    fn eq(&self, other: &Bytes) -> bool {
        **self == **other
    }
}

impl Eq for Bytes {}

impl PartialEq<[u8]> for Bytes {
    fn eq(&self, other: &[u8]) -> bool {
        **self == *other
    }
}

impl PartialEq<Vec<u8>> for Bytes {
    fn eq(&self, other: &Vec<u8>) -> bool {
        **self == **other
    }
}

impl std::hash::Hash for Bytes {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Bytes {
    /// How many there are, and not which.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.len())
    }
}

/// Bytes, and not a sequence of numbers.
struct Plain<'a>(&'a [u8]);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// How a message has them.
const NAME: &str = "Bytes";
const VARIANTS: &[&str] = &["Here", "Beside"];

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !writes_message::<S>() {
            return serializer.serialize_bytes(self);
        }
        if self.len() >= BESIDE
            && let Some(number) = put_buffer(self.bulk.clone())
        {
            return serializer.serialize_newtype_variant(NAME, 1, VARIANTS[1], &number);
        }
        serializer.serialize_newtype_variant(NAME, 0, VARIANTS[0], &Plain(self))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        if reads_message::<D>() {
            deserializer.deserialize_enum(NAME, VARIANTS, OfMessage)
        } else {
            deserializer.deserialize_byte_buf(OfAny)
        }
    }
}

/// Bytes, in whatever way a format has them.
struct OfAny;

impl<'de> Visitor<'de> for OfAny {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Bytes, E> {
        Ok(Bytes::from(bytes))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Bytes, E> {
        Ok(Bytes::from(bytes))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Bytes, E> {
        Ok(Bytes::from(text.as_bytes()))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut numbers: A) -> Result<Bytes, A::Error> {
        // The hint may be anything.
        let hint = numbers.size_hint().unwrap_or(0).min(BESIDE);
        let mut bytes = Vec::with_capacity(hint);
        while let Some(byte) = numbers.next_element()? {
            bytes.push(byte);
        }
        Ok(Bytes::from(bytes))
    }
}

struct Here(Bytes);

impl<'de> Deserialize<'de> for Here {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Here, D::Error> {
        deserializer.deserialize_bytes(OfAny).map(Here)
    }
}

/// As a message has them.
struct OfMessage;

impl<'de> Visitor<'de> for OfMessage {
    type Value = Bytes;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("bytes, or the number of a buffer")
    }

    fn visit_enum<A: de::EnumAccess<'de>>(self, data: A) -> Result<Bytes, A::Error> {
        use de::VariantAccess;
        match data.variant::<u32>()? {
            (0, content) => Ok(content.newtype_variant::<Here>()?.0),
            (1, content) => {
                let number = content.newtype_variant::<u32>()?;
                let bulk = take_buffer(number);
                let bulk = bulk.ok_or_else(|| context::reject("there is no such buffer"))?;
                Ok(Bytes::of(bulk))
            }
            _ => Err(context::reject("these are no bytes of a task")),
        }
    }
}

#[cfg(test)]
mod tests;
