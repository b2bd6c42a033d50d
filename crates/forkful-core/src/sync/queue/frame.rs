//! A message in the segments: a header of 8 bytes, then its content, each part where the last one ended.
//!
//! The header has the kind in its highest byte and the length in the others. Messages begin at multiples of 8, so a header never lies
//! in two segments.

use super::chain::Chain;
use super::place::{Place, SEGMENT};
use super::{Damaged, QueueError};
use crate::prim::{AtomicU64, Ordering};
use std::io;

impl Chain {
    /// Writes a message from `head` on, for who holds the producers' lock; says where it ends. `tail` is as for [`Chain::advance`].
    pub fn write(
        &self,
        head: Place,
        tail: Place,
        kind: u8,
        parts: &[&[u8]],
    ) -> Result<Place, QueueError> {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut at = head;
        if at.room() == 0 {
            at = self.advance(at, tail)?;
        }
        let header = u64::from(kind) << 56 | len as u64;
        let piece = self.piece(at, 8)?;
        piece.at::<AtomicU64>().store(header, Ordering::Relaxed);
        at = at.plus(8);
        // Parts follow each other without gaps, so the position within eight bytes is kept beside.
        let mut odd = 0;
        for mut part in parts.iter().copied() {
            while !part.is_empty() {
                if at.room() == odd {
                    at = self.advance(at.plus(odd), tail)?;
                    odd = 0;
                }
                let (now, rest) = part.split_at(part.len().min(at.room() - odd));
                self.piece(at, odd + now.len())?.skip(odd).write(now);
                odd += now.len();
                at = at.plus(odd & !7);
                odd &= 7;
                part = rest;
            }
        }
        Ok(if odd > 0 { at.plus(8) } else { at })
    }

    /// Reads a message, for who holds the consumers' lock; says where it ends. Nothing if it is longer than `most`. `waiting` is asked
    /// how many bytes all messages take at most.
    pub fn read(
        &self,
        tail: Place,
        content: &mut Vec<u8>,
        most: usize,
        waiting: impl Fn() -> Result<u64, Damaged>,
    ) -> Result<Option<(u8, Place)>, QueueError> {
        let mut at = tail;
        if at.room() == 0 {
            at = self.follow(at)?;
        }
        let header = self.piece(at, 8)?.at::<AtomicU64>().load(Ordering::Relaxed);
        let (kind, len) = ((header >> 56) as u8, header & (u64::MAX >> 8));
        at = at.plus(8);
        if len > SEGMENT as u64 && len > waiting()? {
            return Err(Damaged.into());
        }
        let mut len = len as usize;
        if len > most {
            return Ok(None);
        }
        content
            .try_reserve(len)
            .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
        while len > 0 {
            if at.room() == 0 {
                at = self.follow(at)?;
            }
            let now = len.min(at.room());
            self.piece(at, now)?.read(content)?;
            at = at.plus(now.next_multiple_of(8));
            len -= now;
        }
        Ok(Some((kind, at)))
    }
}
