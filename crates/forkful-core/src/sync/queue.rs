//! A queue of messages in memory that any number of processes share, any of which may be killed at any instruction.
//!
//! Knows: prim, sys, shm, the robust lock and the sleepers beside it. Does not know: what a message is.
//!
//! One sparse file: a page of words, the table of links, and segments that form a circle ([`chain`]). Messages lie in the order in
//! which they were put, each a header of 8 bytes and its content, over as many segments as it takes. Nothing of a message is
//! anywhere else, so a sender may end when its put has returned.
//!
//! # Why no kill breaks it
//!
//! Producers change things under one robust lock, consumers under another. A holder that is killed is replaced by the next one that
//! comes, so what has to be shown is that each prefix of what a holder does leaves a queue.
//!
//! - **One word commits.** `puts` counts messages, and is at once what consumers sleep on. Where the writing goes on after n puts is
//!   stored in `heads[n % 2]` before `puts` becomes n. So `heads[puts % 2]` is right at every instruction; the other one is nobody's.
//!   A producer that is killed before the increment has put nothing: what it wrote lies behind the end and is written over. After it,
//!   the message is there.
//! - **The same for consumers**: `tails[n % 2]` is stored before `gets` becomes n. Killed before: the message is still there, and the
//!   next one gets it. Killed after: it was delivered, to a process that is dead, as it would be one instruction later.
//! - **No kill separates a commit from its wake**: where somebody may be asleep, the kernel does both in one call, which it finishes
//!   ([`Sleepers`]).
//! - **The circle** changes by single stores; see [`chain`].
//! - **Counts of unfinished messages** are no words of their own: `puts - done`, so that a put can't be without being counted.
//!
//! Whoever sleeps holds no lock. What is read from shared memory is checked: a process that writes over it gets others an error
//! ([`Damaged`]) or wrong messages, never an access outside of the file.

mod chain;
mod frame;
mod place;
mod ready;
mod refusal;
mod surplus;
mod unfinished;
mod words;

pub use frame::Message;
pub use refusal::{Damaged, QueueError, Stopped, Tried};

use super::lock::Taken;
use super::owner::Owner;
use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::prim::{AtomicU32, AtomicU64, MODELLED, Ordering};
use crate::shm::{LockCell, Sleepers, Windows};
use crate::sys::{EventFd, crash_point, file_size_limit, out_of_reach, total_memory};
use chain::Chain;
use place::{MOST, Place, SEGMENT};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use words::*;

/// How long one that must not wait for room or messages waits for a lock, which others hold while they copy.
const PATIENCE: Duration = Duration::from_secs(1);

/// A lock that is held, until dropped.
struct Held<'a>(&'a LockCell);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let _ = self.0.release();
    }
}

/// The queue, as one process sees it.
#[derive(Debug)]
pub struct Queue {
    chain: Chain,
    maxsize: u32,
    ready: Option<EventFd>,
}

impl Queue {
    /// An empty one, for at most `maxsize` messages; 0 for any number.
    pub fn create(maxsize: u32) -> io::Result<Queue> {
        // More than the machine's memory can't be used; of what isn't used, only the addresses of links are taken.
        let room = total_memory()
            .next_power_of_two()
            .clamp(16 << 30, u64::from(MOST) * SEGMENT as u64);
        let limit = file_size_limit().unwrap_or(u64::MAX) / 2;
        let segments = room.min(limit) / SEGMENT as u64;
        if segments == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Queue::with(maxsize, segments as usize)
    }

    /// One with room for so many segments.
    pub fn with(maxsize: u32, segments: usize) -> io::Result<Queue> {
        let mut memory =
            Windows::create("forkful-queue", first_window(segments), segments * SEGMENT)?;
        words::declare(&mut memory, segments);
        let queue = Queue {
            chain: Chain::new(memory),
            maxsize,
            ready: if MODELLED {
                None
            } else {
                Some(EventFd::new()?)
            },
        };
        queue.chain.begin();
        let memory = &queue.chain.memory;
        memory
            .at::<AtomicU32>(MAXSIZE)
            .store(maxsize, Ordering::Relaxed);
        // SYNC(queue.made): release
        memory.at::<AtomicU64>(MAGIC).store(OURS, Ordering::Release);
        Ok(queue)
    }

