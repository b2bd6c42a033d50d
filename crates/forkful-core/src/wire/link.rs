//! The link itself: one mapped region, and the private copy of its shape by which both sides find their way.

use super::shape::{Layout, PAGE, SLOT};
use super::{
    Bells, Garbage, Library, LinkError, OutcomeReader, OutcomeWriter, Page, Purse, Shape, Tasks,
    Token,
};
use crate::prim::{AtomicU64, Ordering};
use crate::shm::{Bed, Cargo, Control, Entry, Extent, Header, Meters, Region, SlotHead, place};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::Arc;
// Private to one process and changed once, so no model looks at it.
use std::sync::atomic::AtomicBool;

/// What the hatch's word says but for reasons why there is none: nothing yet, or that it is open.
const UNKNOWN: u32 = 0;
const OPEN: u32 = 1;

/// What a pool's parent and workers share.
#[derive(Debug)]
pub struct Link {
    region: Region,
    shape: Shape,
    layout: Layout,
    /// The parent's own word for it: the shared one is any worker's to overwrite.
    closed: AtomicBool,
}

impl Link {
    /// Makes one, in the parent.
    pub fn create(shape: Shape) -> io::Result<Link> {
        let layout = shape.layout().ok_or(io::ErrorKind::InvalidInput)?;
        let mut region = Region::create("forkful-link", layout.total as u64)?;
        shape.write(&mut region, &layout);
        let link = Link {
            region,
            shape,
            layout,
            closed: AtomicBool::new(false),
        };
        link.set_refill(u64::MAX);
        Ok(link)
    }

    /// Maps one that another process made, in a worker that did not inherit the mapping. The descriptor may be closed then.
    pub fn open(fd: BorrowedFd<'_>) -> Result<Link, LinkError> {
        let region = Region::open(fd)?;
        let (shape, layout) = Shape::read(&region)?;
        Ok(Link {
            region,
            shape,
            layout,
            closed: AtomicBool::new(false),
        })
    }

