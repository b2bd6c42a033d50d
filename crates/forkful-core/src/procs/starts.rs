//! What becomes of a pool whose workers do not come up: refused, hung, or gone with their nursery. Values in, a verdict out.

use crate::sys::Activity;

/// How many starts in a row may be refused while nobody works.
const REFUSALS: u32 = 5;
/// How many nurseries in a row may die before a worker of theirs came up.
const NURSERIES: u32 = 3;
/// A hung start is answered with a new nursery once; the second one in a row ends the pool.
const HANGS: u32 = 2;

/// When a start is looked at for the first time, and how far apart the looks are.
pub const LOOK_NANOS: u64 = 1_000_000_000;
/// How long a wait that nobody can end must have been seen. It is proof in itself; the time is for signal handlers.
const STUCK_NANOS: u64 = 3_000_000_000;
/// How long a sleep that was never interrupted counts as something else than a hang.
pub const ASLEEP_NANOS: u64 = 30_000_000_000;
/// How many times as long a start may take that is not even asleep.
const LATE: u64 = 4;

/// How long a pool that has workers goes on with them before it tries again to get another.
pub const PAUSE_NANOS: u64 = 1_000_000_000;
/// How long one without waits after the first refusal; after each one more twice as long.
const RETRY_NANOS: u64 = 50_000_000;
/// How long a nursery is left alone that has too much to read.
pub const BUSY_NANOS: u64 = 5_000_000;

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// Once more, after so many nanoseconds.
    Again(u64),
    /// The pool is broken.
    Break,
}

/// How many starts in a row have come to nothing, by what went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    refused: u32,
    hung: u32,
    barren: u32,
}

impl Streak {
    /// A worker has come up: whatever was in the way is so no more.
    pub fn came_up(&mut self) {
        *self = Streak::default();
    }

    /// A worker could not be made; `others` says whether some are there, or may still come.
    pub fn refused(&mut self, others: bool) -> Verdict {
        if others {
            // What is lacking may be lacking for long. Those that are there go on.
            return Verdict::Again(PAUSE_NANOS);
        }
        self.refused += 1;
        if self.refused >= REFUSALS {
            Verdict::Break
        } else {
            Verdict::Again(RETRY_NANOS << (self.refused - 1))
        }
    }

    /// A start hangs. The same nursery's next one would hang at the same lock (22 of 22 did).
    pub fn hung(&mut self) -> Verdict {
        self.hung += 1;
        if self.hung >= HANGS {
            Verdict::Break
        } else {
            Verdict::Again(0)
        }
    }

    /// A nursery has died by itself.
    pub fn nursery_died(&mut self) -> Verdict {
        self.barren += 1;
        if self.barren >= NURSERIES {
            Verdict::Break
        } else {
            Verdict::Again(0)
        }
    }
}

/// What is known of a process that has not come up.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// When it was born, in nanoseconds of one clock.
    pub born: u64,
    /// Whether it has said that it is there: what it does from then on is its initializer's, which may take its time.
    pub arrived: bool,
    /// Whether it was forked from a process with other threads, whose locks it may be waiting for.
    pub inherits: bool,
    /// How long such a one may sleep without a word: [`ASLEEP_NANOS`].
    pub patience: u64,
}

/// Looks at one start from time to time, and says when it hangs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Vigil {
    seen: Activity,
    since: u64,
}

impl Vigil {
    /// Whether it hangs, as far as can be said at this look.
    ///
    /// Being slow is no hang. Only a wait that nobody can end is one for certain, at any time of a start; without that proof, a
    /// forked process that has said nothing is given much more time than its few steps take.
    #[must_use]
    pub fn hangs(&mut self, start: Start, doing: Activity, now: u64) -> bool {
        if self.seen != doing || self.since == 0 {
            (self.seen, self.since) = (doing, now);
        }
        let unchanged = now.saturating_sub(self.since);
        let silent = start.inherits && !start.arrived;
        match doing {
            Activity::Stuck(_) if unchanged >= STUCK_NANOS => true,
            Activity::Stuck(_) | Activity::Asleep(_) if silent && unchanged >= start.patience => {
                true
            }
            _ => {
                let late = start.patience.saturating_mul(LATE);
                silent && now.saturating_sub(start.born) >= late
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const SILENT: Start = Start {
        born: 5 * SECOND,
        arrived: false,
        inherits: true,
        patience: ASLEEP_NANOS,
    };

    /// The second at which looks once a second, from the birth on, find a hang.
    fn hangs_after(start: Start, doing: impl Fn(u64) -> Activity) -> Option<u64> {
        let mut vigil = Vigil::default();
        (1..1000).find(|second| vigil.hangs(start, doing(*second), start.born + second * SECOND))
    }

    #[test]
    fn a_wait_that_nobody_can_end_is_a_hang_at_any_time() {
        for (arrived, inherits) in [(false, false), (false, true), (true, false), (true, true)] {
            let start = Start {
                arrived,
                inherits,
                ..SILENT
            };
            assert_eq!(hangs_after(start, |_| Activity::Stuck(7)), Some(4));
            // It was woken in between.
            let woken = hangs_after(start, |second| Activity::Stuck(second / 3));
            assert!(woken.is_none_or(|second| second > 100));
        }
    }

    #[test]
    fn a_slow_start_is_no_hang() {
        let arrived = Start {
            arrived: true,
            ..SILENT
        };
        let execed = Start {
            inherits: false,
            ..SILENT
        };
        for start in [arrived, execed] {
            for doing in [Activity::Unknown, Activity::Asleep(7)] {
                assert_eq!(hangs_after(start, |_| doing), None);
            }
        }
    }

    #[test]
    fn a_forked_one_that_says_nothing_is_not_waited_for_forever() {
        assert_eq!(hangs_after(SILENT, |_| Activity::Asleep(7)), Some(31));
        assert_eq!(hangs_after(SILENT, |_| Activity::Unknown), Some(120));
        assert_eq!(hangs_after(SILENT, Activity::Asleep), Some(120));
    }

    #[test]
    fn a_pool_without_workers_gives_up_in_the_end() {
        let mut streak = Streak::default();
        assert_eq!(streak.refused(false), Verdict::Again(RETRY_NANOS));
        assert_eq!(streak.refused(true), Verdict::Again(PAUSE_NANOS));
        for times in [2, 4, 8] {
            assert_eq!(streak.refused(false), Verdict::Again(times * RETRY_NANOS));
        }
        assert_eq!(streak.refused(false), Verdict::Break);
        streak.came_up();
        assert_eq!(streak.refused(false), Verdict::Again(RETRY_NANOS));
        assert_eq!(streak.nursery_died(), Verdict::Again(0));
        assert_eq!(streak.nursery_died(), Verdict::Again(0));
        assert_eq!(streak.nursery_died(), Verdict::Break);
    }

    #[test]
    fn a_second_hang_in_a_row_ends_it() {
        let mut streak = Streak::default();
        assert_eq!(streak.hung(), Verdict::Again(0));
        streak.came_up();
        assert_eq!(streak.hung(), Verdict::Again(0));
        assert_eq!(streak.hung(), Verdict::Break);
    }
}
