//! Values as bytes, and what travels beside the bytes.
//!
//! postcard, of the formats that need no names of fields: its layout is specified, it is kept, and it writes into whatever collects. Beside it, in one
//! run (write and read, ns): a pair of integers 3.5 and 1.0, with bincode 2 1.1 and 3.4, with MessagePack (rmp-serde) 5.0 and 3.5, with CBOR (ciborium) 7.4
//! and 81; a record with strings 18 and 90, 9 and 91, 20 and 81, 51 and 639. bincode writes long lists faster (a million bytes in 17 us against 300),
//! but is maintained no more; large buffers are [`Bytes`](crate::Bytes) here, and not in the message at all.
//!
//! Knows: serde, postcard, the engine's calls and segments. Does not know: tasks, executors.

pub(crate) mod context;
mod manifest;
mod outcome;
#[cfg(test)]
mod tests;

use context::{Arrived, Beside, Put, Way};
use forkful_core::procs::arena::Loan;
use forkful_core::procs::parcels;
use forkful_core::procs::record::{Call, Payload};
use forkful_core::shm::{ALIGNED, Bulk, Cargo, Lease, Pieces};
use forkful_core::wire::{CARGO_INSIDE, TaskHead, Token, WITH_BUFFERS, WITH_PARCEL};
use forkful_core::worker::Desk;
use manifest::{HERE, Place};
pub(crate) use manifest::{Message, lay_out};
pub(crate) use outcome::{Sent, segment};
use postcard::{de_flavors, ser_flavors};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Bytes from which on a message goes beside, too: in one copy, where a ring or a slot would take three.
const LONG: usize = 128 << 10;

/// Bytes that an outcome's message has room for at first.
const ROOM: usize = 256;

/// A task's flag: its payload is a [`Message`]. The same bit as in an outcome's kind.
pub(crate) const LADEN: u32 = WITH_BUFFERS as u32;
/// A task's flag: its payload begins with a parcel's label. The same bit as in an outcome's kind.
pub(crate) const CARRIES: u32 = WITH_PARCEL as u32;

/// A value that can't be written or read.
#[derive(Debug)]
pub(crate) struct Error(pub(crate) String);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a message is written.
pub(crate) struct Sink(Payload);

impl ser_flavors::Flavor for Sink {
    type Output = Payload;

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        // Where there is no memory for it, the allocator would end the program.
        if data.len() > LONG && self.0.try_reserve(data.len()).is_err() {
            return Err(postcard::Error::SerializeBufferFull);
        }
        self.0.extend_from_slice(data);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.0.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Payload> {
        Ok(self.0)
    }
}

/// Whether this serializer writes a message here, and not something that a value keeps in a format of its own: what stands beside a
/// message can be had only where that is read.
pub(crate) fn writes_message<S>() -> bool {
    // There is no other way to ask a type that need not be `'static`. No other can have this name, as the sink is private.
    std::any::type_name::<S>() == std::any::type_name::<&mut postcard::Serializer<Sink>>()
}

/// The same of a deserializer.
pub(crate) fn reads_message<D>() -> bool {
    type Own = postcard::Deserializer<'static, Source<'static>>;
    std::any::type_name::<D>() == std::any::type_name::<&mut Own>()
}

/// What is sent: bytes, and what stands beside them.
#[derive(Default)]
pub(crate) struct Outgoing {
    bytes: Payload,
    beside: Option<Box<Beside>>,
    way: Way,
}

/// A message in parts: its bytes, its buffers, its descriptors.
pub(crate) type Parts = (Vec<u8>, Vec<Arc<Bulk>>, Vec<OwnedFd>);

impl Outgoing {
    /// A value.
    pub(crate) fn of<T: Serialize>(value: &T) -> Result<Outgoing, Error> {
        let mut outgoing = Outgoing::default();
        outgoing.write(value)?;
        Ok(outgoing)
    }

    /// Nothing yet; written into memory that is there already.
    pub(crate) fn over(mut spare: Vec<u8>) -> Outgoing {
        spare.clear();
        // Room for more than what lies in the structure itself, so that it is the same memory next time.
        spare.reserve(ROOM);
        Outgoing {
            bytes: spare.into(),
            beside: None,
            way: Way::ByDescriptor,
        }
    }

    /// A value in parts, to be read by [`Incoming::of_parts`].
    pub(crate) fn in_parts<T: Serialize>(value: &T) -> Result<Parts, Error> {
        let mut outgoing = Outgoing::over(Vec::new());
        outgoing.write(value)?;
        let mut beside = outgoing.beside.unwrap_or_default();
        let own = |put: Put| {
            let unkept = |error| Error(format!("a file descriptor can't be kept: {error}"));
            put.own().map_err(unkept)
        };
        let fds = beside.take_fds().into_iter().map(own);
        let fds = fds.collect::<Result<_, _>>()?;
        let buffers = context::buffers_of(*beside);
        Ok((outgoing.bytes.into_vec(), buffers, fds))
    }

