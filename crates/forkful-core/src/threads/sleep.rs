//! The crew's bed: who sleeps, and who was told to get up. The argument is in `sleep.md`.

use crate::deadline::Deadline;
use crate::prim::Ordering;
use crate::sys::Word;

/// One sleeper.
const SLEEPER: u32 = 1;
/// The low half counts sleepers.
const SLEEPERS: u32 = 0xffff;
/// One token.
const TOKEN: u32 = 1 << 16;

/// At most so many workers can be enrolled.
pub const MOST_SLEEPERS: u32 = SLEEPERS - 1;

/// Sleepers and tokens in one word.
#[derive(Debug)]
pub struct Sleep(Word);

impl Default for Sleep {
    fn default() -> Self {
        Sleep(Word::new(0))
    }
}

impl Sleep {
    /// Whether anybody sleeps, or is about to.
    #[inline]
    pub fn anybody(&self) -> bool {
        self.0.load(Ordering::SeqCst) & SLEEPERS != 0
    }

    /// Counts the caller as a sleeper. Look for work once more, then call [`Sleep::sleep`] or [`Sleep::withdraw`].
    pub fn enrol(&self) {
        // SYNC(crew.sleep): release
        self.0.fetch_add(SLEEPER, Ordering::SeqCst);
    }

    /// Ends an enrolment without having slept.
    pub fn withdraw(&self) {
        let mut word = self.0.load(Ordering::SeqCst);
        loop {
            // Not among the sleepers any more: somebody meant us, and his token is there.
            let step = if word & SLEEPERS != 0 { SLEEPER } else { TOKEN };
            match self.0.compare_exchange_weak(
                word,
                word - step,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Sleeps until there is a token, and takes it.
    pub fn sleep(&self) {
        let mut word = self.0.load(Ordering::SeqCst);
        loop {
            if word >= TOKEN {
                // SYNC(crew.wake): acquire
                match self.0.compare_exchange_weak(
                    word,
                    word - TOKEN,
                    Ordering::SeqCst,
                    Ordering::SeqCst,
                ) {
                    Ok(_) => return,
                    Err(now) => word = now,
                }
            } else {
                self.0.sleep(word, Deadline::NEVER);
                word = self.0.load(Ordering::SeqCst);
            }
        }
    }

    /// Gives a token to one sleeper, if there is one.
    pub fn wake_one(&self) {
        // SYNC(crew.sleep): acquire
        let mut word = self.0.load(Ordering::SeqCst);
        while word & SLEEPERS != 0 {
            // SYNC(crew.wake): release
            match self.0.compare_exchange_weak(
                word,
                word - SLEEPER + TOKEN,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => return self.0.wake(1),
                Err(now) => word = now,
            }
        }
    }

    /// Gives a token to everybody.
    pub fn wake_all(&self) {
        let mut word = self.0.load(Ordering::SeqCst);
        loop {
            let sleepers = word & SLEEPERS;
            let next = word - sleepers + sleepers * TOKEN;
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => return self.0.wake(u32::MAX),
                Err(now) => word = now,
            }
        }
    }

    /// In a forked child: nobody sleeps here.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}
