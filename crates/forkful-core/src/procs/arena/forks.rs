//! What the arena does at a fork: living views become this process's own memory before it, and in the child the books are nobody's.

use super::{Arena, Books, Holder, View};
use crate::fork::Inherited;
use crate::shm::Segments;
use crate::wire::Extent;
use std::collections::HashMap;

/// Bytes that a fork copies at a time.
const PIECE: u64 = 16 << 20;

impl Arena {
    /// The views that are to be made private before a fork.
    fn to_be_moved(&self) -> Vec<Extent> {
        let mut living = Vec::new();
        for (offset, (len, holder)) in &mut self.books.lock().out {
            if *holder == Holder::Parent(View::Lent) {
                *holder = Holder::Parent(View::Moving);
                living.push(Extent {
                    offset: *offset,
                    len: *len,
                });
            }
        }
        living
    }

    /// In the child: what was taken in between the parent's last look and the fork becomes the child's own here. The parent has it as it
    /// is lent, so its pages stay.
    fn keep_late_ones(&self) {
        let Some(books) = self.books.try_lock() else {
            // Somebody was writing in them, and what they say can't be believed.
            return;
        };
        for (offset, (len, holder)) in &books.out {
            if *holder == Holder::Parent(View::Lent) {
                let _ = self.link.isolate(Extent {
                    offset: *offset,
                    len: *len,
                });
            }
        }
    }

    /// Makes it so, piece by piece: at no time both take the memory of the whole.
    fn move_out(&self, segment: Extent) {
        let end = segment.offset + segment.len;
        for offset in (segment.offset..end).step_by(PIECE as usize) {
            let len = PIECE.min(end - offset);
            let piece = Extent { offset, len };
            // Where it can't be done, child and parent see the same; it is lent to nobody else at least.
            if self.link.isolate(piece).is_ok() {
                self.link.punch(piece);
            }
        }
    }
}

impl Inherited for Arena {
    /// Views of this process become its own memory. The segments' pages are nobody's then.
    fn prepare(&self) {
        // Others take results in meanwhile: until there is none.
        loop {
            let living = self.to_be_moved();
            if living.is_empty() {
                return;
            }
            for segment in living {
                self.move_out(segment);
                if let Some((_, holder)) = self.books.lock().out.get_mut(&segment.offset) {
                    *holder = Holder::Parent(View::Private);
                }
            }
        }
    }

    /// The books are the parent's, who may have been writing in them.
    fn disown(&self) {
        self.keep_late_ones();
        let empty = Books {
            segments: Segments::new(0, 0),
            out: HashMap::new(),
        };
        std::mem::forget(self.books.reset(empty));
    }
}
