//! The segments that a worker has: what tasks came with, and what its results go out in.
//!
//! ```text
//! a task brings it, or it is taken from the purse        its last view died
//! ------------------------------------------------> Held --------------------> returned, or put into the purse
//!                          the result names it |      ^
//!                                              v      | somebody has a view of it still: it is copied
//!                                            Marked --+
//!                                              | its last view died: it is handed over
//!                                              v
//!                                           Released
//! ```
//!
//! A marked segment is not given away when its last view dies: whoever copies from it must find it as it is.

use crate::fork::{self, Inherited};
use crate::shm::{Lease, Lender};
use crate::sys::{Lock, page_size};
use crate::wire::{Extent, Link};
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Held,
    Marked,
    Released,
}

#[derive(Debug)]
struct Own {
    len: u64,
    state: State,
    /// A fork has made it private.
    private: bool,
    /// It may be used again here when nobody has a view of it.
    born: bool,
}

#[derive(Debug, Default)]
struct Inner {
    own: BTreeMap<u64, Own>,
    returns: Vec<u64>,
}

/// What one worker has.
#[derive(Debug)]
pub struct Holdings {
    link: Arc<Link>,
    seat: u32,
    inner: Lock<Inner>,
    /// How long each was at the last fork, for the child, which has copies.
    inherited: Lock<BTreeMap<u64, u64>>,
    has_returns: AtomicBool,
    /// The worker sleeps, or is about to, and tells the parent nothing of itself.
    rests: AtomicBool,
    generation: u32,
}

impl Holdings {
    /// Nothing, on this seat.
    pub(super) fn new(link: Arc<Link>, seat: u32) -> Arc<Holdings> {
        let holdings = Arc::new(Holdings {
            link,
            seat,
            inner: Lock::default(),
            inherited: Lock::default(),
            has_returns: AtomicBool::new(false),
            rests: AtomicBool::new(false),
            generation: fork::generation(),
        });
        fork::register(&holdings);
        holdings
    }

    /// The segment that a task came with, as long as this has views.
    pub fn hold(self: &Arc<Self>, offset: u64, len: u64) -> Hold {
        self.enter(Extent { offset, len }, false);
        Hold {
            holdings: self.clone(),
            offset,
            len,
        }
    }

    /// The same, unless this worker has a byte of it already, as a task can't say by itself.
    pub fn hold_alone(self: &Arc<Self>, offset: u64, len: u64) -> Option<Hold> {
        let end = offset.checked_add(len)?;
        let taken = {
            let inner = self.inner.lock();
            let before = inner.own.range(..end).next_back();
            before.is_some_and(|(start, own)| start + own.len > offset)
        };
        (!taken).then(|| self.hold(offset, len))
    }

    fn enter(&self, segment: Extent, born: bool) {
        let own = Own {
            len: segment.len,
            state: State::Held,
            private: false,
            born,
        };
        self.inner.lock().own.insert(segment.offset, own);
    }

    /// A segment of at least so many bytes, and not many more, if the purse has one. It is the caller's to hand over, to put back, or to
    /// be born in.
    pub fn take(&self, len: u64) -> Option<Extent> {
        if self.generation != fork::generation() {
            return None;
        }
        let purse = self.link.purse(self.seat);
        purse.take(|segment| segment.suits(len))
    }

    /// Puts back what was taken.
    pub fn put_back(&self, segment: Extent) {
        if !self.link.purse(self.seat).put(segment) {
            self.give_back(segment.offset);
        }
    }

    /// Has the parent told that it is the parent's again.
    pub fn give_back(&self, offset: u64) {
        self.inner.lock().returns.push(offset);
        self.has_returns.store(true, Ordering::SeqCst);
        // A thread of a task's, which goes on.
        if self.rests.load(Ordering::SeqCst) {
            self.link.bells().poke(self.seat);
        }
    }

    /// The worker is about to sleep; look at [`Holdings::returns`] afterwards. Or it has slept.
    pub(super) fn rest(&self, rests: bool) {
        self.rests.store(rests, Ordering::SeqCst);
    }

    /// What the parent is to be told of.
    pub(super) fn returns(&self) -> Vec<u64> {
        if !self.has_returns.swap(false, Ordering::SeqCst) {
            return Vec::new();
        }
        std::mem::take(&mut self.inner.lock().returns)
    }

    /// Something is born in a segment that was taken.
    pub fn bear(&self, segment: Extent) {
        self.enter(segment, true);
    }

    /// The same, until this is dropped.
    pub fn birth(self: &Arc<Self>, segment: Extent) -> Birth {
        self.bear(segment);
        Birth {
            holdings: self.clone(),
            segment,
        }
    }

    /// What was born there is freed; `false` if nothing was.
    pub fn unbear(&self, offset: u64) -> bool {
        self.let_go(offset)
    }

    /// The segment in which an address of this process lies, if this worker has it, or had it when this process was forked: where it
    /// begins, and its bytes.
    pub fn find(&self, address: usize) -> Option<Extent> {
        let place = self.link.place_in_arena(address)?;
        let (offset, len) = if self.generation == fork::generation() {
            let inner = self.inner.lock();
            let (offset, own) = inner.own.range(..=place).next_back()?;
            (*offset, own.len)
        } else {
            let inherited = self.inherited.lock();
            let (offset, len) = inherited.range(..=place).next_back()?;
            (*offset, *len)
        };
        (place < offset + len).then_some(Extent { offset, len })
    }

    /// Where a range of this process's addresses lies within a segment of this worker's; `None` if it ends outside.
    pub fn offset_in(&self, segment: Extent, address: usize, len: usize) -> Option<u64> {
        let offset = self
            .link
            .place_in_arena(address)?
            .checked_sub(segment.offset)?;
        let end = offset.checked_add(len as u64)?;
        (end <= segment.len).then_some(offset)
    }

