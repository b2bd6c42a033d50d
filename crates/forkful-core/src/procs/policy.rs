//! What a death, a deadline or a start that hangs lead to: values in, an action out, no process anywhere.

use super::record::Limits;
use std::time::Duration;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Nobody could tell.
    Unknown,
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Exit {
    /// From the status of `wait`.
    pub fn of_status(status: i32) -> Exit {
        match status & 0x7f {
            0 => Exit::Code(status >> 8 & 0xff),
            signal => Exit::Signal(signal),
        }
    }
}

/// Why we kill a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doom {
    /// Its task has run longer than it may.
    TimedOut,
    /// Somebody asked for it.
    Killed,
    /// It is larger than it may be: bytes measured.
    Memory(u64),
    /// What it shares with the pool, or the task's own place there, held garbage: its task's, or another one's.
    Garbage,
    /// It never came up.
    Start,
    /// The pool ends.
    End,
}

/// What a death means to the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnCrash {
    /// The task fails, the worker is replaced.
    Replace,
    /// Everything fails, as the standard library has it.
    Break,
}

/// What becomes of a task that a dead worker had taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It had not begun: back to the front.
    Requeue,
    /// It had, and may be run again.
    Retry,
    /// It fails.
    Fail,
}

/// The fate of a task; `ended`: its owner wants it to be over, or the whole pool.
pub fn fate(
    begun: bool,
    ended: bool,
    doom: Option<Doom>,
    limits: Option<&Limits>,
    attempts: u32,
) -> Fate {
    if ended {
        // Its owner has seen it run, perhaps, and wants it to be over.
        return Fate::Fail;
    }
    if !begun {
        return Fate::Requeue;
    }
    // What was asked for by name, a deadline or a kill, is no accident that another run would mend. A size may be: of the worker,
    // which keeps what earlier tasks have left in it.
    let accident = matches!(doom, None | Some(Doom::Garbage | Doom::Memory(_)));
    match limits {
        Some(limits) if accident && limits.retry_deaths && attempts <= limits.retries => {
            Fate::Retry
        }
        _ => Fate::Fail,
    }
}

/// What is known when a seat becomes free.
#[derive(Clone, Copy, Debug)]
pub struct Gone {
    /// How it ended.
    pub exit: Exit,
    /// Whether we wanted it.
    pub doom: Option<Doom>,
    /// Whether it left in order: it said so before.
    pub orderly: bool,
    /// Whether it had ever begun a task.
    pub worked: bool,
    /// Whether its nursery is gone, which takes its workers with it.
    pub with_nursery: bool,
    /// Whether a task died with it.
    pub lost_task: bool,
    /// How many before it, one after the other, died before their first task.
    pub stillborn_before: u32,
    /// Whether tasks wait or may come.
    pub wanted: bool,
}

impl Gone {
    /// Whether it died before its first task of something that the next one may die of as well.
    pub fn is_stillborn(&self) -> bool {
        let wanted = matches!(self.doom, Some(Doom::End | Doom::Start));
        !self.orderly && !wanted && !self.worked && !self.with_nursery
    }
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Another one takes the seat as soon as there is work.
    Replace,
    /// The pool is broken: they die as fast as they are born.
    BreakStillborn,
    /// The pool is broken, as its owner wants it after a crash.
    BreakCrashed,
    /// Nothing: the pool ends.
    Nothing,
}

/// How many in a row may die before their first task.
pub const STILLBORN: u32 = 3;

/// The action after a worker is gone.
pub fn after(gone: &Gone, on_crash: OnCrash) -> Action {
    let crashed = !gone.orderly && gone.doom != Some(Doom::End);
    if gone.is_stillborn() && gone.stillborn_before + 1 >= STILLBORN {
        return Action::BreakStillborn;
    }
    if crashed
        && on_crash == OnCrash::Break
        && !matches!(
            gone.doom,
            Some(Doom::TimedOut | Doom::Killed | Doom::Memory(_) | Doom::Start)
        )
    {
        return Action::BreakCrashed;
    }
    if gone.wanted {
        Action::Replace
    } else {
        Action::Nothing
    }
}

