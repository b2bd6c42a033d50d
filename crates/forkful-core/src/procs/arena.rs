//! The books of the arena: who has which segment, and how each comes back.
//!
//! ```text
//!                 loaded                 a worker has it                 an outcome hands it over
//! free  ------------------->  Task  ------------------------->  Worker  -------------------------->  Parent
//!       <-------------------        <-------------------------          <--------------------------
//!        withdrawn, or its worker    returned, or its worker died                the last view died
//!        died before it began
//! ```
//!
//! A worker may also be given segments ahead, in its purse. What it says of segments is looked up here: what is not its own is garbage.
//!
//! A fork shares what other memory would make private. So before one, each segment with a living view is made private to this process
//! (in `forks`): copied page by page, once, and lent no more; child and parent then have it as they have all memory.

mod forks;
mod loan;

pub use loan::Loan;

use crate::fork;
use crate::shm::Segments;
use crate::stats::Counter;
use crate::sys::{Lock, Stamp};
use crate::wire::{Extent, Garbage, Link, PURSE};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A task that is being loaded has no position yet.
const NOWHERE: u64 = u64::MAX;

/// How long after the last use free segments keep their pages, in nanoseconds: longer than a program thinks between two tasks.
pub const WARMTH_NANOS: u64 = 2_000_000_000;

/// How long is waited between two looks at whether a fork has copied what it copies.
const PAUSE: Duration = Duration::from_micros(200);

/// Who has a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// A task on its way, or the worker that runs it.
    Task(u64),
    /// A worker.
    Worker(u32),
    /// A view in this process.
    Parent(View),
}

/// How a view sees its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum View {
    /// As it is lent.
    Lent,
    /// A fork is about to make it private.
    Moving,
    /// As this process's own memory.
    Private,
}

#[derive(Debug)]
struct Books {
    segments: Segments,
    out: HashMap<u64, (u64, Holder)>,
}

/// What the books say, and what has been counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Segments that somebody has.
    pub segments: usize,
    /// Bytes of them.
    pub lent: u64,
    /// Bytes of free segments that have pages.
    pub warm: u64,
    /// Segments that views of this process have.
    pub views: usize,
    /// Results that came as they lay.
    pub handed: u64,
    /// Arguments and results that were copied into a segment.
    pub copied: u64,
    /// Those for which there was none.
    pub inside: u64,
}

/// The arena of one pool. Views keep it, and its memory, whatever became of the pool.
pub struct Arena {
    link: Arc<Link>,
    books: Lock<Books>,
    cap: u64,
    /// Somebody waits for a segment.
    wanted: AtomicBool,
    /// Tells him.
    freed: Box<dyn Fn() + Send + Sync>,
    /// How often one has become free.
    frees: AtomicU64,
    /// When it was used last.
    used: AtomicU64,
    /// Somebody will look in time whether its free pages are still warm.
    cooling: AtomicBool,
    /// Counts.
    pub(super) handed: Counter,
    pub(super) copied: Counter,
    pub(super) inside: Counter,
    /// Its pool is over: nobody has a use for free pages.
    retired: AtomicBool,
    /// Sends him.
    cooler: Box<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena")
            .field("standing", &self.standing())
            .finish_non_exhaustive()
    }
}

impl Arena {
    /// All of it free; `cap` bytes may be used at a time. `freed` is called when there is something for whoever found nothing, `cooler`
    /// when free pages are to be looked at after a while.
    pub fn new(
        link: Arc<Link>,
        cap: u64,
        freed: Box<dyn Fn() + Send + Sync>,
        cooler: Box<dyn Fn() + Send + Sync>,
    ) -> Arc<Arena> {
        let len = link.shape().arena;
        let arena = Arc::new(Arena {
            books: Lock::new(Books {
                segments: Segments::new(len, cap.min(len)),
                out: HashMap::new(),
            }),
            cap: cap.min(len),
            link,
            wanted: AtomicBool::new(false),
            freed,
            frees: AtomicU64::new(0),
            used: AtomicU64::new(0),
            cooling: AtomicBool::new(false),
            retired: AtomicBool::new(false),
            cooler,
            handed: Counter::default(),
            copied: Counter::default(),
            inside: Counter::default(),
        });
        fork::register(&arena);
        arena
    }

    /// How often a segment has become free.
    pub(super) fn frees(&self) -> u64 {
        self.frees.load(Ordering::SeqCst)
    }

    /// Bytes that may be used at a time.
    pub fn cap(&self) -> u64 {
        self.cap
    }