    /// One that another process has made, by its descriptor and the one that can be watched.
    pub fn open(fd: BorrowedFd<'_>, ready: Option<BorrowedFd<'_>>) -> io::Result<Queue> {
        let size = crate::sys::file_size(fd)?;
        let whole = SEGMENT as u64;
        // The first window is what remains: four bytes for each segment, in whole pages.
        let mut segments = size / (whole + 4);
        while segments > 0 && first_window(segments as usize) as u64 + segments * whole > size {
            segments -= 1;
        }
        let first = size - segments * whole;
        if segments == 0
            || segments > u64::from(MOST)
            || first != first_window(segments as usize) as u64
        {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let memory = Windows::open(fd, first as usize)?;
        // SYNC(queue.made): acquire
        if memory.at::<AtomicU64>(MAGIC).load(Ordering::Acquire) != OURS {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let maxsize = memory.at::<AtomicU32>(MAXSIZE).load(Ordering::Relaxed);
        Ok(Queue {
            chain: Chain::new(memory),
            maxsize,
            ready: ready.and_then(out_of_reach).map(EventFd::from),
        })
    }

    /// The descriptor, if there was room for one.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.chain.memory.fd()
    }

    /// For how many messages it has room; 0 for any number.
    pub fn maxsize(&self) -> u32 {
        self.maxsize
    }

    /// Messages that wait.
    pub fn len(&self) -> u32 {
        // The second first: what is put in between makes the number too large by that, not hugely so.
        let gets = self.gets().number();
        difference(self.puts().number(), gets)
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting().is_err()
    }

    /// Whether as many wait as may.
    pub fn is_full(&self) -> bool {
        self.room().is_err()
    }

    /// Who died last with one of its locks in hand.
    pub fn owner_died(&self) -> Option<Owner> {
        Owner::from_word(
            self.chain
                .memory
                .at::<AtomicU64>(DIED)
                .load(Ordering::Relaxed),
        )
    }

    /// Puts a message, if that can be done this moment.
    pub fn try_put(&self, message: &Message<'_>) -> Result<Tried<()>, QueueError> {
        if self.is_full() {
            return Ok(Tried::NotNow);
        }
        match self.try_hold(PRODUCER_LOCK) {
            // To find memory takes long.
            Some(_) if self.is_watched() || self.outgrows(message) => Ok(Tried::Busy),
            Some(held) => self.put_under(held, message),
            None => Ok(Tried::Busy),
        }
    }

    /// Puts a message, as soon as there is room.
    pub fn put<E>(
        &self,
        message: &Message<'_>,
        deadline: Deadline,
        check: impl FnMut() -> Result<(), E>,
    ) -> Result<(), Stopped<E>> {
        let put = self.put_in_time(message, deadline, check);
        if put.is_err() && !self.is_full() {
            // Whoever took a message may have woken this one for the room.
            self.gets().wake_another();
        }
        put
    }

    fn put_in_time<E>(
        &self,
        message: &Message<'_>,
        deadline: Deadline,
        mut check: impl FnMut() -> Result<(), E>,
    ) -> Result<(), Stopped<E>> {
        let lock = patience(deadline);
        loop {
            if self.is_full() {
                self.gets().wait(|_| self.room(), deadline, &mut check)?;
            }
            let held = self.hold(PRODUCER_LOCK, lock, &mut check)?;
            if self.outgrows(message) {
                self.let_others_take();
            }
            if let Tried::Done(done) = self.put_under(held, message)? {
                return Ok(done);
            }
            if deadline.passed() {
                return Err(Stopped::TimedOut);
            }
        }
    }

    fn put_under(&self, held: Held<'_>, message: &Message<'_>) -> Result<Tried<()>, QueueError> {
        let (puts, chain) = (self.puts(), &self.chain);
        let before = puts.number();
        let head = chain.place(self.spot(PRODUCERS, before))?;
        if self.is_full() {
            return Ok(Tried::NotNow);
        }
        let after = match chain.write(head, || self.tail(), message) {
            Ok(after) => after,
            Err(error) => {
                self.shed_all(head);
                return Err(error);
            }
        };
        crash_point("queue.written");
        let next = words::after(before);
        // SYNC(queue.head): release
        self.spot(PRODUCERS, next)
            .store(after.word(), Ordering::Release);
        crash_point("queue.before_put");
        // SYNC(queue.put): release
        step(puts);
        crash_point("queue.put");
        if after.since(head) > 0 {
            // The message is there, whatever comes of this.
            let _ = self.shed_some(after);
        }
        let watched = self.is_watched();
        drop(held);
        if watched {
            self.show();
        }
        Ok(Tried::Done(()))
    }

    /// Takes the next message, if that can be done this moment: its kind, and its content behind what `content` has. One of more than
    /// `most` bytes counts as busy: copying it takes long.
    pub fn try_get(&self, content: &mut Vec<u8>, most: usize) -> Result<Tried<u8>, QueueError> {
        match self.try_hold(CONSUMER_LOCK) {
            Some(_) if self.is_watched() => Ok(Tried::Busy),
            Some(held) => self.get_under(held, content, most),
            None => Ok(Tried::Busy),
        }
    }

    /// Takes the next message, as soon as there is one.
    pub fn get<E>(
        &self,
        content: &mut Vec<u8>,
        deadline: Deadline,
        check: impl FnMut() -> Result<(), E>,
    ) -> Result<u8, Stopped<E>> {
        let got = self.get_in_time(content, deadline, check);
        if got.is_err() && !self.is_empty() {
            // Whoever put the message may have woken this one for it.
            self.puts().wake_another();
        }
        got
    }

    fn get_in_time<E>(
        &self,
        content: &mut Vec<u8>,
        deadline: Deadline,
        mut check: impl FnMut() -> Result<(), E>,
    ) -> Result<u8, Stopped<E>> {
        let lock = patience(deadline);
        loop {
            if self.is_empty() {
                self.puts().wait(|_| self.waiting(), deadline, &mut check)?;
            }
            let held = self.hold(CONSUMER_LOCK, lock, &mut check)?;
            if let Tried::Done(done) = self.get_under(held, content, usize::MAX)? {
                return Ok(done);
            }
            if deadline.passed() {
                return Err(Stopped::TimedOut);
            }
        }
    }

    fn get_under(
        &self,
        held: Held<'_>,
        content: &mut Vec<u8>,
        most: usize,
    ) -> Result<Tried<u8>, QueueError> {
        let gets = self.gets();
        let before = gets.number();
        // While more are known to wait, the word is left alone that producers write.
        let seen = self.chain.memory.at::<AtomicU32>(SEEN);
        if seen.load(Ordering::Relaxed) == before {
            // SYNC(queue.put): acquire
            let puts = self.puts().number();
            if puts == before {
                return Ok(Tried::NotNow);
            }
            seen.store(puts, Ordering::Relaxed);
        }
        let tail = self.chain.place(self.spot(CONSUMERS, before))?;
        let waiting = || Ok(self.head()?.distance(tail));
        let had = content.len();
        let (kind, after) = match self.chain.read(tail, content, most, waiting) {
            Ok(Some(read)) => read,
            Ok(None) => return Ok(Tried::Busy),
            Err(error) => {
                content.truncate(had);
                return Err(error);
            }
        };
        crash_point("queue.read");
        let next = words::after(before);
        // SYNC(queue.tail): release
        self.spot(CONSUMERS, next)
            .store(after.word(), Ordering::Release);
        crash_point("queue.before_get");
        step(gets);
        crash_point("queue.got");
        let watched = self.is_watched();
        drop(held);
        if watched {
            self.show();
        }
        if after.since(tail) > 0 {
            self.tidy();
        }
        Ok(Tried::Done(kind))
    }

    /// Waits until a message waits, and takes none.
    pub fn poll<E>(
        &self,
        deadline: Deadline,
        check: impl FnMut() -> Result<(), E>,
    ) -> Result<(), WaitError<E>> {
        self.puts().wait(|_| self.waiting(), deadline, check)?;
        // A put wakes one, and this one leaves the message to those who would take it.
        self.puts().wake_another();
        Ok(())
    }

    /// That there is room for a message; or how many have been taken, without any of which being taken there stays none.
    #[inline]
    fn room(&self) -> Result<(), u32> {
        if self.maxsize == 0 {
            return Ok(());
        }
        let gets = self.gets().number();
        let waiting = difference(self.puts().number(), gets);
        if waiting >= self.maxsize {
            Err(gets)
        } else {
            Ok(())
        }
    }

    /// That a message waits; or how many have been put, without any of which being put there stays none.
    fn waiting(&self) -> Result<(), u32> {
        let gets = self.gets().number();
        let puts = self.puts().number();
        if puts == gets { Err(puts) } else { Ok(()) }
    }

    /// Where the writing goes on.
    fn head(&self) -> Result<Place, Damaged> {
        self.committed(PRODUCERS, self.puts())
    }

    /// Where the reading goes on: then, or somewhat earlier.
    fn tail(&self) -> Result<Place, Damaged> {
        self.committed(CONSUMERS, self.gets())
    }

    /// The position that is committed by a word which others may advance meanwhile.
    fn committed(&self, spots: usize, word: &Sleepers) -> Result<Place, Damaged> {
        loop {
            let now = word.number();
            // Once one step further is committed, this spot may be written for the next one: whoever reads that also sees the step.
            // SYNC(queue.head): acquire
            // SYNC(queue.tail): acquire
            let place = self.chain.place(self.spot(spots, now));
            if word.number() == now {
                return place;
            }
        }
    }

    fn spot(&self, spots: usize, count: u32) -> &AtomicU64 {
        self.chain.memory.at(spots + 8 * (count & 1) as usize)
    }

    /// Takes a lock that nobody holds.
    fn try_hold(&self, lock: usize) -> Option<Held<'_>> {
        let cell: &LockCell = self.chain.memory.at(lock);
        cell.try_acquire(Owner::me()).map(|_| Held(cell))
    }

