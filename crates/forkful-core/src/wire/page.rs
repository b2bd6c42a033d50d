//! What a worker tells of itself: one writer, any reader, at any time.

use crate::prim::{AtomicU64, Ordering};
use crate::shm::{Histogram, Meters};
use crate::stats::{BUCKETS, HistogramSnapshot, bucket_of};

/// What a worker is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Not ready for tasks yet.
    #[default]
    Starting,
    /// Looking for a task, or asleep.
    Idle,
    /// Running one.
    Running,
    /// Sending its outcome.
    Writing,
    /// On its way out.
    Leaving,
}

const ALL: [Status; 5] = [
    Status::Starting,
    Status::Idle,
    Status::Running,
    Status::Writing,
    Status::Leaving,
];

/// A worker's page. Moments are nanoseconds of [`Stamp`](crate::sys::Stamp), which all processes of a machine share.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    meters: &'a Meters,
}

/// A page at one moment; it may be anything that a worker has written.
#[derive(Clone, Debug, Default)]
pub struct PageSnapshot {
    /// The process, 0 if none has come up yet.
    pub pid: u32,
    /// What it is doing; `None` if the page does not say it in words that we know.
    pub status: Option<Status>,
    /// The task that it runs, and since when.
    pub running: Option<(u64, u64)>,
    /// Since when it has been idle, if it is.
    pub idle_since: u64,
    /// Tasks ended.
    pub done: u64,
    /// Those of them that raised.
    pub failed: u64,
    /// Nanoseconds in tasks.
    pub busy: u64,
    /// Nanoseconds without.
    pub idle: u64,
    /// How long tasks waited.
    pub waits: HistogramSnapshot,
    /// How long they ran.
    pub runs: HistogramSnapshot,
}

impl<'a> Page<'a> {
    pub(super) fn new(meters: &'a Meters) -> Page<'a> {
        Page { meters }
    }

    /// Parent, before a process is started on this place: an empty page. The sums of the one before it are gone.
    pub fn clear(&self) {
        let meters = self.meters;
        meters.pid.store(0, Ordering::Relaxed);
        meters
            .status
            .store(Status::Starting as u32, Ordering::Relaxed);
        let words = [
            &meters.begun,
            &meters.began,
            &meters.idle_since,
            &meters.done,
            &meters.failed,
            &meters.busy,
            &meters.idle,
        ];
        let sums = [&meters.waits, &meters.runs];
        let counts = sums.iter().flat_map(|sum| sum.counts.iter());
        let totals = sums.iter().map(|sum| &sum.total);
        for word in words.into_iter().chain(counts).chain(totals) {
            word.store(0, Ordering::Relaxed);
        }
    }

    /// Worker: it exists, and is starting.
    pub fn start(&self, pid: u32, now: u64) {
        self.meters.idle_since.store(now, Ordering::Relaxed);
        self.meters.pid.store(pid, Ordering::Relaxed);
        self.set_status(Status::Starting);
    }

    /// Worker: says what it is doing, where none of the steps below does.
    pub fn set_status(&self, status: Status) {
        self.meters.status.store(status as u32, Ordering::Relaxed);
    }

    /// Worker: runs a task from now on. After this a task whose worker dies counts as begun.
    #[inline]
    pub fn begin(&self, position: u64, now: u64, waited: u64) {
        let meters = self.meters;
        let idle = now.saturating_sub(meters.idle_since.load(Ordering::Relaxed));
        add(&meters.idle, idle);
        record(&meters.waits, waited);
        self.set_status(Status::Running);
        meters.began.store(now, Ordering::Relaxed);
        // Behind its moment, so that nobody takes the last task's beginning for this one's.
        // SYNC(page.begun): release
        meters
            .begun
            .store(position.wrapping_add(1), Ordering::Release);
    }

    /// Worker: the task has run, and its outcome is being sent.
    #[inline]
    pub fn writing(&self, now: u64) {
        let ran = now.saturating_sub(self.meters.began.load(Ordering::Relaxed));
        add(&self.meters.busy, ran);
        record(&self.meters.runs, ran);
        self.set_status(Status::Writing);
    }

    /// Worker: the outcome is committed.
    #[inline]
    pub fn end(&self, failed: bool, now: u64) {
        let meters = self.meters;
        // SYNC(page.begun): release
        meters.begun.store(0, Ordering::Release);
        add(&meters.done, 1);
        if failed {
            add(&meters.failed, 1);
        }
        meters.idle_since.store(now, Ordering::Relaxed);
        self.set_status(Status::Idle);
    }

    /// The position of the task that it runs, and since when; also after its death.
    pub fn running(&self) -> Option<(u64, u64)> {
        // SYNC(page.begun): acquire
        let begun = self.meters.begun.load(Ordering::Acquire);
        let began = self.meters.began.load(Ordering::Acquire);
        // Between two tasks the answer would be one's position and the other's moment.
        let still = self.meters.begun.load(Ordering::Acquire) == begun;
        Some((begun.checked_sub(1)?, began)).filter(|_| still)
    }

    /// Whether it has ended a task.
    pub fn has_worked(&self) -> bool {
        self.meters.done.load(Ordering::Relaxed) > 0
    }

    /// The process that stands here, 0 if none has come up yet.
    pub fn pid(&self) -> u32 {
        self.meters.pid.load(Ordering::Relaxed)
    }

    /// What it is doing, in words that we know.
    pub fn status(&self) -> Option<Status> {
        let status = self.meters.status.load(Ordering::Relaxed);
        ALL.get(status as usize).copied()
    }

    /// A copy of everything.
    pub fn snapshot(&self) -> PageSnapshot {
        let meters = self.meters;
        let word = |word: &AtomicU64, most: u64| word.load(Ordering::Relaxed).min(most);
        PageSnapshot {
            pid: self.pid(),
            status: self.status(),
            running: self.running(),
            idle_since: word(&meters.idle_since, u64::MAX),
            done: word(&meters.done, MOST_COUNTED),
            failed: word(&meters.failed, MOST_COUNTED),
            busy: word(&meters.busy, MOST_NANOS),
            idle: word(&meters.idle, MOST_NANOS),
            waits: copy(&meters.waits),
            runs: copy(&meters.runs),
        }
    }
}

/// For the page's one writer: no locked instruction.
#[inline]
fn add(word: &AtomicU64, amount: u64) {
    let now = word.load(Ordering::Relaxed);
    word.store(now.wrapping_add(amount), Ordering::Relaxed);
}

#[inline]
fn record(histogram: &Histogram, nanos: u64) {
    add(&histogram.counts[bucket_of(nanos)], 1);
    add(&histogram.total, nanos);
}

fn copy(histogram: &Histogram) -> HistogramSnapshot {
    let count = |nth: usize| histogram.counts[nth].load(Ordering::Relaxed);
    HistogramSnapshot {
        counts: std::array::from_fn(|nth| count(nth).min(MOST_COUNTED)),
        total: histogram.total.load(Ordering::Relaxed).min(MOST_NANOS),
    }
}

/// Garbage may be any number, and sums over 1024 workers and all buckets must not overflow. Nobody runs so many tasks.
const MOST_COUNTED: u64 = 1 << 46;
/// The same for times: 104 days of work each.
const MOST_NANOS: u64 = 1 << 53;

const _: () = assert!(BUCKETS == 88);