    /// Appends a value.
    pub(crate) fn write<T: Serialize>(&mut self, value: &T) -> Result<(), Error> {
        let sink = Sink(std::mem::take(&mut self.bytes));
        let mut serializer = postcard::Serializer { output: sink };
        let context = context::write(self.beside.take(), self.way);
        let written = value.serialize(&mut serializer);
        self.beside = context.leave();
        self.bytes = serializer.output.0;
        written.map_err(|error| {
            let words = context::words(error);
            Error(format!(
                "{} can't be sent: {words}",
                std::any::type_name::<T>()
            ))
        })
    }

    /// What was written, without what stands beside it.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Makes it a call's arguments: payload, cargo, parcel, and the flags that say so, beside those that are set.
    pub(crate) fn into_call(mut self, call: &mut Call) -> Result<(), Error> {
        if self.beside.is_none() && self.bytes.len() < LONG {
            call.payload = self.bytes;
            return Ok(());
        }
        let mut beside = self.beside.take().unwrap_or_default();
        let front = beside.pack(call)?;
        let buffers = context::buffers_of(*beside);
        let mut pieces = Pieces::default();
        let (mut end, mut places) = (0_u64, Vec::with_capacity(buffers.len()));
        let mut add = |bulk: Arc<Bulk>| {
            let offset = end.next_multiple_of(ALIGNED);
            let len = bulk.bytes().len() as u64;
            end = offset + len;
            pieces.add(bulk);
            Place {
                len,
                segment: 0,
                offset,
            }
        };
        let stream = if self.bytes.len() < LONG {
            None
        } else {
            let bytes = std::mem::take(&mut self.bytes).into_vec();
            Some(add(Arc::new(Bulk::Own(bytes))))
        };
        places.extend(buffers.into_iter().map(add));
        call.payload = front;
        if pieces.is_empty() {
            call.payload.extend_from_slice(&self.bytes);
            return Ok(());
        }
        call.flags |= LADEN;
        let stream = stream.unwrap_or(Place {
            len: self.bytes.len() as u64,
            segment: HERE,
            offset: 0,
        });
        manifest::write(&mut call.payload, stream, &places, &self.bytes);
        call.cargo = Some(Box::new(pieces) as Box<dyn Cargo>);
        Ok(())
    }
}

/// From where a message is read.
pub(crate) struct Source<'a>(&'a [u8]);

impl<'a> de_flavors::Flavor<'a> for Source<'a> {
    type Remainder = &'a [u8];
    type Source = &'a [u8];

    #[inline]
    fn pop(&mut self) -> postcard::Result<u8> {
        let (first, rest) = self
            .0
            .split_first()
            .ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.0 = rest;
        Ok(*first)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }

    #[inline]
    fn try_take_n(&mut self, count: usize) -> postcard::Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or(postcard::Error::DeserializeUnexpectedEnd)?;
        self.0 = rest;
        Ok(taken)
    }

    fn finalize(self) -> postcard::Result<&'a [u8]> {
        Ok(self.0)
    }
}

/// A message's bytes.
enum Stream<'a> {
    Seen(&'a [u8]),
    Own(Bulk),
}

/// What has come: bytes, and what stands beside them.
pub(crate) struct Incoming<'a> {
    stream: Stream<'a>,
    arrived: Option<Box<Arrived>>,
}

impl<'a> Incoming<'a> {
    /// Of these bytes, with nothing beside them.
    pub(crate) fn new(bytes: &'a [u8]) -> Incoming<'a> {
        Incoming {
            stream: Stream::Seen(bytes),
            arrived: None,
        }
    }

    /// In a worker: a task's arguments.
    pub(crate) fn of_call(
        head: &TaskHead,
        payload: &'a [u8],
        desk: &Desk,
    ) -> Result<Incoming<'a>, Error> {
        if head.flags & (LADEN | CARRIES) == 0 {
            return Ok(Incoming::new(payload));
        }
        let mut arrived = Box::<Arrived>::default();
        let mut payload = payload;
        if head.flags & CARRIES != 0 {
            payload = arrived.expect_parcel(payload).ok_or_else(garbage)?;
        }
        if head.flags & LADEN == 0 {
            return Ok(Incoming::with(payload, arrived));
        }
        let mut message = Message::read(payload).ok_or_else(garbage)?;
        let mut leases = Vec::new();
        match head.loan {
            0 | CARGO_INSIDE => message.bring_behind(),
            at => {
                let room = message.room();
                let hold = desk.holdings().hold_alone(at - 1, room);
                leases.push(hold.ok_or_else(garbage)?.lease());
            }
        }
        Incoming::open(&message, leases, arrived)
    }