    /// A segment for a task that is to be loaded. `past_cap`: where nothing else can be done.
    pub(super) fn alloc(&self, len: u64, past_cap: bool) -> Option<Extent> {
        let holder = Holder::Task(NOWHERE);
        if let Some(found) = self.alloc_for(len, past_cap, holder) {
            return Some(found);
        }
        // Before the second look: who frees one after it tells.
        self.wanted.store(true, Ordering::SeqCst);
        self.empty_purses();
        self.alloc_for(len, past_cap, holder)
    }

    /// It was used: somebody shall look after a while whether it still is.
    fn notice(&self) {
        self.used.store(Stamp::now().nanos(), Ordering::Relaxed);
        if !self.cooling.swap(true, Ordering::SeqCst) {
            (self.cooler)();
        }
    }

    fn alloc_for(&self, len: u64, past_cap: bool, holder: Holder) -> Option<Extent> {
        self.notice();
        let mut gone = Vec::new();
        let found = {
            let mut books = self.books.lock();
            let found = books.segments.alloc(len, past_cap, &mut gone);
            if let Some(segment) = found {
                books.out.insert(segment.offset, (segment.len, holder));
            }
            found
        };
        self.chill(gone);
        found
    }

    /// Gives pages back to the kernel, and the addresses to the allocator.
    fn chill(&self, gone: Vec<Extent>) {
        for extent in gone {
            self.link.discard_segment(extent);
            self.books.lock().segments.chill(extent);
        }
    }

    /// A loaded task has entered the ring at this position, or (`None`) left it again without having begun.
    pub(super) fn place(&self, offset: u64, position: Option<u64>) {
        if let Some((_, holder)) = self.books.lock().out.get_mut(&offset) {
            *holder = Holder::Task(position.unwrap_or(NOWHERE));
        }
    }

    /// A task is not run, or not again with this segment: it is free, if the task has it still.
    pub(super) fn withdraw(&self, offset: u64, position: Option<u64>) {
        self.free_if(offset, |holder| {
            holder == Holder::Task(position.unwrap_or(NOWHERE))
        });
    }

    /// The task's outcome has come, and its worker may have views of the segment still.
    pub(super) fn leave(&self, offset: u64, position: u64, worker: u32) {
        if let Some((_, holder)) = self.books.lock().out.get_mut(&offset)
            && *holder == Holder::Task(position)
        {
            *holder = Holder::Worker(worker);
        }
    }

    /// Bytes that a worker has made something in, and not handed over.
    pub(super) fn kept_by(&self, worker: u32) -> u64 {
        let spare: u64 = self
            .link
            .purse(worker)
            .content()
            .map(|segment| segment.len)
            .sum();
        let books = self.books.lock();
        let its = books.out.values();
        let its = its.filter(|(_, holder)| *holder == Holder::Worker(worker));
        its.map(|(len, _)| len).sum::<u64>().saturating_sub(spare)
    }

    /// The position of the task that has this segment, if one has.
    pub(super) fn task_of(&self, offset: u64) -> Option<u64> {
        match self.books.lock().out.get(&offset)?.1 {
            Holder::Task(position) => Some(position),
            _ => None,
        }
    }

    /// A worker says that it has no view of this any more; `running` is the position of a task of its. What is not its own is garbage.
    pub(super) fn returned(
        &self,
        worker: u32,
        offset: u64,
        running: Option<u64>,
    ) -> Result<(), Garbage> {
        let own = |holder| match holder {
            Holder::Worker(owner) => owner == worker,
            Holder::Task(position) => running == Some(position),
            Holder::Parent(_) => false,
        };
        if self.free_if(offset, own) {
            Ok(())
        } else {
            Err(Garbage)
        }
    }

    /// An outcome hands these over: each must be its worker's, or its task's own.
    pub(super) fn accept(
        self: &Arc<Self>,
        worker: u32,
        position: u64,
        offsets: &[u64],
    ) -> Result<Vec<Loan>, Garbage> {
        self.notice();
        let mut books = self.books.lock();
        let mut loans = Vec::with_capacity(offsets.len());
        for &offset in offsets {
            match books.out.get_mut(&offset) {
                Some((len, holder))
                    if *holder == Holder::Worker(worker) || *holder == Holder::Task(position) =>
                {
                    *holder = Holder::Parent(View::Lent);
                    loans.push(Loan {
                        arena: self.clone(),
                        segment: Extent { offset, len: *len },
                        generation: fork::generation(),
                    });
                }
                _ => {
                    drop(books);
                    return Err(Garbage);
                }
            }
        }
        Ok(loans)
    }

    /// A worker has ended a task, and may have put something into its purse: somebody will look in time whether it is used again.
    pub(super) fn glance(&self, worker: u32) {
        if !self.cooling.load(Ordering::Relaxed)
            && self.link.purse(worker).content().next().is_some()
        {
            self.notice();
        }
    }

