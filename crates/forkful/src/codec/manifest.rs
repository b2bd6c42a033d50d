//! What a message says of its large buffers: how many there are, how long, and where each lies.
//!
//! ```text
//! own bytes (u32), buffers (u32), the stream's place, then a place per buffer, then the stream if it lies here
//! a place: bytes, segment, offset there (a u64 each)
//! ```
//!
//! What has no segment ([`BEHIND`]) lies behind the message, at the offset, which counts from the message's end; the stream, which is what
//! serde has written, in the message itself if its place says [`HERE`]. What comes from a worker may be garbage: it is read with checks.

use forkful_core::procs::record::Payload;
use forkful_core::shm::{Bulk, Lease};
use std::io;
use std::sync::Arc;

/// No segment: behind the message.
pub(super) const BEHIND: u64 = u64::MAX;
/// No segment: in the message, behind its head.
pub(super) const HERE: u64 = u64::MAX - 1;

const PLACE: usize = 24;
const FIXED: usize = 8 + PLACE;

/// Where something lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) len: u64,
    pub(super) segment: u64,
    pub(super) offset: u64,
}

impl Place {
    fn put(&self, bytes: &mut Payload) {
        for word in [self.len, self.segment, self.offset] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
    }

    fn get(bytes: &[u8]) -> Option<(Place, &[u8])> {
        let (mut words, mut rest) = ([0; 3], bytes);
        for word in &mut words {
            let (first, left) = rest.split_first_chunk()?;
            (*word, rest) = (u64::from_le_bytes(*first), left);
        }
        let [len, segment, offset] = words;
        let place = Place {
            len,
            segment,
            offset,
        };
        Some((place, rest))
    }
}

/// Appends a message; what lies here is `here`.
pub(super) fn write(bytes: &mut Payload, stream: Place, places: &[Place], here: &[u8]) {
    let own = FIXED + places.len() * PLACE + here.len();
    bytes.reserve(own);
    bytes.extend_from_slice(&(own as u32).to_le_bytes());
    bytes.extend_from_slice(&(places.len() as u32).to_le_bytes());
    stream.put(bytes);
    for place in places {
        place.put(bytes);
    }
    bytes.extend_from_slice(here);
}

/// A message, read.
#[derive(Debug)]
pub(crate) struct Message<'a> {
    pub(super) stream: Place,
    pub(super) places: Vec<Place>,
    /// What lies in the message behind its head.
    pub(super) here: &'a [u8],
    behind: &'a [u8],
}

impl<'a> Message<'a> {
    /// `None` if these bytes are none.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Message<'a>> {
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

    /// What lies in it behind its head.
    pub(crate) fn here(&self) -> &'a [u8] {
        self.here
    }

    /// Where each buffer begins, and its bytes.
    pub(crate) fn places(&self) -> impl ExactSizeIterator<Item = (u64, u64)> {
        self.places.iter().map(|place| (place.offset, place.len))
    }

    /// There was no segment for the cargo: it lies behind.
    pub(super) fn bring_behind(&mut self) {
        let lent = self.places.iter_mut().chain([&mut self.stream]);
        lent.filter(|place| place.segment == 0)
            .for_each(|place| place.segment = BEHIND);
    }

    /// The highest byte of each segment that is named, from the first.
    pub(super) fn room(&self) -> u64 {
        let lent = self.places.iter().chain([&self.stream]);
        lent.filter(|place| place.segment < HERE)
            .map(|place| place.offset.saturating_add(place.len))
            .max()
            .unwrap_or(0)
    }

    /// What lies there: in a segment as it lies, and copied from behind the message. `None`: nothing does, or somebody has it already.
    pub(super) fn bulk(&self, place: &Place, leases: &mut [Lease]) -> Option<Bulk> {
        if place.segment == BEHIND {
            let start = usize::try_from(place.offset).ok()?;
            let end = start.checked_add(usize::try_from(place.len).ok()?)?;
            let content = self.behind.get(start..end)?;
            let mut bytes = Vec::new();
            bytes.try_reserve_exact(content.len()).ok()?;
            bytes.extend_from_slice(content);
            return Some(Bulk::Own(bytes));
        }
        let lease = leases.get_mut(usize::try_from(place.segment).ok()?)?;
        lease.cut(place.offset, place.len).map(Bulk::Lent)
    }
}

/// Where buffers of a shared object begin.
const PAGE: u64 = 4096;

/// A message that begins a file, and where each of the buffers lies in that: at whole pages.
pub(crate) fn lay_out(stream: &[u8], buffers: &[Arc<Bulk>]) -> io::Result<(Payload, Vec<u64>)> {
    let own = FIXED + buffers.len() * PLACE + stream.len();
    if u32::try_from(own).is_err() {
        let text = format!("what is not in Bytes takes {own} bytes, more than 4 GiB");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut end = own as u64;
    let mut places = Vec::with_capacity(buffers.len());
    for bulk in buffers {
        let (len, offset) = (bulk.bytes().len() as u64, end.next_multiple_of(PAGE));
        end = offset + len;
        places.push(Place {
            len,
            segment: 0,
            offset,
        });
    }
    let here = Place {
        len: stream.len() as u64,
        segment: HERE,
        offset: 0,
    };
    let mut head = Payload::new();
    write(&mut head, here, &places, stream);
    let offsets = places.iter().map(|place| place.offset).collect();
    Ok((head, offsets))
}