/// When a task that began at `since` must be looked at again, or that it is over time: nanoseconds, one clock.
pub fn deadline(since: u64, timeout: Duration, now: u64) -> Result<u64, Doom> {
    let end = since.saturating_add(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX));
    if now >= end {
        Err(Doom::TimedOut)
    } else {
        Ok(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Gone = Gone {
        exit: Exit::Signal(9),
        doom: None,
        orderly: false,
        worked: true,
        with_nursery: false,
        lost_task: true,
        stillborn_before: 0,
        wanted: true,
    };

    #[test]
    fn a_status_is_read() {
        assert_eq!(Exit::of_status(3 << 8), Exit::Code(3));
        assert_eq!(Exit::of_status(9), Exit::Signal(9));
        assert_eq!(Exit::of_status(11 | 0x80), Exit::Signal(11));
    }

    #[test]
    fn who_had_not_begun_goes_back() {
        assert_eq!(
            fate(false, false, Some(Doom::TimedOut), None, 1),
            Fate::Requeue
        );
    }

    #[test]
    fn retries_cover_accidents_only() {
        let limits = Limits {
            retries: 1,
            retry_deaths: true,
            ..Limits::default()
        };
        assert_eq!(fate(true, false, None, Some(&limits), 1), Fate::Retry);
        assert_eq!(fate(true, false, None, Some(&limits), 2), Fate::Fail);
        assert_eq!(
            fate(true, false, Some(Doom::TimedOut), Some(&limits), 1),
            Fate::Fail
        );
        let killed = Some(Doom::Killed);
        assert_eq!(fate(true, false, killed, Some(&limits), 1), Fate::Fail);
        for doom in [Doom::Memory(1), Doom::Garbage] {
            assert_eq!(fate(true, false, Some(doom), Some(&limits), 1), Fate::Retry);
        }
        assert_eq!(fate(true, false, None, None, 1), Fate::Fail);
    }

    #[test]
    fn an_owner_who_ends_the_pool_wants_nothing_again() {
        let limits = Limits {
            retries: 9,
            retry_deaths: true,
            ..Limits::default()
        };
        for begun in [false, true] {
            for doom in [None, Some(Doom::End)] {
                assert_eq!(fate(begun, true, doom, Some(&limits), 1), Fate::Fail);
            }
        }
    }

    #[test]
    fn three_stillborn_break_the_pool() {
        let gone = Gone {
            worked: false,
            lost_task: false,
            stillborn_before: 2,
            ..CALM
        };
        assert_eq!(after(&gone, OnCrash::Replace), Action::BreakStillborn);
        let second = Gone {
            stillborn_before: 1,
            ..gone
        };
        assert_eq!(after(&second, OnCrash::Replace), Action::Replace);
        // Each of these is counted elsewhere.
        let lost = Gone {
            with_nursery: true,
            ..gone
        };
        assert_eq!(after(&lost, OnCrash::Replace), Action::Replace);
        let hung = Gone {
            doom: Some(Doom::Start),
            ..gone
        };
        assert_eq!(after(&hung, OnCrash::Replace), Action::Replace);
        assert_eq!(after(&hung, OnCrash::Break), Action::Replace);
    }

    #[test]
    fn a_crash_breaks_where_that_is_wanted() {
        assert_eq!(after(&CALM, OnCrash::Break), Action::BreakCrashed);
        assert_eq!(after(&CALM, OnCrash::Replace), Action::Replace);
        let killed = Gone {
            doom: Some(Doom::Killed),
            ..CALM
        };
        assert_eq!(after(&killed, OnCrash::Break), Action::Replace);
        let leaver = Gone {
            orderly: true,
            exit: Exit::Code(0),
            ..CALM
        };
        assert_eq!(after(&leaver, OnCrash::Break), Action::Replace);
        assert_eq!(
            after(
                &Gone {
                    wanted: false,
                    ..leaver
                },
                OnCrash::Break
            ),
            Action::Nothing
        );
    }

    #[test]
    fn a_deadline_counts_from_the_beginning() {
        assert_eq!(deadline(100, Duration::from_nanos(50), 149), Ok(150));
        assert_eq!(
            deadline(100, Duration::from_nanos(50), 150),
            Err(Doom::TimedOut)
        );
        assert_eq!(deadline(100, Duration::MAX, u64::MAX - 1), Ok(u64::MAX));
    }
}