    /// The descriptor, in the process that made the link.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.region.fd()
    }

    /// This side's copy of the shape.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The slots.
    #[inline]
    pub fn tasks(&self) -> Tasks<'_> {
        Tasks::new(self)
    }

    /// Sleeping and waking.
    #[inline]
    pub fn bells(&self) -> Bells<'_> {
        Bells::new(self)
    }

    /// The end of an outcome ring that its worker writes. Each worker process makes it once.
    pub fn writer(self: &Arc<Link>, worker: u32) -> OutcomeWriter {
        OutcomeWriter::new(self.clone(), worker)
    }

    /// The end of an outcome ring that the parent reads. The parent makes it once per place.
    pub fn reader(self: &Arc<Link>, worker: u32) -> OutcomeReader {
        OutcomeReader::new(self.clone(), worker)
    }

    /// The parent's end of the library. The parent makes it once.
    pub fn library(self: &Arc<Link>) -> Library {
        Library::new(self.clone())
    }

    /// What a worker tells of itself.
    pub fn page(&self, worker: u32) -> Page<'_> {
        Page::new(self.meters(worker))
    }

    /// Parent: a claim of this position, or of a later one, shall be told, once; `u64::MAX` for none. Look at the position
    /// afterwards: it may have been claimed just before.
    pub fn set_refill(&self, position: u64) {
        self.control().refill_at.store(position, Ordering::SeqCst);
    }

    /// Worker, after a claim: whether it is this claim that has to be told. One claim gets yes.
    #[inline]
    pub fn refill_reached(&self, position: u64) -> bool {
        let refill_at = &self.control().refill_at;
        let at = refill_at.load(Ordering::SeqCst);
        position >= at
            && refill_at
                .compare_exchange(at, u64::MAX, Ordering::SeqCst, Ordering::Relaxed)
                .is_ok()
    }

    /// Parent: workers shall leave when they find nothing to claim. Wake them afterwards.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        // SYNC(link.closing): release
        self.header().closing.store(1, Ordering::SeqCst);
    }

    /// Parent: whether it has called that.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Worker: from now on this process can't write to what only the parent writes: the header, the library, large payloads. A
    /// task's stray write there ends this process instead of hitting all others.
    pub fn protect(&self) {
        self.region.protect(0, self.layout.control);
        let own = self.layout.arena - self.layout.entries;
        self.region.protect(self.layout.entries, own);
    }

    /// Parent, after garbage was found: writes anew what only it has to say. The library's and the slots' words are others'.
    pub fn restore(&self, background: bool) {
        self.shape.write_header(&self.region);
        self.header()
            .closing
            .store(self.is_closed().into(), Ordering::SeqCst);
        self.bells().arm_background(background);
        self.set_refill(u64::MAX);
    }

    /// Whether the parent wants its workers to leave.
    #[inline]
    pub fn is_closing(&self) -> bool {
        // SYNC(link.closing): acquire
        self.header().closing.load(Ordering::SeqCst) != 0
    }

    /// Worker: it is about to ask the parent for the hatch, and takes no older answer.
    pub fn ask_hatch(&self) {
        self.control().hatch.store(UNKNOWN, Ordering::Relaxed);
    }

    /// Parent: the answer, the hatch's name and this pool's key, or why there is none, in the kernel's number.
    pub fn answer_hatch(&self, answer: Result<(Token, Token), i32>) {
        let state = match answer {
            Ok((name, key)) => {
                let bytes: Vec<u8> = name.0.into_iter().chain(key.0).collect();
                for (word, bytes) in self.control().hatch_words.iter().zip(bytes.chunks_exact(8)) {
                    let bytes = bytes.try_into().unwrap_or_default();
                    word.store(u64::from_ne_bytes(bytes), Ordering::Relaxed);
                }
                OPEN
            }
            Err(errno) => OPEN + errno.unsigned_abs().max(1),
        };
        // SYNC(link.hatch): release
        self.control().hatch.store(state, Ordering::Release);
    }

    /// Worker: what the parent has answered, if it has.
    pub fn hatch(&self) -> Option<Result<(Token, Token), i32>> {
        // SYNC(link.hatch): acquire
        match self.control().hatch.load(Ordering::Acquire) {
            UNKNOWN => None,
            OPEN => {
                let mut bytes = [[0; 16]; 2];
                let words = self.control().hatch_words.iter();
                for (word, place) in words.zip(bytes.as_flattened_mut().chunks_exact_mut(8)) {
                    place.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
                }
                let [name, key] = bytes.map(Token);
                Some(Ok((name, key)))
            }
            errno => Some(Err((errno - OPEN) as i32)),
        }
    }

    /// Parent: copies a payload into the area, at an offset from its allocator.
    ///
    /// # Panics
    /// If it would leave the area, which an [`Extent`](crate::shm::Extent) of an area of the same size does not.
    pub fn write_area(&self, offset: u64, bytes: &[u8]) {
        let offset = self.area_offset(offset, bytes.len() as u64);
        self.region
            .write(offset.expect("outside of the area"), bytes);
    }

    /// Appends bytes of the area to `bytes`.
    pub fn read_area(&self, offset: u64, len: u64, bytes: &mut Vec<u8>) -> Result<(), Garbage> {
        let at = self.area_offset(offset, len).ok_or(Garbage)?;
        self.region.read(at, len as usize, bytes);
        Ok(())
    }

    /// Parent: gives whole pages of the area back to the kernel.
    pub fn discard(&self, offset: u64, len: u64) {
        if let Some(at) = self.area_offset(offset, len) {
            self.region.discard(at, len as usize);
        }
    }

    /// Copies a cargo into a segment.
    ///
    /// # Panics
    /// If the arena ends before the cargo does.
    pub fn stow(&self, segment: u64, cargo: &dyn Cargo) {
        let all = self.arena_offset(segment, cargo.room());
        let cold = all.is_some_and(|at| self.region.is_cold(at, cargo.room() as usize));
        let mut end = 0;
        for part in cargo.parts() {
            let (start, stop) = place(end, part);
            let at = self.arena_offset(segment + start, part.len() as u64);
            let at = at.expect("outside of the arena");
            if cold {
                self.region.load_cold(at, part);
            } else {
                self.region.load(at, part);
            }
            end = stop;
        }
    }

    /// Where a range of the arena lies in this process; `None` if it does not lie there.
    pub fn lent(&self, offset: u64, len: u64) -> Option<NonNull<u8>> {
        let at = self.arena_offset(offset, len)?;
        Some(self.region.address(at, len as usize))
    }

    /// The offset in the arena of an address of this process.
    pub fn place_in_arena(&self, address: usize) -> Option<u64> {
        let offset = self.region.offset_of(address)?;
        let place = offset.checked_sub(self.layout.arena)? as u64;
        (place < self.shape.arena).then_some(place)
    }

    /// Gives whole pages of the arena back to the kernel.
    pub fn discard_segment(&self, extent: Extent) {
        if let Some(at) = self.arena_offset(extent.offset, extent.len) {
            self.region.discard(at, extent.len as usize);
        }
    }

    /// The same where this process has its own copy, which stays.
    pub fn punch(&self, extent: Extent) {
        if let Some(at) = self.arena_offset(extent.offset, extent.len) {
            self.region.punch(at, extent.len as usize);
        }
    }

    /// Before a fork: a segment becomes this process's own, as other memory is.
    pub fn isolate(&self, extent: Extent) -> io::Result<()> {
        let at = self.arena_offset(extent.offset, extent.len);
        self.region
            .isolate(at.ok_or(io::ErrorKind::InvalidInput)?, extent.len as usize)
    }

    /// Undoes that: it shows what others see again.
    pub fn rejoin(&self, extent: Extent) -> io::Result<()> {
        let at = self.arena_offset(extent.offset, extent.len);
        self.region
            .rejoin(at.ok_or(io::ErrorKind::InvalidInput)?, extent.len as usize)
    }

    /// A worker's purse.
    pub fn purse(&self, worker: u32) -> Purse<'_> {
        Purse::new(self.bed(worker), self.shape.arena)
    }

    fn arena_offset(&self, offset: u64, len: u64) -> Option<usize> {
        let inside = offset.checked_add(len)? <= self.shape.arena;
        inside.then(|| self.layout.arena + offset as usize)
    }

    fn area_offset(&self, offset: u64, len: u64) -> Option<usize> {
        let inside = offset.checked_add(len)? <= self.shape.area;
        inside.then(|| self.layout.area + offset as usize)
    }

    #[inline]
    pub(super) fn region(&self) -> &Region {
        &self.region
    }

    #[inline]
    pub(super) fn layout(&self) -> &Layout {
        &self.layout
    }

    #[inline]
    pub(super) fn header(&self) -> &Header {
        self.region.at(0)
    }

    #[inline]
    pub(super) fn control(&self) -> &Control {
        self.region.at(self.layout.control)
    }

    /// A slot's offset, and the words at its start.
    #[inline]
    pub(super) fn slot(&self, index: u32) -> (usize, &SlotHead) {
        let offset = self.layout.slots + index as usize * SLOT;
        (offset, self.region.at(offset))
    }

    #[inline]
    pub(super) fn bed(&self, worker: u32) -> &Bed {
        self.region.at(self.page_offset(worker))
    }

    fn meters(&self, worker: u32) -> &Meters {
        self.region.at(self.page_offset(worker) + size_of::<Bed>())
    }

    #[inline]
    fn page_offset(&self, worker: u32) -> usize {
        assert!(worker < self.shape.workers, "no such worker");
        self.layout.pages + worker as usize * PAGE
    }

    /// Where a worker's ring starts.
    pub(super) fn ring_offset(&self, worker: u32) -> usize {
        assert!(worker < self.shape.workers, "no such worker");
        self.layout.rings + worker as usize * self.shape.ring as usize
    }

    pub(super) fn entry_words(&self, number: u32) -> &Entry {
        self.region
            .at(self.layout.entries + number as usize * size_of::<Entry>())
    }

    pub(super) fn entry_count(&self) -> &AtomicU64 {
        &self.header().entries
    }
}

const _: () = assert!(size_of::<Bed>() + size_of::<Meters>() <= PAGE || crate::prim::MODELLED);

#[cfg(test)]
mod tests;
