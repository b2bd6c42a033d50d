//! Where the words of shared primitives live: cells of 128 bytes, cut from files without a name that processes map whole.
//!
//! Nobody counts who has a cell, as a count does not survive a kill. A cell is given to the next one only if nobody else can have
//! it: it was made here, never handed over, and this process has not forked since. Any other one is retired, and goes with its
//! slab when nobody here has any of its cells; who has mapped it elsewhere keeps the memory.
//!
//! A forked child has its parent's cells and may use them; new ones it makes in slabs of its own.

use crate::prim::Ordering;
use crate::shm::{Region, Shared, SlabHead};
use crate::sys::{Lock, file_identity, file_size, forks, keeps_size, own_mark};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock, Weak};

/// Bytes of a slab: sparse, so that few cells cost few pages.
const SLAB: u64 = 256 << 10;
/// Bytes of a cell: two cache lines, as processors fetch them in pairs.
const CELL: usize = 128;
const MAGIC: u64 = u64::from_le_bytes(*b"ffkcells");
const VERSION: u32 = 1;
const CELLS: usize = SLAB as usize / CELL;

/// A file of cells, mapped here.
#[derive(Debug)]
struct Slab {
    region: Region,
    identity: (u64, u64),
    /// The process that cuts cells from it, 0 if that is another one; and what is left of it.
    maker: u64,
    room: Lock<Room>,
}

/// Which cells nobody has.
#[derive(Debug, Default)]
struct Room {
    /// The first one that was never given away.
    fresh: usize,
    /// Runs that came back, by their length in cells.
    back: HashMap<usize, Vec<usize>>,
}

/// The slabs of this process.
#[derive(Debug, Default)]
struct Slabs {
    /// Where new cells come from.
    current: Option<Arc<Slab>>,
    /// All that are mapped, by their file's identity: those of others, and earlier ones of this process's own.
    mapped: HashMap<(u64, u64), Weak<Slab>>,
}

fn slabs() -> &'static Lock<Slabs> {
    static SLABS: OnceLock<Lock<Slabs>> = OnceLock::new();
    SLABS.get_or_init(Lock::default)
}

/// In a forked child: other threads of the parent may have been at the lists.
pub fn after_in_child() {
    // What was half changed is never looked at. The cells themselves are kept by those who have them.
    std::mem::forget(slabs().reset(Slabs::default()));
}

/// Some contiguous cells, as one process has them.
#[derive(Debug)]
pub struct Cell {
    slab: Arc<Slab>,
    offset: usize,
    cells: usize,
    /// The forks when it was made; `None` if it came from elsewhere.
    forks: Option<u32>,
    /// Whether another process may have got it.
    handed: AtomicBool,
}

impl Slab {
    fn create() -> io::Result<Arc<Slab>> {
        let mut region = Region::create("forkful-sync", SLAB)?;
        region.place::<SlabHead>(0, 1);
        let head: &SlabHead = region.at(0);
        head.cell.store(CELL as u32, Ordering::Relaxed);
        head.version.store(VERSION, Ordering::Relaxed);
        head.magic.store(MAGIC, Ordering::Release);
        let fd = region.fd().ok_or(io::ErrorKind::NotFound)?;
        let identity = file_identity(fd)?;
        let room = Room {
            fresh: 1,
            back: HashMap::new(),
        };
        Ok(Arc::new(Slab {
            region,
            identity,
            maker: own_mark(),
            room: Lock::new(room),
        }))
    }

    fn open(fd: BorrowedFd<'_>) -> io::Result<Arc<Slab>> {
        let foreign = || io::Error::new(io::ErrorKind::InvalidData, "no cells of forkful");
        // Its size stays what it is, or a mapping of it would not be safe to look at.
        if file_size(fd)? != SLAB || !keeps_size(fd) {
            return Err(foreign());
        }
        let region = Region::open(fd)?;
        let head: &SlabHead = region.at(0);
        if head.magic.load(Ordering::Acquire) != MAGIC
            || head.version.load(Ordering::Relaxed) != VERSION
            || head.cell.load(Ordering::Relaxed) != CELL as u32
        {
            return Err(foreign());
        }
        Ok(Arc::new(Slab {
            region,
            identity: file_identity(fd)?,
            maker: 0,
            room: Lock::default(),
        }))
    }

