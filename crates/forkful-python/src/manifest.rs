//! What a message says of its large buffers: how many there are, how long, and where each lies.
//!
//! ```text
//! own bytes (u32), buffers (u32), the stream's place, then a place per buffer
//! a place: bytes << 1 | read-only, segment, offset there (a u64 each)
//! ```
//!
//! What has no segment ([`BEHIND`]) lies behind the message, at the offset, which counts from the message's end; the stream, which is the
//! pickle, right behind this head if its place says [`HERE`]. What comes from a worker may be garbage: it is read with checks.

use crate::buffers::{self, Lender, Lent};
use crate::ffi;
use pyo3::exceptions::{PyMemoryError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView};

/// No segment: behind the message.
pub const BEHIND: u64 = u64::MAX;
/// No segment: in the message, behind its head.
pub const HERE: u64 = u64::MAX - 1;

const PLACE: usize = 24;
const FIXED: usize = 8 + PLACE;

/// Where something lies.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub len: u64,
    pub readonly: bool,
    pub segment: u64,
    pub offset: u64,
}

impl Place {
    fn put(&self, bytes: &mut Vec<u8>) {
        let words = [
            self.len << 1 | u64::from(self.readonly),
            self.segment,
            self.offset,
        ];
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }

    fn get(bytes: &[u8]) -> Option<(Place, &[u8])> {
        let (mut words, mut rest) = ([0; 3], bytes);
        for word in &mut words {
            let (first, left) = rest.split_first_chunk()?;
            (*word, rest) = (u64::from_le_bytes(*first), left);
        }
        let [len, segment, offset] = words;
        let place = Place {
            len: len >> 1,
            readonly: len & 1 != 0,
            segment,
            offset,
        };
        Some((place, rest))
    }
}

/// Writes a head; what lies here is `here`, and is appended.
pub fn write(stream: Place, places: &[Place], here: &[&[u8]]) -> Vec<u8> {
    let inside: usize = here.iter().map(|part| part.len()).sum();
    let own = FIXED + places.len() * PLACE + inside;
    let mut bytes = Vec::with_capacity(own);
    bytes.extend((own as u32).to_le_bytes());
    bytes.extend((places.len() as u32).to_le_bytes());
    stream.put(&mut bytes);
    for place in places {
        place.put(&mut bytes);
    }
    for part in here {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// A message, read.
pub struct Message<'a> {
    stream: Place,
    places: Vec<Place>,
    /// What lies in the message behind its head.
    pub here: &'a [u8],
    behind: &'a [u8],
}

fn garbage() -> PyErr {
    PyValueError::new_err("the other process has sent bytes that name no buffers")
}

impl<'a> Message<'a> {
    pub fn read(bytes: &'a [u8]) -> PyResult<Message<'a>> {
        Message::parse(bytes).ok_or_else(garbage)
    }

    fn parse(bytes: &'a [u8]) -> Option<Message<'a>> {
        let (own, rest) = bytes.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (own, count) = (u32::from_le_bytes(*own), u32::from_le_bytes(*count));
        let (message, behind) = bytes.split_at_checked(own as usize)?;
        let (stream, mut rest) = Place::get(rest)?;
        let mut places = Vec::new();
        for _ in 0..count {
            let (place, left) = Place::get(rest)?;
            places.push(place);
            rest = left;
        }
        let head = FIXED + places.len() * PLACE;
        Some(Message {
            stream,
            places,
            here: message.get(head..)?,
            behind,
        })
    }

    /// There was no segment for the cargo: it lies behind.
    pub fn bring_behind(&mut self) {
        let lent = self.places.iter_mut().chain([&mut self.stream]);
        lent.filter(|place| place.segment == 0)
            .for_each(|place| place.segment = BEHIND);
    }

    /// The highest byte of each segment that is named, from the first.
    pub fn room(&self) -> u64 {
        let lent = self.places.iter().chain([&self.stream]);
        lent.filter(|place| place.segment < HERE)
            .map(|place| place.offset.saturating_add(place.len))
            .max()
            .unwrap_or(0)
    }

    /// The pickle's bytes: in the message, or a view of where they lie; and the buffers.
    pub fn open<'py>(
        &self,
        py: Python<'py>,
        lenders: &[Lender],
    ) -> PyResult<(Option<Bound<'py, PyAny>>, Bound<'py, PyList>)> {
        let stream = match self.stream.segment {
            HERE => None,
            _ => Some(self.view(py, &self.stream, lenders)?),
        };
        let buffers = PyList::empty(py);
        for place in &self.places {
            buffers.append(self.view(py, place, lenders)?)?;
        }
        Ok((stream, buffers))
    }

    fn view<'py>(
        &self,
        py: Python<'py>,
        place: &Place,
        lenders: &[Lender],
    ) -> PyResult<Bound<'py, PyAny>> {
        if place.segment == BEHIND {
            let start = usize::try_from(place.offset).ok();
            let len = usize::try_from(place.len).ok();
            let end = start
                .zip(len)
                .and_then(|(start, len)| start.checked_add(len));
            let range = start.zip(end).ok_or_else(garbage)?;
            let content = self.behind.get(range.0..range.1).ok_or_else(garbage)?;
            return if place.readonly {
                Ok(ffi::bytes(py, content)?.into_any())
            } else {
                buffers::bytearray(py, content)
            };
        }
        let lender = usize::try_from(place.segment).ok();
        let lender = lender.and_then(|at| lenders.get(at)).ok_or_else(garbage)?;
        let lent = Lent::new(lender, place.offset, place.len, place.readonly);
        let lent = Bound::new(py, lent.ok_or_else(garbage)?)?;
        Ok(PyMemoryView::from(&lent)?.into_any())
    }

    /// What it says of an interpreter's lack of memory, which says nothing itself.
    pub fn told(&self, py: Python<'_>, error: PyErr) -> PyErr {
        if !error.is_instance_of::<PyMemoryError>(py) {
            return error;
        }
        let lent = self.places.iter().chain([&self.stream]);
        let bytes = lent.fold(0_u64, |sum, place| sum.saturating_add(place.len));
        PyMemoryError::new_err(format!(
            "this process has no memory for a value of {bytes} bytes"
        ))
    }

    /// What lies here, as an object.
    pub fn here<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        ffi::bytes(py, self.here)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(len: u64, segment: u64, offset: u64) -> Place {
        Place {
            len,
            readonly: true,
            segment,
            offset,
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written_and_no_part_of_it_is_one() {
        let places = [place(5, 0, 64), place(7, BEHIND, 0)];
        let mut bytes = write(place(3, HERE, 0), &places, &[b"pi", b"ckle"]);
        bytes.extend(b"behind!");
        let message = Message::parse(&bytes).unwrap();
        assert_eq!(
            (message.here, message.behind),
            (&b"pickle"[..], &b"behind!"[..])
        );
        assert_eq!((message.places.len(), message.room()), (2, 69));
        for len in 0..FIXED + 2 * PLACE {
            assert!(Message::parse(&bytes[..len]).is_none());
        }
    }
}
