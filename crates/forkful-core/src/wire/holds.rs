//! What one process holds for others: a word for each shared object, by which those who have it see that its giver lets it go.
//!
//! One memfd per process, whatever it shares. Only its maker writes; a word is the number of the mark, and zero once that is struck
//! out, so that a word's next mark is not taken for its last one.

use crate::prim::{AtomicU64, Ordering};
use crate::shm::Region;
use crate::sys::{Lock, keeps_size};
use crate::wire::Token;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

/// Words in one; each is touched only once it is used. The first counts those that were struck out.
const WORDS: u32 = 8192;
const WORD: usize = size_of::<u64>();

/// Where a giver has noted that it holds a thing, as it tells those who get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Whose notes.
    pub owner: Token,
    /// Which word of it.
    pub word: u32,
    /// What that says as long as the thing is held.
    pub number: u64,
}

impl Mark {
    /// Bytes of its form.
    pub const LEN: usize = 28;

    /// In so many bytes.
    pub fn to_bytes(self) -> [u8; Mark::LEN] {
        let mut bytes = [0; Mark::LEN];
        bytes[..16].copy_from_slice(&self.owner.0);
        bytes[16..20].copy_from_slice(&self.word.to_le_bytes());
        bytes[20..].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }

    /// From them; no other length is one.
    pub fn of_bytes(bytes: &[u8]) -> Option<Mark> {
        let (owner, rest) = Token::split(bytes)?;
        let (word, number) = rest.split_first_chunk::<4>()?;
        Some(Mark {
            owner,
            word: u32::from_le_bytes(*word),
            number: u64::from_le_bytes(number.try_into().ok()?),
        })
    }
}

#[derive(Debug, Default)]
struct Used {
    words: u32,
    free: Vec<u32>,
    numbers: u64,
}

/// The giver's side.
#[derive(Debug)]
pub struct Holds {
    name: Token,
    region: Region,
    fd: Arc<OwnedFd>,
    used: Lock<Used>,
}

impl Holds {
    /// With nothing noted.
    pub fn create() -> io::Result<Holds> {
        let region = Region::create("forkful-holds", u64::from(WORDS) * WORD as u64)?;
        let fd = region.fd().ok_or(io::ErrorKind::NotFound)?;
        Ok(Holds {
            name: Token::random()?,
            fd: Arc::new(fd.try_clone_to_owned()?),
            region,
            used: Lock::default(),
        })
    }

    /// What others map.
    pub fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// Notes a thing; `None` when there is no word left.
    pub fn enter(&self) -> Option<Mark> {
        let mut used = self.used.lock();
        let word = match used.free.pop() {
            Some(word) => word,
            None if used.words < WORDS - 1 => {
                used.words += 1;
                used.words
            }
            None => return None,
        };
        used.numbers += 1;
        let number = used.numbers;
        word_of(&self.region, word).store(number, Ordering::SeqCst);
        Some(Mark {
            owner: self.name,
            word,
            number,
        })
    }

    /// It is held no more. Whoever sleeps is to be woken next.
    pub fn strike(&self, mark: Mark) {
        // SYNC(holds.struck): release
        word_of(&self.region, mark.word).store(0, Ordering::SeqCst);
        word_of(&self.region, 0).fetch_add(1, Ordering::SeqCst);
        self.used.lock().free.push(mark.word);
    }

    /// How often something was let go so far.
    pub fn strikes(&self) -> u64 {
        strikes(&self.region)
    }

    /// Whether a thing is still held; for this process and its forked children.
    pub fn lasts(&self, mark: Mark) -> bool {
        lasts(&self.region, mark)
    }
}

/// The side of those who are given something, which only reads.
#[derive(Debug)]
pub struct HoldsView {
    region: Region,
}

impl HoldsView {
    /// Maps another process's.
    pub fn open(fd: BorrowedFd<'_>) -> io::Result<HoldsView> {
        // Its size stays what it is, or a look at it could end this process.
        if !keeps_size(fd) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let region = Region::open(fd)?;
        if region.len() != WORDS as usize * WORD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        region.protect(0, region.len());
        Ok(HoldsView { region })
    }

    /// How often the giver has let something go: only when that has changed is there anything to look for.
    pub fn strikes(&self) -> u64 {
        strikes(&self.region)
    }

    /// Whether a thing is still held.
    pub fn lasts(&self, mark: Mark) -> bool {
        lasts(&self.region, mark)
    }
}

fn lasts(region: &Region, mark: Mark) -> bool {
    // SYNC(holds.struck): acquire
    mark.word < WORDS && word_of(region, mark.word).load(Ordering::SeqCst) == mark.number
}

fn strikes(region: &Region) -> u64 {
    word_of(region, 0).load(Ordering::SeqCst)
}

fn word_of(region: &Region, word: u32) -> &AtomicU64 {
    region.at(word as usize * WORD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_mark_lasts_until_it_is_struck_out_and_its_word_is_used_again() {
        let holds = Holds::create().unwrap();
        let view = HoldsView::open(holds.fd().as_fd()).unwrap();
        let (one, two) = (holds.enter().unwrap(), holds.enter().unwrap());
        assert!(view.lasts(one) && view.lasts(two) && holds.lasts(one));
        assert_eq!(view.strikes(), 0);
        holds.strike(one);
        assert_eq!((view.strikes(), holds.strikes()), (1, 1));
        assert!(!view.lasts(one) && view.lasts(two) && !holds.lasts(one));
        let three = holds.enter().unwrap();
        assert_eq!(three.word, one.word);
        assert!(!view.lasts(one) && view.lasts(three));
        assert_eq!(Mark::of_bytes(&three.to_bytes()), Some(three));
        assert_eq!(Mark::of_bytes(&three.to_bytes()[1..]), None);
    }

    #[test]
    fn what_may_shrink_is_no_one_s_notes() {
        let fd = crate::sys::sealable_memfd("forkful-test").unwrap();
        let file = std::fs::File::from(fd.try_clone().unwrap());
        file.set_len(u64::from(WORDS) * WORD as u64).unwrap();
        assert!(HoldsView::open(fd.as_fd()).is_err());
    }

    #[test]
    fn a_full_one_takes_no_more_and_nonsense_does_not_last() {
        let holds = Holds::create().unwrap();
        let first = holds.enter().unwrap();
        assert!((2..WORDS).all(|_| holds.enter().is_some()));
        assert_eq!(holds.enter(), None);
        let view = HoldsView::open(holds.fd().as_fd()).unwrap();
        assert!(view.lasts(first));
        assert!(!view.lasts(Mark {
            word: u32::MAX,
            ..first
        }));
    }
}
