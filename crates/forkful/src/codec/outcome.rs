//! How a result goes out of a worker: what lies in a segment that nobody else here has is handed over, all else is copied, into a segment
//! if there is one to be had.

use super::context::{self, Beside, Put};
use super::manifest::{self, BEHIND, HERE, Place};
use super::{Error, LONG, Outgoing};
use forkful_core::procs::record::Payload;
use forkful_core::shm::{ALIGNED, Bulk, Cargo, Pieces, append};
use forkful_core::wire::{Extent, RETURNED, Token, WITH_BUFFERS, WITH_PARCEL};
use forkful_core::worker::{Desk, parcel};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

/// What the engine is to be told of an outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// Its kind, as that of a value.
    pub(crate) kind: u16,
    /// Whether it hands segments over.
    pub(crate) lends: bool,
}

impl Outgoing {
    /// In a worker: makes it an outcome's bytes. The value itself, and what the arguments were read from, must be gone by now: what they
    /// still hold is copied.
    pub(crate) fn into_outcome(
        mut self,
        desk: &Desk,
        outcome: &mut Vec<u8>,
    ) -> Result<Sent, Error> {
        let (mut kind, mut lends) = (RETURNED, false);
        if self.beside.is_none() && self.bytes.len() < LONG {
            *outcome = self.bytes.into_vec();
            return Ok(Sent { kind, lends });
        }
        let mut beside = self.beside.take().unwrap_or_default();
        outcome.clear();
        let token = push(desk, &mut beside)?;
        let front = token.as_ref().map_or(&[][..], |token| &token.0);
        if token.is_some() {
            kind |= WITH_PARCEL;
        }
        let mut buffers = context::buffers_of(*beside);
        let long = self.bytes.len() >= LONG;
        if long {
            let stream = std::mem::take(&mut self.bytes).into_vec();
            buffers.push(Arc::new(Bulk::Own(stream)));
        }
        if buffers.is_empty() {
            outcome.extend_from_slice(front);
            outcome.extend_from_slice(&self.bytes);
            return Ok(Sent { kind, lends });
        }
        kind |= WITH_BUFFERS;
        let mut plan = Plan::new(desk, buffers);
        let behind = plan.copy()?;
        plan.hand_over();
        if !plan.handed.is_empty() {
            lends = true;
            outcome.extend((plan.handed.len() as u64 | plan.copied << 32).to_le_bytes());
            let offsets = plan.handed.drain(..);
            outcome.extend(offsets.flat_map(|offset| offset.to_le_bytes()));
        }
        let stream = if long { plan.places.pop() } else { None };
        let stream = stream.unwrap_or(Place {
            len: self.bytes.len() as u64,
            segment: HERE,
            offset: 0,
        });
        let mut message = Payload::new();
        manifest::write(&mut message, stream, &plan.places, &self.bytes);
        outcome.extend_from_slice(front);
        outcome.extend_from_slice(&message);
        outcome.extend_from_slice(&behind);
        Ok(Sent { kind, lends })
    }
}

/// Leaves the descriptors with the parent.
fn push(desk: &Desk, beside: &mut Beside) -> Result<Option<Token>, Error> {
    let fds = beside.take_fds();
    if fds.is_empty() {
        return Ok(None);
    }
    let unsent = |error| {
        Error(format!(
            "the file descriptors of the result can't be sent: {error}"
        ))
    };
    let token = Token::random().map_err(unsent)?;
    let borrowed: io::Result<Vec<_>> = fds.iter().map(Put::fd).collect();
    let borrowed = borrowed.map_err(unsent)?;
    match parcel::push::<Infallible>(desk, token, &borrowed, &mut || Ok(())) {
        Ok(()) => Ok(Some(token)),
        Err(parcel::Undelivered::Failed(error)) => Err(unsent(error)),
        Err(parcel::Undelivered::Interrupted(never)) => match never {},
    }
}

/// A segment of this worker's that goes as it lies.
struct Whole {
    offset: u64,
    /// Which buffers lie there, and where in it.
    ranges: Vec<(usize, u64)>,
}

/// What of a segment is among the buffers.
struct Part {
    /// The segment's bytes.
    len: u64,
    /// How many ranges of it anybody has.
    sharers: usize,
    /// Those that are here: which buffer, and where in the segment.
    ranges: Vec<(usize, u64)>,
}

/// What becomes of each buffer.
struct Plan<'a> {
    desk: &'a Desk,
    buffers: Vec<Option<Arc<Bulk>>>,
    places: Vec<Place>,
    whole: Vec<Whole>,
    /// Which segments the outcome names, in its order. These and the whole ones are this plan's, which gives them back if the outcome is
    /// not sent.
    handed: Vec<u64>,
    copied: u64,
}

