//! How large a link's parts are, and so where each of them lies.

use crate::prim::{AtomicU64, Ordering};
use crate::shm::{Bed, Control, Entry, Header, Region, SlotHead};
use crate::wire::library::MOST_ENTRIES;
use thiserror::Error;

/// Workers that one link serves at most.
pub const MOST_WORKERS: u32 = 1024;

/// Bytes per slot.
pub const SLOT: usize = 256;
/// Bytes per worker's page, and the unit in which parts are placed.
pub const PAGE: usize = 4096;

const MAGIC: u64 = u64::from_le_bytes(*b"forkful\0");
const VERSION: u32 = 3;

/// Sizes, chosen by the parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Workers, from 1 to [`MOST_WORKERS`].
    pub workers: u32,
    /// Slots for tasks: a power of two, at most 2^20.
    pub slots: u32,
    /// Bytes of each worker's outcome ring: a power of two from 128 bytes to 1 GiB.
    pub ring: u32,
    /// Bytes for library entries.
    pub library: u64,
    /// Bytes for payloads that do not fit into a slot.
    pub area: u64,
    /// Bytes for segments that are lent.
    pub arena: u64,
}

/// Why a descriptor is no link.
#[derive(Debug, Error)]
pub enum LinkError {
    /// It can't be mapped.
    #[error("the link can't be mapped: {0}")]
    Map(#[from] std::io::Error),
    /// It holds something else.
    #[error("the descriptor holds no link")]
    Foreign,
    /// It was made by another version of this library.
    #[error("the link has version {found}, and this library speaks version {VERSION}")]
    Version {
        /// What it says.
        found: u32,
    },
    /// Its header and its size contradict each other.
    #[error("the link's header does not match its size of {size} bytes")]
    Size {
        /// What the file has.
        size: u64,
    },
}

/// Where the parts lie, in bytes from the start.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    pub control: usize,
    pub pages: usize,
    pub slots: usize,
    pub rings: usize,
    pub entries: usize,
    pub library: usize,
    pub area: usize,
    pub arena: usize,
    pub total: usize,
}

impl Shape {
    /// Bytes of a link of this shape, if there can be one.
    pub fn total(&self) -> Option<u64> {
        self.layout().map(|layout| layout.total as u64)
    }

    /// Places everything; `None` when a size is not allowed, or the sum is too large for this machine's addresses.
    pub(super) fn layout(&self) -> Option<Layout> {
        let allowed = (1..=MOST_WORKERS).contains(&self.workers)
            && self.slots.is_power_of_two()
            && self.slots <= 1 << 20
            && self.ring.is_power_of_two()
            && (128..=1 << 30).contains(&self.ring);
        if !allowed {
            return None;
        }
        let workers = u64::from(self.workers);
        let mut end = 0u64;
        let mut part = |len: u64| {
            let start = usize::try_from(end).ok()?;
            end = end
                .checked_add(len)?
                .checked_next_multiple_of(PAGE as u64)?;
            Some(start)
        };
        part(size_of::<Header>() as u64)?;
        let mut layout = Layout {
            control: part(size_of::<Control>() as u64)?,
            pages: part(workers * PAGE as u64)?,
            slots: part(u64::from(self.slots) * SLOT as u64)?,
            rings: part(workers.checked_mul(self.ring.into())?)?,
            entries: part(MOST_ENTRIES as u64 * size_of::<Entry>() as u64)?,
            library: part(self.library)?,
            area: part(self.area)?,
            arena: part(self.arena)?,
            total: 0,
        };
        // What can be mapped has a length that fits half the addresses.
        layout.total = usize::try_from(end)
            .ok()
            .filter(|total| isize::try_from(*total).is_ok())?;
        Some(layout)
    }

    /// Writes the header of a new region, and declares what models look at.
    pub(super) fn write(&self, region: &mut Region, layout: &Layout) {
        region.place::<Header>(0, 1);
        region.place::<Control>(layout.control, 1);
        for worker in 0..self.workers as usize {
            region.place::<Bed>(layout.pages + worker * PAGE, 1);
        }
        for slot in 0..self.slots as usize {
            region.place::<SlotHead>(layout.slots + slot * SLOT, 1);
        }
        region.place::<AtomicU64>(layout.rings, self.workers as usize * self.ring as usize / 8);
        self.write_header(region);
    }

    /// Writes it once more, over whatever is there now.
    pub(super) fn write_header(&self, region: &Region) {
        let header = region.at::<Header>(0);
        header.version.store(VERSION, Ordering::Relaxed);
        header.workers.store(self.workers, Ordering::Relaxed);
        header.slots.store(self.slots, Ordering::Relaxed);
        header.ring.store(self.ring, Ordering::Relaxed);
        header.library.store(self.library, Ordering::Relaxed);
        header.area.store(self.area, Ordering::Relaxed);
        header.arena.store(self.arena, Ordering::Relaxed);
        header.magic.store(MAGIC, Ordering::Relaxed);
    }

    /// Copies a header out, and believes it if it fits the size that the kernel tells.
    pub(super) fn read(region: &Region) -> Result<(Shape, Layout), LinkError> {
        let size = region.len() as u64;
        if region.len() < PAGE {
            return Err(LinkError::Foreign);
        }
        let header = region.at::<Header>(0);
        if header.magic.load(Ordering::Relaxed) != MAGIC {
            return Err(LinkError::Foreign);
        }
        let found = header.version.load(Ordering::Relaxed);
        if found != VERSION {
            return Err(LinkError::Version { found });
        }
        let shape = Shape {
            workers: header.workers.load(Ordering::Relaxed),
            slots: header.slots.load(Ordering::Relaxed),
            ring: header.ring.load(Ordering::Relaxed),
            library: header.library.load(Ordering::Relaxed),
            area: header.area.load(Ordering::Relaxed),
            arena: header.arena.load(Ordering::Relaxed),
        };
        match shape.layout() {
            Some(layout) if layout.total == region.len() => Ok((shape, layout)),
            _ => Err(LinkError::Size { size }),
        }
    }
}

const _: () = assert!(size_of::<SlotHead>() < SLOT || crate::prim::MODELLED);