    fn take(&self, cells: usize) -> Option<usize> {
        let mut room = self.room.lock();
        if let Some(first) = room.back.get_mut(&cells).and_then(Vec::pop) {
            return Some(first);
        }
        let first = room.fresh;
        (first + cells <= CELLS).then(|| {
            room.fresh = first + cells;
            first
        })
    }
}

/// How many cells so many bytes take, if they can be at this place of a slab.
fn cells_at(offset: usize, bytes: usize) -> Option<usize> {
    let cells = bytes.div_ceil(CELL).max(1);
    let end = cells.checked_mul(CELL)?.checked_add(offset)?;
    let fits = offset.is_multiple_of(CELL) && offset >= CELL && end <= SLAB as usize;
    fits.then_some(cells)
}

impl Cell {
    /// Cells for so many bytes, all zero.
    pub fn new(bytes: usize) -> io::Result<Cell> {
        let cells = bytes.div_ceil(CELL).max(1);
        if cells >= CELLS {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // Before the cell exists, so that no fork that may have it is missed.
        let forks = forks();
        loop {
            // The lock is never held while the kernel is asked for something.
            let current = slabs().lock().current.clone();
            let own = current.filter(|slab| slab.maker == own_mark());
            if let Some(slab) = own
                && let Some(first) = slab.take(cells)
            {
                let cell = Cell {
                    slab,
                    offset: first * CELL,
                    cells,
                    forks: Some(forks),
                    handed: AtomicBool::new(false),
                };
                cell.clear();
                return Ok(cell);
            }
            let fresh = Slab::create()?;
            let mut all = slabs().lock();
            all.mapped.retain(|_, slab| slab.strong_count() > 0);
            all.mapped.insert(fresh.identity, Arc::downgrade(&fresh));
            let before = all.current.replace(fresh);
            drop(all);
            drop(before);
        }
    }

    /// The cells at `offset` of the file that another process, or this one, has handed over, if some of that file's cells are in use
    /// here: no descriptor is needed then. Of two files that exist at the same time no two have one identity.
    pub fn known(identity: (u64, u64), offset: usize, bytes: usize) -> Option<Cell> {
        let cells = cells_at(offset, bytes)?;
        let slab = slabs().lock().mapped.get(&identity)?.upgrade()?;
        Some(Cell::of_another(slab, offset, cells))
    }

    /// The cells at `offset` of the file that another process, or this one, has handed over.
    pub fn open(fd: BorrowedFd<'_>, offset: usize, bytes: usize) -> io::Result<Cell> {
        let Some(cells) = cells_at(offset, bytes) else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "no cell of forkful",
            ));
        };
        let identity = file_identity(fd)?;
        let known = |all: &Slabs| all.mapped.get(&identity).and_then(Weak::upgrade);
        let found = known(&slabs().lock());
        let slab = match found {
            Some(slab) => slab,
            None => {
                let opened = Slab::open(fd)?;
                let mut all = slabs().lock();
                all.mapped.retain(|_, slab| slab.strong_count() > 0);
                // Another thread may have been as quick: one mapping is enough.
                let kept = known(&all).unwrap_or_else(|| opened.clone());
                all.mapped.insert(identity, Arc::downgrade(&kept));
                drop(all);
                kept
            }
        };
        Ok(Cell::of_another(slab, offset, cells))
    }

    fn of_another(slab: Arc<Slab>, offset: usize, cells: usize) -> Cell {
        Cell {
            slab,
            offset,
            cells,
            forks: None,
            handed: AtomicBool::new(true),
        }
    }

    /// What lies at its start, or `offset` bytes behind.
    #[inline]
    pub fn at<T: Shared>(&self, offset: usize) -> &T {
        assert!(
            offset + size_of::<T>() <= self.cells * CELL,
            "outside of the cell"
        );
        self.slab.region.at(self.offset + offset)
    }

    /// What another process needs to [`Cell::open`] it; from now on it may have it. `None` if the descriptor is lost: somebody has
    /// closed all that he found.
    pub fn hand_over(&self) -> Option<(BorrowedFd<'_>, usize)> {
        self.handed.store(true, Ordering::Relaxed);
        let fd = self.slab.region.fd()?;
        let same = file_identity(fd.as_fd()).is_ok_and(|now| now == self.slab.identity);
        same.then_some((fd, self.offset))
    }

    /// Which file and which place in it: the same in all processes.
    pub fn identity(&self) -> ((u64, u64), usize) {
        (self.slab.identity, self.offset)
    }

    /// Writes over it, as any process may.
    #[cfg(test)]
    pub(super) fn scribble(&self, bytes: &[u8]) {
        let len = bytes.len().min(self.cells * CELL);
        self.slab.region.write(self.offset, &bytes[..len]);
    }

    fn clear(&self) {
        for cell in 0..self.cells {
            self.slab.region.write(self.offset + cell * CELL, &ZEROS);
        }
    }
}

