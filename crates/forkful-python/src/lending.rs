//! How a result's large buffers go out: handed over where they lie in a segment already and nobody else here has them, else copied.
//!
//! Whether somebody has them is known when everything that leads to the result is gone, the result included. So first all is copied that
//! must be, and what may be handed over is marked; then the references are dropped; then each marked segment is looked at.

use crate::buffers::{Buffers, Marked, place_of};
use crate::manifest::{self, BEHIND, HERE, Place};
use crate::plain::LONG;
use forkful_core::shm::{ALIGNED, Cargo, append};
use forkful_core::wire::Extent;
use forkful_core::worker::Desk;
use forkful_core::worker::holdings::Holdings;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};
use std::collections::BTreeMap;
use std::time::Duration;

/// A buffer that lies in a segment of this worker's.
struct Inside {
    /// Which of the result's buffers.
    nth: usize,
    offset: u64,
    len: u64,
}

/// Segments that were taken or marked, and what becomes of them if something goes wrong.
struct Plan<'a> {
    holdings: &'a Holdings,
    taken: Vec<Extent>,
    /// That nobody here has any more.
    handed: Vec<u64>,
    marked: BTreeMap<u64, Vec<Inside>>,
}

impl Drop for Plan<'_> {
    fn drop(&mut self) {
        for segment in self.taken.drain(..) {
            self.holdings.put_back(segment);
        }
        for offset in self.handed.drain(..) {
            self.holdings.give_back(offset);
        }
        for offset in self.marked.keys() {
            self.holdings.unmark(*offset);
        }
    }
}

/// A segment for so many bytes, if there is one to be had.
fn segment(py: Python<'_>, desk: &Desk, len: u64) -> PyResult<Option<Extent>> {
    let rest = |pause: Duration| {
        py.detach(|| std::thread::sleep(pause));
        py.check_signals()
    };
    desk.segment(len, rest, |wait| py.detach(wait))
}

/// Writes the outcome of a result; whether it hands segments over. `dumped` is (token of its descriptors or nothing, the pickle in
/// pieces, its buffers). `value` is let go in between.
pub fn write(
    py: Python<'_>,
    desk: &Desk,
    dumped: Bound<'_, PyTuple>,
    value: Bound<'_, PyAny>,
    outcome: &mut Vec<u8>,
) -> PyResult<bool> {
    let token = dumped.get_item(0)?.cast_into::<PyBytes>()?;
    let stream = dumped.get_item(1)?.cast_into::<PyList>()?;
    let buffers = dumped.get_item(2)?.cast_into::<PyList>()?;
    drop(dumped);
    let holdings = &**desk.holdings();
    let mut plan = Plan {
        holdings,
        taken: Vec::new(),
        handed: Vec::new(),
        marked: BTreeMap::new(),
    };
    let mut places = Vec::with_capacity(buffers.len());
    let mut inside: BTreeMap<u64, (u64, Vec<Inside>)> = BTreeMap::new();
    for (nth, buffer) in buffers.iter().enumerate() {
        let (address, len, readonly) = place_of(&buffer)?;
        places.push(Place {
            len: len as u64,
            readonly,
            segment: BEHIND,
            offset: 0,
        });
        if let Some(own) = holdings.find(address)
            && let Some(offset) = holdings.offset_in(own, address, len)
        {
            let entry = inside.entry(own.offset).or_insert((own.len, Vec::new()));
            entry.1.push(Inside {
                nth,
                offset,
                len: len as u64,
            });
        }
    }
    for (segment, (len, mut ranges)) in inside {
        ranges.sort_by_key(|range| range.offset);
        // Two that overlap would be one to their reader, whereas copies are independent. And a large segment is not kept for little.
        let mut end = 0;
        let apart = ranges.iter().all(|range| {
            let apart = range.offset >= end;
            end = range.offset + range.len;
            apart
        });
        let bytes: u64 = ranges.iter().map(|range| range.len).sum();
        if apart && bytes >= len / 2 && holdings.mark(segment) {
            plan.marked.insert(segment, ranges);
        }
    }
    let kept: Vec<usize> = plan
        .marked
        .values()
        .flatten()
        .map(|range| range.nth)
        .collect();
    // What is copied now: the pickle if it is long, and the buffers that lie elsewhere.
    let mut cargo = Buffers::new();
    let mut pieces = Vec::new();
    let mut length = 0;
    for piece in stream.iter() {
        length += place_of(&piece)?.1 as u64;
        pieces.push(piece);
    }
    let mut head = Place {
        len: length,
        readonly: true,
        segment: HERE,
        offset: 0,
    };
    let mut end = 0;
    let mut copied = Vec::new();
    if length >= LONG as u64 {
        for (nth, piece) in pieces.iter().enumerate() {
            cargo.add(piece, nth == 0)?;
        }
        end = length;
        head.segment = BEHIND;
    }
    for (nth, buffer) in buffers.iter().enumerate() {
        if !kept.contains(&nth) {
            let offset = end.next_multiple_of(ALIGNED);
            end = offset + cargo.add(&buffer, true)? as u64;
            places[nth].offset = offset;
            copied.push(nth);
        }
    }
    let mut behind = Vec::new();
    let mut handed = Vec::new();
    if end > 0 {
        match segment(py, desk, end)? {
            Some(segment) => {
                plan.taken.push(segment);
                py.detach(|| desk.link().stow(segment.offset, &cargo));
                handed.push(segment.offset);
                if head.segment == BEHIND {
                    head.segment = 0;
                }
                for nth in copied {
                    places[nth].segment = 0;
                }
            }
            None => append(&cargo, &mut behind).map_err(|_| no_memory(end))?,
        }
    }
    cargo.release(py);
    let mut here = Vec::new();
    if head.segment == HERE {
        for piece in &pieces {
            here.extend_from_slice(piece.cast::<PyBytes>()?.as_bytes());
        }
    }
    drop((pieces, stream, buffers, value));
    settle(py, desk, &mut plan, &mut places, &mut handed, &mut behind)?;
    let lends = !handed.is_empty();
    if lends {
        let copied = plan.taken.len() as u64;
        outcome.extend((handed.len() as u64 | copied << 32).to_le_bytes());
        outcome.extend(handed.iter().flat_map(|offset| offset.to_le_bytes()));
    }
    outcome.extend_from_slice(token.as_bytes());
    outcome.extend(manifest::write(head, &places, &[&here]));
    outcome.extend(behind);
    // They are the parent's from here on.
    plan.taken.clear();
    plan.handed.clear();
    Ok(lends)
}

