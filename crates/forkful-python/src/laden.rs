//! A large call on its way in: what the encoder makes of it, as a payload and a cargo.

use crate::buffers::{Buffers, place_of};
use crate::manifest::{self, HERE, Place};
use crate::plain::LONG;
use forkful_core::procs::record::Payload;
use forkful_core::shm::ALIGNED;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

/// What the encoder makes of it: what stands before the pickle, the pickle in pieces, and the buffers that it names.
pub type Heavy<'py> = (Bound<'py, PyBytes>, Bound<'py, PyList>, Bound<'py, PyList>);

/// A task's payload and cargo: the pickle goes with the buffers if it is large itself.
pub fn laden((front, stream, buffers): &Heavy<'_>) -> PyResult<(Payload, Buffers)> {
    let mut cargo = Buffers::new();
    let (mut end, mut places) = (0, Vec::new());
    let mut pieces = Vec::new();
    for piece in stream.iter() {
        let len = place_of(&piece)?.1;
        pieces.push((piece, len as u64));
    }
    let length: u64 = pieces.iter().map(|(_, len)| len).sum();
    let mut here = vec![front.as_bytes()];
    let small = length < LONG as u64;
    if !small {
        for (nth, (piece, _)) in pieces.iter().enumerate() {
            cargo.add(piece, nth == 0)?;
        }
        end = length;
    }
    for buffer in buffers.iter() {
        let (_, len, readonly) = place_of(&buffer)?;
        let offset = end.next_multiple_of(ALIGNED);
        cargo.add(&buffer, true)?;
        end = offset + len as u64;
        places.push(Place {
            len: len as u64,
            readonly,
            segment: 0,
            offset,
        });
    }
    let pieces: Vec<_> = pieces.into_iter().map(|(piece, _)| piece).collect();
    if small {
        for piece in &pieces {
            here.push(piece.cast::<PyBytes>()?.as_bytes());
        }
    }
    let stream = Place {
        len: length,
        readonly: true,
        segment: if small { HERE } else { 0 },
        offset: 0,
    };
    let head = manifest::write(stream, &places, &here);
    Ok((Payload::from_slice(&head), cargo))
}