    /// In the parent: a task's outcome, whose kind says how it is written. `brought` is what [`collect`] has said of it.
    pub(crate) fn of_outcome(
        kind: u16,
        payload: &'a [u8],
        loans: Vec<Loan>,
        brought: Option<Vec<OwnedFd>>,
    ) -> Result<Incoming<'a>, Error> {
        let leases = loans.into_iter().map(Loan::lease).collect();
        Incoming::of_leases(kind, payload, leases, brought)
    }

    fn of_leases(
        kind: u16,
        payload: &'a [u8],
        leases: Vec<Lease>,
        brought: Option<Vec<OwnedFd>>,
    ) -> Result<Incoming<'a>, Error> {
        if kind & (WITH_BUFFERS | WITH_PARCEL) == 0 {
            return Ok(Incoming::new(payload));
        }
        let mut arrived = Box::<Arrived>::default();
        if kind & WITH_PARCEL != 0 {
            arrived.bring(brought.ok_or_else(garbage)?);
        }
        if kind & WITH_BUFFERS == 0 {
            return Ok(Incoming::with(payload, arrived));
        }
        let message = Message::read(payload).ok_or_else(garbage)?;
        Incoming::open(&message, leases, arrived)
    }

    /// What [`Outgoing::in_parts`] was.
    pub(crate) fn of_parts(bytes: &'a [u8], buffers: Vec<Bulk>, fds: Vec<OwnedFd>) -> Incoming<'a> {
        let buffers = buffers.into_iter().map(Some).collect();
        Incoming::with(bytes, Box::new(Arrived::of(buffers, fds)))
    }

    fn with(bytes: &'a [u8], arrived: Box<Arrived>) -> Incoming<'a> {
        Incoming {
            stream: Stream::Seen(bytes),
            arrived: Some(arrived),
        }
    }

    fn open(
        message: &Message<'a>,
        mut leases: Vec<Lease>,
        mut arrived: Box<Arrived>,
    ) -> Result<Incoming<'a>, Error> {
        let stream = if message.stream.segment == HERE {
            Stream::Seen(message.here)
        } else {
            Stream::Own(
                message
                    .bulk(&message.stream, &mut leases)
                    .ok_or_else(garbage)?,
            )
        };
        for place in &message.places {
            let bulk = message.bulk(place, &mut leases).ok_or_else(garbage)?;
            arrived.buffers.push(Some(bulk));
        }
        Ok(Incoming {
            stream,
            arrived: Some(arrived),
        })
    }

    /// The value that they are, all of them. A second value is not there.
    pub(crate) fn read<T: DeserializeOwned>(&mut self) -> Result<T, Error> {
        let bytes = match &self.stream {
            Stream::Seen(bytes) => bytes,
            Stream::Own(bulk) => bulk.bytes(),
        };
        let context = context::read(self.arrived.take());
        let mut deserializer = postcard::Deserializer::from_flavor(Source(bytes));
        let read = T::deserialize(&mut deserializer);
        self.arrived = context.leave();
        let name = std::any::type_name::<T>;
        let value = read.map_err(|error| {
            let words = context::words(error);
            Error(format!("{} can't be read: {words}", name()))
        })?;
        match deserializer.finalize() {
            Ok([]) => Ok(value),
            Ok(rest) => Err(Error(format!(
                "{} bytes are left behind a {}",
                rest.len(),
                name()
            ))),
            Err(error) => Err(Error(format!("{} can't be read: {error}", name()))),
        }
    }
}

#[cfg(test)]
impl Outgoing {
    /// Reads it here, with the descriptors beside it, as if it had travelled.
    pub(crate) fn read_here<T: DeserializeOwned>(self) -> Result<T, Error> {
        let arrived = self.beside.unwrap_or_default().arrive();
        Incoming::with(&self.bytes, arrived).read()
    }

    /// How many descriptors stand beside it.
    pub(crate) fn descriptors(&self) -> usize {
        self.beside
            .as_ref()
            .map_or(0, |beside| beside.descriptors())
    }
}

/// In the parent, as soon as an outcome has come: takes the descriptors that it names, which would go with its worker otherwise, and
/// their name off its payload. None: there are none by that name.
pub(crate) fn collect(kind: u16, payload: &mut Payload) -> Option<Vec<OwnedFd>> {
    if kind & WITH_PARCEL == 0 {
        return None;
    }
    let (token, rest) = Token::split(payload)?;
    let start = payload.len() - rest.len();
    let fds = parcels::collect(token)?;
    payload.drain(..start);
    Some(fds)
}

fn garbage() -> Error {
    Error("the other process has sent bytes that name no buffers".to_owned())
}