/// Hands over what nobody else has, and copies the rest.
fn settle(
    py: Python<'_>,
    desk: &Desk,
    plan: &mut Plan<'_>,
    places: &mut [Place],
    handed: &mut Vec<u64>,
    behind: &mut Vec<u8>,
) -> PyResult<()> {
    while let Some((offset, ranges)) = plan.marked.pop_first() {
        if desk.holdings().is_free_of_views(offset) {
            plan.handed.push(offset);
            for range in ranges {
                places[range.nth].segment = handed.len() as u64;
                places[range.nth].offset = range.offset;
            }
            handed.push(offset);
            continue;
        }
        // Back into the plan until it is copied, so that nobody frees it under the copy.
        let parts = ranges
            .iter()
            .map(|range| (offset + range.offset, range.len));
        let cargo = Marked::new(desk.holdings(), parts);
        plan.marked.insert(offset, Vec::new());
        let room = cargo.room();
        let start = match segment(py, desk, room)? {
            Some(segment) => {
                plan.taken.push(segment);
                py.detach(|| desk.link().stow(segment.offset, &cargo));
                handed.push(segment.offset);
                None
            }
            None => {
                let start = (behind.len() as u64).next_multiple_of(ALIGNED);
                behind.resize(start as usize, 0);
                let mut copy = Vec::new();
                append(&cargo, &mut copy).map_err(|_| no_memory(room))?;
                behind.extend(copy);
                Some(start)
            }
        };
        let mut end = 0_u64;
        for range in ranges {
            let at = end.next_multiple_of(ALIGNED);
            end = at + range.len;
            let place = &mut places[range.nth];
            (place.segment, place.offset) = match start {
                None => (handed.len() as u64 - 1, at),
                Some(start) => (BEHIND, start + at),
            };
        }
        plan.marked.remove(&offset);
        desk.holdings().unmark(offset);
    }
    Ok(())
}

fn no_memory(bytes: u64) -> PyErr {
    PyMemoryError::new_err(format!(
        "there is no memory to send a result of {bytes} bytes"
    ))
}