static ZEROS: [u8; CELL] = [0; CELL];

impl Drop for Cell {
    fn drop(&mut self) {
        let slab = &self.slab;
        if self.forks == Some(forks())
            && !self.handed.load(Ordering::Relaxed)
            && slab.maker == own_mark()
        {
            let first = self.offset / CELL;
            slab.room
                .lock()
                .back
                .entry(self.cells)
                .or_default()
                .push(first);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prim::AtomicU64;

    #[test]
    fn who_opens_it_sees_the_same_words() {
        let cell = Cell::new(16).unwrap();
        let (fd, offset) = cell.hand_over().unwrap();
        let opened = Cell::open(fd, offset, 16).unwrap();
        cell.at::<AtomicU64>(8).store(7, Ordering::Relaxed);
        assert_eq!(opened.at::<AtomicU64>(8).load(Ordering::Relaxed), 7);
        assert_eq!(cell.identity(), opened.identity());
        assert!(Arc::ptr_eq(&cell.slab, &opened.slab), "mapped twice");
        let (file, _) = cell.identity();
        let known = Cell::known(file, offset, 16).unwrap();
        assert_eq!(known.at::<AtomicU64>(8).load(Ordering::Relaxed), 7);
        assert!(Cell::known((file.0, file.1 ^ 1), offset, 16).is_none());
        assert!(Cell::known(file, offset + 1, 16).is_none());
    }

    #[test]
    fn a_cell_that_only_this_process_had_is_given_to_the_next_one_empty() {
        // Other tests take cells and fork meanwhile; a size of its own, and some patience.
        let again = (0..100).any(|_| {
            let cell = Cell::new(77 * CELL).unwrap();
            cell.at::<AtomicU64>(0).store(7, Ordering::Relaxed);
            let before = cell.identity();
            drop(cell);
            let next = Cell::new(77 * CELL).unwrap();
            assert_eq!(next.at::<AtomicU64>(0).load(Ordering::Relaxed), 0);
            next.identity() == before
        });
        assert!(again);
    }

    #[test]
    fn what_was_handed_over_is_nobody_else_s() {
        let cell = Cell::new(75 * CELL).unwrap();
        let before = cell.identity();
        cell.hand_over().unwrap();
        drop(cell);
        for _ in 0..30 {
            assert_ne!(Cell::new(75 * CELL).unwrap().identity(), before);
        }
    }

    #[test]
    fn many_cells_take_several_slabs() {
        let cells: Vec<_> = (0..CELLS + 10).map(|_| Cell::new(1).unwrap()).collect();
        let places: std::collections::HashSet<_> = cells.iter().map(Cell::identity).collect();
        assert_eq!(places.len(), cells.len());
    }

    #[test]
    fn garbage_opens_nothing() {
        let cell = Cell::new(1).unwrap();
        let (fd, offset) = cell.hand_over().unwrap();
        for wrong in [
            0,
            1,
            offset + 8,
            SLAB as usize,
            usize::MAX,
            usize::MAX - 127,
        ] {
            assert!(Cell::open(fd, wrong, 1).is_err());
        }
        assert!(Cell::open(fd, offset, SLAB as usize).is_err());
        assert!(Cell::open(fd, offset, usize::MAX).is_err());
        let other = crate::sys::memfd("forkful-test", SLAB).unwrap();
        assert!(Cell::open(other.as_fd(), offset, 1).is_err());
        let small = crate::sys::memfd("forkful-test", 4096).unwrap();
        assert!(Cell::open(small.as_fd(), offset, 1).is_err());
        let loose = crate::sys::plain_memfd("forkful-test").unwrap();
        assert!(Cell::open(loose.as_fd(), offset, 1).is_err());
    }
}