    fn hold<E>(
        &self,
        lock: usize,
        deadline: Deadline,
        check: impl FnMut() -> Result<(), E>,
    ) -> Result<Held<'_>, Stopped<E>> {
        let cell: &LockCell = self.chain.memory.at(lock);
        let taken = cell.acquire(Owner::me(), deadline, check)?;
        let held = Held(cell);
        match taken {
            Taken::Clean => Ok(held),
            Taken::Recovered(owner) => {
                self.chain
                    .memory
                    .at::<AtomicU64>(DIED)
                    .store(owner.word(), Ordering::Relaxed);
                if lock == PRODUCER_LOCK {
                    let head = self.head().map_err(QueueError::from)?;
                    self.chain.rebuild(head)?;
                    self.shed_all(head);
                }
                drop(held);
                // What it committed, it may not have shown.
                if lock != READY_LOCK && self.is_watched() {
                    self.show();
                }
                Err(Stopped::Recovered(owner))
            }
        }
    }

    fn puts(&self) -> &Sleepers {
        self.chain.memory.at(PUTS)
    }

    fn gets(&self) -> &Sleepers {
        self.chain.memory.at(GETS)
    }
}

/// How long to wait for a lock: as long as for anything else, and a moment where that is not at all.
fn patience(deadline: Deadline) -> Deadline {
    if deadline.passed() {
        Deadline::after(PATIENCE)
    } else {
        deadline
    }
}

#[cfg(test)]
mod tests;
