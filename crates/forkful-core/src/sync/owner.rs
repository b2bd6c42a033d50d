//! Who holds something: a process, told from every other one that had its number before or will have it later.

use crate::sys::{Stamp, lives, own_mark};
use std::sync::atomic::{AtomicU64, Ordering};

/// Whom this process found alive lately, and when, by the lowest bits of their numbers. Plain atomics: a model has no other
/// processes.
static SEEN: [Seen; 16] = [const { Seen::nobody() }; 16];

struct Seen {
    owner: AtomicU64,
    at: AtomicU64,
}

impl Seen {
    const fn nobody() -> Seen {
        Seen {
            owner: AtomicU64::new(0),
            at: AtomicU64::new(0),
        }
    }
}

/// How long that is believed by those who only try.
const BELIEF_NANOS: u64 = 5_000_000;

/// A process in one word: its number in the low 32 bits, in the high ones the moment of its birth in ticks, or 0 where that can't be
/// read, which fits any.
///
/// A process and not a thread: what one thread has taken, another one may give back, and the thread's end is nobody's death.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Owner(u64);

impl Owner {
    /// The calling process; after a fork the child.
    #[inline]
    pub fn me() -> Owner {
        Owner(own_mark())
    }

    /// From a word; `None` for 0, which is nobody.
    #[inline]
    pub fn from_word(word: u64) -> Option<Owner> {
        (word as u32 != 0).then_some(Owner(word))
    }

    /// As a word, never 0.
    #[inline]
    pub fn word(self) -> u64 {
        self.0
    }

    /// The process's number.
    #[inline]
    pub fn pid(self) -> u32 {
        self.0 as u32
    }

    /// Whether it is the calling process.
    #[inline]
    pub fn is_me(self) -> bool {
        self == Owner::me()
    }

    /// Whether the process lives: a zombie does not, nor does one whose number somebody else has now. Two system calls and a file:
    /// about 10 us.
    pub fn is_alive(self) -> bool {
        self.is_me() || lives(self.pid(), (self.0 >> 32) as u32)
    }

    /// The same, by a look that is at most 5 ms old: for those who try again and again.
    pub fn lived_lately(self) -> bool {
        let seen = &SEEN[self.pid() as usize % SEEN.len()];
        let fresh = || {
            let then = Stamp::from_nanos(seen.at.load(Ordering::Acquire));
            seen.owner.load(Ordering::Relaxed) == self.0 && Stamp::now().since(then) < BELIEF_NANOS
        };
        if self.is_me() || fresh() {
            return true;
        }
        let now = Stamp::now();
        let alive = self.is_alive();
        if alive {
            // Between the two, another one's name may stand beside this moment for an instant: then he is believed alive for 5 ms more
            // than he was seen, and looked at after that.
            seen.owner.store(self.0, Ordering::Relaxed);
            seen.at.store(now.nanos(), Ordering::Release);
        }
        alive
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i_live_and_nobody_is_no_owner() {
        let me = Owner::me();
        assert!(me.is_me() && me.is_alive());
        assert_eq!(me.pid(), std::process::id());
        assert_eq!(Owner::from_word(me.word()), Some(me));
        assert_eq!(Owner::from_word(0), None);
    }

    #[test]
    fn a_namesake_is_somebody_else() {
        let namesake = Owner(Owner::me().word() ^ (1 << 32));
        assert!(!namesake.is_me() && !namesake.is_alive());
        let timeless = Owner(Owner::me().pid().into());
        assert!(!timeless.is_me() && timeless.is_alive());
    }
}
