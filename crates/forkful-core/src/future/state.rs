//! The transitions of a future, and nothing else.
//!
//! Each returns a verdict that says what its caller has to do next.

use crate::prim::Ordering;
use crate::sys::Word;

/// The low three bits are the phase.
const PHASE: u32 = 0b111;
/// FINISHED with an error instead of a value.
const RAISED: u32 = 1 << 3;
/// Somebody waits on the word: it must be told.
const WAITED: u32 = 1 << 4;
/// The waiters may go. Later than FINISHED where the completing thread has something to let go of first.
const TOLD: u32 = 1 << 5;
/// Somebody holds a condition of its own over this future: its phase may change only under that condition.
const WATCHED: u32 = 1 << 6;
/// Somebody is writing the value: nobody else may begin, cancel or finish.
const SEIZED: u32 = 1 << 7;

/// Where a future stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Phase {
    /// Nobody has begun.
    Pending = 0,
    /// Somebody has.
    Running = 1,
    /// Cancelled, and whoever waits in `wait` or `as_completed` does not know yet.
    Cancelled = 2,
    /// Cancelled, and everybody knows.
    CancelledAndNotified = 3,
    /// The value or the error is there.
    Finished = 4,
}

impl Phase {
    fn of(word: u32) -> Phase {
        match word & PHASE {
            0 => Phase::Pending,
            1 => Phase::Running,
            2 => Phase::Cancelled,
            3 => Phase::CancelledAndNotified,
            _ => Phase::Finished,
        }
    }

    /// Finished or cancelled: a result, an error or a cancellation can be told at once.
    #[inline]
    pub fn is_done(self) -> bool {
        self as u32 >= Phase::Cancelled as u32
    }

    /// Done, and `wait` and `as_completed` may count it.
    #[inline]
    pub fn is_settled(self) -> bool {
        self as u32 >= Phase::CancelledAndNotified as u32
    }

    /// Cancelled, told or not.
    #[inline]
    pub fn is_cancelled(self) -> bool {
        matches!(self, Phase::Cancelled | Phase::CancelledAndNotified)
    }
}

/// The proof that its holder, and nobody else, may take the task.
#[derive(Debug)]
#[must_use = "a begun future that is never finished hangs its waiters"]
pub struct Claim(pub(super) ());

/// The proof that its holder, and nobody else, may write the value.
#[derive(Debug)]
#[must_use = "a seized future that is never published hangs its waiters"]
pub struct Seized(pub(super) ());

/// What became of a cancellation.
#[derive(Debug)]
#[must_use]
pub enum Cancel {
    /// This call cancelled it; the claim is for taking the task away. Fire the hooks.
    Now(Claim),
    /// It was cancelled before.
    Already,
    /// It runs or has finished: too late.
    TooLate,
}

/// What the one who finished has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Finish {
    /// Nobody waits on the word. Fire the hooks.
    Quiet,
    /// Somebody waits: call [`State::tell`] as soon as that thread could go on. Fire the hooks.
    Tell,
}

/// The word of a future.
#[derive(Debug)]
pub struct State(Word);

impl Default for State {
    fn default() -> Self {
        State::new(Phase::Pending)
    }
}

impl State {
    /// A future that starts in this phase.
    pub fn new(phase: Phase) -> State {
        State(Word::new(phase as u32))
    }

    /// The phase now.
    #[inline]
    pub fn phase(&self) -> Phase {
        // SYNC(future.value): acquire
        Phase::of(self.0.load(Ordering::SeqCst))
    }

    /// Whether it finished with an error.
    #[inline]
    pub fn raised(&self) -> bool {
        self.0.load(Ordering::Acquire) & RAISED != 0
    }

    /// PENDING -> RUNNING; `None` if somebody was faster or it was cancelled.
    #[inline]
    pub fn begin(&self) -> Option<Claim> {
        self.move_from(Phase::Pending, Phase::Running)
    }