    /// A worker wants a segment, or has used one of this size: it finds one in its purse, if there is any to be had.
    pub(super) fn fill_purse(&self, worker: u32, len: u64) {
        let purse = self.link.purse(worker);
        if purse.content().any(|segment| segment.suits(len)) {
            return;
        }
        let Some(segment) = self.alloc_for(len, false, Holder::Worker(worker)) else {
            return;
        };
        if purse.content().count() >= PURSE
            && let Some(other) = purse.take(|_| true)
        {
            // What lies there is for something that it did before.
            self.free_if(other.offset, |holder| holder == Holder::Worker(worker));
        }
        if !purse.put(segment) {
            self.free_if(segment.offset, |_| true);
        }
    }

    /// A worker is gone.
    pub(super) fn bury(&self, worker: u32) {
        self.link.purse(worker).clear();
        let its: Vec<u64> = {
            let books = self.books.lock();
            let out = books.out.iter();
            out.filter(|(_, (_, holder))| *holder == Holder::Worker(worker))
                .map(|(offset, _)| *offset)
                .collect()
        };
        for offset in its {
            self.free_if(offset, |holder| holder == Holder::Worker(worker));
        }
    }

    fn free_if(&self, offset: u64, own: impl FnOnce(Holder) -> bool) -> bool {
        let mut gone = Vec::new();
        {
            let mut books = self.books.lock();
            let Some(&(len, holder)) = books.out.get(&offset) else {
                return false;
            };
            if !own(holder) {
                return false;
            }
            books.out.remove(&offset);
            books.segments.free(Extent { offset, len }, false);
            // Half of what there may be is for whoever comes next.
            let retired = self.retired.load(Ordering::SeqCst);
            let keep = if retired { 0 } else { self.cap / 2 };
            while books.segments.warm() > keep {
                gone.extend(books.segments.take_down());
            }
        }
        self.chill(gone);
        self.tell();
        self.notice();
        true
    }

    /// One is free: somebody may wait for it.
    fn tell(&self) {
        self.frees.fetch_add(1, Ordering::SeqCst);
        if self.wanted.swap(false, Ordering::SeqCst) {
            (self.freed)();
        }
    }

    /// A view's end.
    fn end(&self, segment: Extent) {
        let lent = Holder::Parent(View::Lent);
        loop {
            if self.free_if(segment.offset, |holder| holder == lent) {
                return;
            }
            match self.books.lock().out.get(&segment.offset) {
                Some((_, Holder::Parent(View::Private))) => break,
                // Another thread forks, and copies.
                Some((_, Holder::Parent(View::Moving))) => {}
                _ => return,
            }
            std::thread::sleep(PAUSE);
        }
        if self.link.rejoin(segment).is_err() {
            // Nobody sees here what others write there: it stays out.
            return;
        }
        let mut books = self.books.lock();
        if books.out.remove(&segment.offset).is_some() {
            books.segments.free(segment, true);
        }
        drop(books);
        self.tell();
        self.notice();
    }

    /// Gives all free pages back, if nobody has used any for a while; when to look again.
    pub(super) fn cool(&self, now: u64) -> Option<u64> {
        if !self.cooling.load(Ordering::SeqCst) {
            return None;
        }
        let end = self.used.load(Ordering::Relaxed) + WARMTH_NANOS;
        if now < end {
            return Some(end);
        }
        // What comes back from the purses counts as used, and so does what others use meanwhile: then somebody looks once more.
        self.empty_purses();
        self.cooling.store(false, Ordering::SeqCst);
        self.trim();
        None
    }

    /// Its pool is over. Views may live on, and what is free gives its pages back, now and later.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::SeqCst);
        self.trim();
    }

    /// Gives all free pages back.
    pub fn trim(&self) {
        let mut gone = Vec::new();
        {
            let mut books = self.books.lock();
            while let Some(extent) = books.segments.take_down() {
                gone.push(extent);
            }
        }
        self.chill(gone);
    }

    /// Has workers' purses emptied, as far as they have not taken what lies there.
    pub(super) fn empty_purses(&self) {
        for worker in 0..self.link.shape().workers {
            // No more often than there are places: a worker may put something in at any time.
            for _ in 0..PURSE {
                let Some(segment) = self.link.purse(worker).take(|_| true) else {
                    break;
                };
                self.free_if(segment.offset, |holder| holder == Holder::Worker(worker));
            }
        }
    }

    /// What the books say now.
    pub fn standing(&self) -> Standing {
        let books = self.books.lock();
        let views = books
            .out
            .values()
            .filter(|(_, holder)| matches!(holder, Holder::Parent(_)));
        Standing {
            segments: books.out.len(),
            lent: books.segments.out(),
            warm: books.segments.warm(),
            views: views.count(),
            handed: self.handed.get(),
            copied: self.copied.get(),
            inside: self.inside.get(),
        }
    }
}

#[cfg(test)]
mod tests;