impl Drop for Plan<'_> {
    fn drop(&mut self) {
        self.buffers.clear();
        let whole = self.whole.drain(..).map(|whole| whole.offset);
        self.handed.extend(whole);
        for offset in self.handed.drain(..) {
            self.desk.holdings().give_back(offset);
        }
    }
}

impl<'a> Plan<'a> {
    fn new(desk: &'a Desk, buffers: Vec<Arc<Bulk>>) -> Plan<'a> {
        let holdings = desk.holdings();
        let place = |bulk: &Arc<Bulk>| Place {
            len: bulk.bytes().len() as u64,
            segment: BEHIND,
            offset: 0,
        };
        let places: Vec<Place> = buffers.iter().map(place).collect();
        let mut inside: BTreeMap<u64, Part> = BTreeMap::new();
        for (nth, bulk) in buffers.iter().enumerate() {
            let Bulk::Lent(lent) = &**bulk else { continue };
            let address = lent.bytes().as_ptr() as usize;
            // Nobody can get another share of it from here on, as only this one is left.
            if Arc::strong_count(bulk) == 1
                && let Some(own) = holdings.find(address)
                && let Some(offset) = holdings.offset_in(own, address, lent.bytes().len())
            {
                let part = inside.entry(own.offset).or_insert_with(|| Part {
                    len: own.len,
                    sharers: lent.sharers(),
                    ranges: Vec::new(),
                });
                part.ranges.push((nth, offset));
            }
        }
        // What others wrote before they let go of their shares is written before these bytes go anywhere.
        fence(Ordering::Acquire);
        let mut whole = Vec::new();
        for (offset, part) in inside {
            let Part {
                len,
                sharers,
                ranges,
            } = part;
            let used: u64 = ranges.iter().map(|(nth, _)| places[*nth].len).sum();
            // A large segment is not kept for little.
            let goes = sharers == ranges.len() && used >= len / 2;
            if goes && holdings.surrender(offset) {
                whole.push(Whole { offset, ranges });
            }
        }
        Plan {
            desk,
            buffers: buffers.into_iter().map(Some).collect(),
            places,
            whole,
            handed: Vec::new(),
            copied: 0,
        }
    }

    /// Copies what does not go as it lies; what found no segment is the answer, and goes behind the message.
    fn copy(&mut self) -> Result<Vec<u8>, Error> {
        let mut stays = vec![true; self.buffers.len()];
        let ranges = self.whole.iter().flat_map(|whole| &whole.ranges);
        ranges.for_each(|(nth, _)| stays[*nth] = false);
        let (mut pieces, mut end) = (Pieces::default(), 0_u64);
        for (nth, place) in self.places.iter_mut().enumerate() {
            if stays[nth]
                && let Some(bulk) = self.buffers[nth].take()
            {
                place.offset = end.next_multiple_of(ALIGNED);
                end = place.offset + place.len;
                pieces.add(bulk);
            }
        }
        let mut behind = Vec::new();
        if pieces.is_empty() {
            return Ok(behind);
        }
        match segment(self.desk, end) {
            Some(segment) => {
                self.handed.push(segment.offset);
                self.copied = 1;
                self.desk.link().stow(segment.offset, &pieces);
                let copied = self.places.iter_mut().zip(stays);
                copied
                    .filter(|(_, stays)| *stays)
                    .for_each(|(place, _)| place.segment = 0);
            }
            None => append(&pieces as &dyn Cargo, &mut behind).map_err(|_| {
                Error(format!(
                    "there is no memory to send a result of {end} bytes"
                ))
            })?,
        }
        Ok(behind)
    }

    /// Gives away what goes as it lies. Nothing may fail afterwards.
    fn hand_over(&mut self) {
        for whole in std::mem::take(&mut self.whole) {
            for (nth, offset) in whole.ranges {
                self.places[nth].segment = self.handed.len() as u64;
                self.places[nth].offset = offset;
                self.buffers[nth] = None;
            }
            self.handed.push(whole.offset);
        }
    }
}

/// A segment for so many bytes, if there is one to be had.
pub(crate) fn segment(desk: &Desk, len: u64) -> Option<Extent> {
    let rest = |pause: Duration| {
        std::thread::sleep(pause);
        Ok::<(), Infallible>(())
    };
    match desk.segment(len, rest, |wait| wait()) {
        Ok(segment) => segment,
        Err(never) => match never {},
    }
}
