//! A message in the segments: a header of 8 bytes, then its content, each part where the last one ended.
//!
//! The header has the kind in its highest byte and the length in the others. Messages begin at multiples of 8, so a header never lies
//! in two segments.

use super::chain::Chain;
use super::place::{Place, SEGMENT};
use super::{Damaged, QueueError};
use crate::prim::{AtomicU64, Ordering};
use crate::shm::{Cargo, Part, Piece};
use std::io;

/// What is put.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// What its sender calls it by.
    pub kind: u8,
    /// Its content's beginning, or all of it.
    pub front: &'a [u8],
    /// Then, part by part and without gaps, what stays where it is until it is copied.
    pub cargo: Option<&'a dyn Cargo>,
}

impl Message<'_> {
    /// Bytes of its content.
    pub fn len(&self) -> usize {
        let parts = self.cargo.map_or(&[][..], |cargo| cargo.parts());
        self.front.len() + parts.iter().map(Part::len).sum::<usize>()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where the next byte is written.
struct Pen<'a, T> {
    chain: &'a Chain,
    at: Place,
    /// Bytes from there, fewer than 8.
    odd: usize,
    /// Asked at a segment's end only: its words are on lines that consumers write.
    tail: T,
}

impl<T: Fn() -> Result<Place, Damaged>> Pen<'_, T> {
    /// Writes `len` bytes; `write` is told into which piece to write which of them.
    #[inline]
    fn copy(
        &mut self,
        len: usize,
        write: impl Fn(Piece<'_>, usize, usize),
    ) -> Result<(), QueueError> {
        let mut from = 0;
        while from < len {
            self.settle()?;
            let now = (len - from).min(self.at.room() - self.odd);
            let piece = self.chain.piece(self.at, self.odd + now)?;
            write(piece.skip(self.odd), from, now);
            from += now;
            self.odd += now;
            self.at = self.at.plus(self.odd & !7);
            self.odd &= 7;
        }
        Ok(())
    }

    /// Goes on to the next segment where this one is full.
    #[inline]
    fn settle(&mut self) -> Result<(), QueueError> {
        if self.at.room() == 0 {
            self.at = self.chain.advance(self.at, (self.tail)()?)?;
        }
        Ok(())
    }

    /// Where the next message begins.
    fn end(self) -> Place {
        if self.odd > 0 {
            self.at.plus(8)
        } else {
            self.at
        }
    }
}

impl Chain {
    /// Writes a message from `head` on, for who holds the producers' lock; says where it ends. `tail` is as for [`Chain::advance`].
    pub fn write(
        &self,
        head: Place,
        tail: impl Fn() -> Result<Place, Damaged>,
        message: &Message<'_>,
    ) -> Result<Place, QueueError> {
        let mut pen = Pen {
            chain: self,
            at: head,
            odd: 0,
            tail,
        };
        let header = u64::from(message.kind) << 56 | message.len() as u64;
        pen.settle()?;
        let piece = self.piece(pen.at, 8)?;
        piece.at::<AtomicU64>().store(header, Ordering::Relaxed);
        pen.at = pen.at.plus(8);
        let front = message.front;
        pen.copy(front.len(), |piece, from, len| {
            piece.write(&front[from..from + len]);
        })?;
        for part in message.cargo.map_or(&[][..], |cargo| cargo.parts()) {
            pen.copy(part.len(), |piece, from, len| piece.load(part, from, len))?;
        }
        Ok(pen.end())
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
