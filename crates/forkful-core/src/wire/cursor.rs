//! Which position comes next: the parent's private walk round the slots.

/// How a slot stands, as far as the parent knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Freed, or never used.
    Free,
    /// A worker has its task, and may have it for long: it is passed over.
    Taken,
    /// Its task waits for a worker. No lap may pass it, or consumers would not find it.
    Ready,
}

/// The next position.
#[derive(Clone, Debug)]
pub struct Cursor {
    next: u64,
    slots: u32,
}

impl Cursor {
    /// At position 0 of so many slots, a power of two.
    pub fn new(slots: u32) -> Cursor {
        Cursor { next: 0, slots }
    }

    /// The next position whose slot is free, passing over those that workers have; `None` when a lap is full. `standing` is
    /// asked for slots by index, and must be sure of `Free` and of `Taken`; in doubt it says `Ready`.
    pub fn next_position(&mut self, mut standing: impl FnMut(u32) -> Standing) -> Option<u64> {
        for position in (self.next..).take(self.slots as usize) {
            match standing(position as u32 & (self.slots - 1)) {
                Standing::Free => {
                    self.next = position + 1;
                    return Some(position);
                }
                Standing::Taken => {}
                Standing::Ready => return None,
            }
        }
        None
    }

    /// The position behind the last one given out.
    pub fn tail(&self) -> u64 {
        self.next
    }
}