    /// The same with the right to write the value, for whoever alone will finish what he begins: one step less than to seize it then.
    #[inline]
    pub fn begin_seized(&self) -> Option<(Claim, Seized)> {
        let mut word = self.0.load(Ordering::Relaxed);
        while Phase::of(word) == Phase::Pending && word & SEIZED == 0 {
            let next = (word & !PHASE) | Phase::Running as u32 | SEIZED;
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return Some((Claim(()), Seized(()))),
                Err(now) => word = now,
            }
        }
        None
    }

    /// PENDING -> CANCELLED, or straight to CANCELLED_AND_NOTIFIED where nobody else will notify.
    pub fn cancel(&self, notified: bool) -> Cancel {
        let target = if notified {
            Phase::CancelledAndNotified
        } else {
            Phase::Cancelled
        };
        match self.move_from(Phase::Pending, target) {
            Some(claim) => {
                self.tell();
                Cancel::Now(claim)
            }
            None if self.phase().is_cancelled() => Cancel::Already,
            None => Cancel::TooLate,
        }
    }

    /// CANCELLED -> CANCELLED_AND_NOTIFIED; whether this call did it.
    pub fn notify(&self) -> bool {
        self.move_from(Phase::Cancelled, Phase::CancelledAndNotified)
            .is_some()
    }

    /// The right to write the value of a pending or running future; `Err` with the phase where it is done or being written.
    #[inline]
    pub fn seize(&self) -> Result<Seized, Phase> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let phase = Phase::of(word);
            if phase.is_done() || word & SEIZED != 0 {
                return Err(phase);
            }
            match self.0.compare_exchange_weak(
                word,
                word | SEIZED,
                Ordering::SeqCst,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(Seized(())),
                Err(now) => word = now,
            }
        }
    }

    /// -> FINISHED, after the value was written.
    ///
    /// A watched future may be published only by the holder of its condition, who says so with `under_condition`; otherwise
    /// the proof comes back: take the condition and come again.
    #[inline]
    pub fn publish(
        &self,
        seized: Seized,
        raised: bool,
        under_condition: bool,
    ) -> Result<Finish, Seized> {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            if word & WATCHED != 0 && !under_condition {
                return Err(seized);
            }
            let told = if word & WAITED != 0 { 0 } else { TOLD };
            let raised = if raised { RAISED } else { 0 };
            let next = (word & !(PHASE | SEIZED)) | Phase::Finished as u32 | told | raised;
            // SYNC(future.value): release
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) if told == 0 => return Ok(Finish::Tell),
                Ok(_) => return Ok(Finish::Quiet),
                Err(now) => word = now,
            }
        }
    }

    /// Gives the right to write back: nothing was written, or it was taken back.
    pub fn release(&self, _seized: Seized) {
        self.0.fetch_and(!SEIZED, Ordering::SeqCst);
    }

    /// Lets the waiters go.
    pub fn tell(&self) {
        let before = self.0.fetch_or(TOLD, Ordering::SeqCst);
        if before & WAITED != 0 {
            self.0.wake(u32::MAX);
        }
    }

    /// From now on the phase changes only under the condition that the caller owns.
    pub fn watch(&self) {
        self.0.fetch_or(WATCHED, Ordering::SeqCst);
    }

    /// Whether somebody has such a condition.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.0.load(Ordering::Acquire) & WATCHED != 0
    }

    /// The word that waiters sleep on, and the value to expect; `None` once they may go.
    pub(super) fn expect(&self) -> Option<(&Word, u32)> {
        let word = self.0.fetch_or(WAITED, Ordering::SeqCst) | WAITED;
        let over = word & TOLD != 0 && Phase::of(word).is_done();
        (!over).then_some((&self.0, word))
    }

    /// Whether waiters may go.
    pub fn told(&self) -> bool {
        let word = self.0.load(Ordering::Acquire);
        word & TOLD != 0 && Phase::of(word).is_done()
    }

    fn move_from(&self, from: Phase, to: Phase) -> Option<Claim> {
        let mut word = self.0.load(Ordering::Relaxed);
        while Phase::of(word) == from && word & SEIZED == 0 {
            let next = (word & !PHASE) | to as u32;
            match self
                .0
                .compare_exchange_weak(word, next, Ordering::SeqCst, Ordering::Relaxed)
            {
                Ok(_) => return Some(Claim(())),
                Err(now) => word = now,
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_begins() {
        let state = State::default();
        assert!(state.begin().is_some());
        assert!(state.begin().is_none());
        assert!(matches!(state.cancel(true), Cancel::TooLate));
    }

    #[test]
    fn what_is_begun_for_good_is_finished_by_nobody_else() {
        let state = State::default();
        let (_claim, seized) = state.begin_seized().unwrap();
        assert!(state.begin_seized().is_none() && state.begin().is_none());
        assert_eq!(state.phase(), Phase::Running);
        assert_eq!(state.seize().unwrap_err(), Phase::Running);
        assert!(matches!(state.cancel(true), Cancel::TooLate));
        assert!(state.publish(seized, false, true).is_ok());
        assert_eq!(state.phase(), Phase::Finished);
    }

    #[test]
    fn a_cancelled_future_is_notified_once() {
        let state = State::default();
        assert!(matches!(state.cancel(false), Cancel::Now(_)));
        assert!(matches!(state.cancel(false), Cancel::Already));
        assert!(!state.phase().is_settled());
        assert!(state.notify());
        assert!(!state.notify());
        assert!(state.phase().is_settled());
        assert_eq!(state.seize().unwrap_err(), Phase::CancelledAndNotified);
    }

    #[test]
    fn a_watched_future_waits_for_its_condition() {
        let state = State::default();
        state.watch();
        let seized = state
            .publish(state.seize().unwrap(), false, false)
            .unwrap_err();
        assert!(matches!(
            state.publish(seized, false, true),
            Ok(Finish::Quiet)
        ));
    }

    #[test]
    fn a_waiter_is_told_late() {
        let state = State::default();
        assert!(state.expect().is_some());
        assert!(matches!(
            state.publish(state.seize().unwrap(), true, false),
            Ok(Finish::Tell)
        ));
        assert!(state.phase().is_done() && state.raised() && !state.told());
        state.tell();
        assert!(state.told());
        assert!(state.expect().is_none());
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Begin,
        Cancel,
        Notify,
        Finish,
    }

    proptest! {
        /// Any order of calls follows the diagram, and only one of begin and cancel ever wins.
        #[test]
        fn the_diagram_holds(steps in prop::collection::vec(prop_oneof![
            Just(Step::Begin), Just(Step::Cancel), Just(Step::Notify), Just(Step::Finish)], 0..12)) {
            let state = State::default();
            let mut claims = 0;
            for step in steps {
                let before = state.phase();
                match step {
                    Step::Begin => claims += u32::from(state.begin().is_some()),
                    Step::Cancel => claims += u32::from(matches!(state.cancel(false), Cancel::Now(_))),
                    Step::Notify => prop_assert_eq!(state.notify(), before == Phase::Cancelled),
                    Step::Finish => match state.seize() {
                        Ok(seized) => {
                            prop_assert!(!before.is_done());
                            prop_assert!(state.begin().is_none() && state.seize().is_err());
                            prop_assert!(!matches!(state.cancel(false), Cancel::Now(_)));
                            prop_assert!(state.publish(seized, false, false).is_ok());
                        }
                        Err(phase) => prop_assert!(phase.is_done() && phase == before),
                    },
                }
                prop_assert!(state.phase() as u32 >= before as u32);
            }
            prop_assert!(claims <= 1);
        }
    }
}