    /// Bytes of what was born and lives.
    pub fn born(&self) -> u64 {
        let inner = self.inner.lock();
        let born = inner.own.values().filter(|own| own.born);
        born.map(|own| own.len).sum()
    }

    /// A result names this segment: from now on it is kept as it is; `false` where it can't be handed over.
    pub fn mark(&self, offset: u64) -> bool {
        match self.inner.lock().own.get_mut(&offset) {
            Some(own) if own.state == State::Held && !own.private => {
                own.state = State::Marked;
                true
            }
            _ => false,
        }
    }

    /// It is handed over, and what is dropped of it from here on is nobody's concern. `false` where it can't be.
    pub fn surrender(&self, offset: u64) -> bool {
        let mut inner = self.inner.lock();
        let own = inner.own.get(&offset);
        let can = own.is_some_and(|own| own.state == State::Held && !own.private);
        if can {
            inner.own.remove(&offset);
        }
        can
    }

    /// Every reference of the worker's own is gone: whether nobody else has one, and the segment is the caller's to hand over. If not,
    /// the caller has it kept until [`Holdings::unmark`].
    pub fn is_free_of_views(&self, offset: u64) -> bool {
        let mut inner = self.inner.lock();
        let released = inner
            .own
            .get(&offset)
            .is_some_and(|own| own.state == State::Released && !own.private);
        if released {
            inner.own.remove(&offset);
        }
        released
    }

    /// It is not handed over.
    pub fn unmark(&self, offset: u64) {
        let released = match self.inner.lock().own.get_mut(&offset) {
            Some(own) => std::mem::replace(&mut own.state, State::Held) == State::Released,
            None => false,
        };
        if released {
            self.let_go(offset);
        }
    }

    /// The last view is gone.
    fn let_go(&self, offset: u64) -> bool {
        let own = {
            let mut inner = self.inner.lock();
            let Some(own) = inner.own.get_mut(&offset) else {
                return false;
            };
            if own.state == State::Marked {
                own.state = State::Released;
                return true;
            }
            inner.own.remove(&offset)
        };
        let Some(own) = own else { return false };
        let segment = Extent {
            offset,
            len: own.len,
        };
        if own.private && self.link.rejoin(whole(segment)).is_err() {
            // Nothing that is written there would be seen by others: it is the parent's again when this process ends.
            return true;
        }
        // In a purse of a worker that sleeps it would lie unseen.
        if own.born && !self.rests.load(Ordering::SeqCst) {
            self.put_back(segment);
        } else {
            self.give_back(offset);
        }
        true
    }

    /// Where a range of the arena lies.
    pub fn at(&self, offset: u64, len: u64) -> Option<NonNull<u8>> {
        self.link.lent(offset, len)
    }
}

impl Inherited for Holdings {
    /// All of it becomes this process's own, as other memory is.
    fn prepare(&self) {
        if self.generation != fork::generation() {
            return;
        }
        let held: Vec<Extent> = {
            let mut inner = self.inner.lock();
            let sizes = inner.own.iter().map(|(offset, own)| (*offset, own.len));
            *self.inherited.lock() = sizes.collect();
            let shared = inner.own.iter_mut().filter(|(_, own)| !own.private);
            shared
                .map(|(offset, own)| {
                    own.private = true;
                    Extent {
                        offset: *offset,
                        len: own.len,
                    }
                })
                .collect()
        };
        for segment in held {
            let _ = self.link.isolate(whole(segment));
        }
    }

    /// Nothing of it is the child's to return.
    fn disown(&self) {
        std::mem::forget(self.inner.reset(Inner::default()));
    }
}

/// All pages of what is known of a segment.
fn whole(segment: Extent) -> Extent {
    Extent {
        len: segment.len.next_multiple_of(page_size() as u64),
        ..segment
    }
}

/// A segment that a task came with: somebody has views of it.
#[derive(Debug)]
pub struct Hold {
    holdings: Arc<Holdings>,
    offset: u64,
    len: u64,
}

impl Hold {
    /// Where a range of it lies; `None` if it ends before.
    pub fn at(&self, offset: u64, len: u64) -> Option<NonNull<u8>> {
        let inside = offset.checked_add(len)? <= self.len;
        let start = inside.then_some(self.offset.checked_add(offset)?)?;
        self.holdings.at(start, len)
    }
}

impl Hold {
    /// The same, as slices.
    pub fn lease(self) -> Lease {
        Lease::of(self)
    }
}

impl Lender for Hold {
    fn place(&self, offset: u64, len: u64) -> Option<NonNull<u8>> {
        self.at(offset, len)
    }
}

/// A segment that was taken from the purse, for something that is born in it.
#[derive(Debug)]
pub struct Birth {
    holdings: Arc<Holdings>,
    segment: Extent,
}

impl Birth {
    /// Bytes there are.
    pub fn len(&self) -> u64 {
        self.segment.len
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The same, as slices.
    pub fn lease(self) -> Lease {
        Lease::of(self)
    }
}

impl Lender for Birth {
    fn place(&self, offset: u64, len: u64) -> Option<NonNull<u8>> {
        let inside = offset.checked_add(len)? <= self.segment.len;
        let start = inside.then_some(self.segment.offset.checked_add(offset)?)?;
        self.holdings.at(start, len)
    }
}

impl Drop for Birth {
    fn drop(&mut self) {
        if self.holdings.generation == fork::generation() {
            self.holdings.let_go(self.segment.offset);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.holdings.generation == fork::generation() {
            self.holdings.let_go(self.offset);
        }
    }
}

#[cfg(test)]
mod tests;
