//! The numbers of an executor, at one moment.
//!
//! Knows: the engine's snapshots. Does not know: executors.

use forkful_core::stats::{HistogramSnapshot, MeterSnapshot, WorkerSnapshot, bucket_bound};
use std::collections::BTreeMap;
use std::time::Duration;

/// What an executor did until now: see [`ThreadPoolExecutor::stats`](crate::ThreadPoolExecutor::stats).
///
/// `submitted == done + failed + cancelled + running + pending`, but for tasks that move while the numbers are read. Reading them stops
/// nobody.
///
/// # Examples
/// ```
/// let pool = forkful::ThreadPoolExecutor::new(2);
/// for result in pool.map(|n| n * n, 0..100) {
///     result?;
/// }
/// let stats = pool.stats();
/// assert_eq!((stats.submitted, stats.done, stats.failed), (100, 100, 0));
/// assert_eq!(stats.run_time.count(), 100);
/// println!("nine of ten waited less than {:?}", stats.queue_wait.quantile(0.9));
/// # Ok::<(), forkful::TaskError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Tasks accepted.
    pub submitted: u64,
    /// Tasks that wait for a worker.
    pub pending: u64,
    /// Tasks that are being run.
    pub running: u64,
    /// Tasks that returned.
    pub done: u64,
    /// Tasks that panicked, or that ended with another error.
    pub failed: u64,
    /// Tasks cancelled before they began.
    pub cancelled: u64,
    /// The workers that are alive.
    pub workers: Vec<WorkerStats>,
    /// From submission to beginning.
    pub queue_wait: Histogram,
    /// From beginning to end.
    pub run_time: Histogram,
    /// Tasks by the name that their options gave them.
    pub tasks: BTreeMap<String, TaskStats>,
    /// Worker processes that died out of order.
    pub deaths: u64,
    /// How often tasks were run again, after their worker's death or their panic.
    pub retried: u64,
    /// Large buffers, of an executor with processes.
    pub buffers: Option<BufferStats>,
}

/// One worker, a thread or a process.
///
/// # Examples
/// ```
/// let pool = forkful::ThreadPoolExecutor::builder().workers(1).name("io").build()?;
/// pool.submit(|| ()).result()?;
/// let worker = &pool.stats().workers[0];
/// assert_eq!((worker.name.as_str(), worker.tasks), ("io_0", 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct WorkerStats {
    /// The thread's or the process's name.
    pub name: String,
    /// The process's number, if it is one.
    pub pid: Option<i32>,
    /// Tasks that it finished.
    pub tasks: u64,
    /// The time that it spent in finished tasks.
    pub busy: Duration,
    /// The time that it waited for one.
    pub idle: Duration,
}

/// All tasks of one name: see [`ThreadOptions::name`](crate::ThreadOptions::name).
///
/// # Examples
/// ```
/// use forkful::{ThreadOptions, ThreadPoolExecutor};
///
/// let pool = ThreadPoolExecutor::new(1);
/// let parsing = pool.with_options(ThreadOptions::new().name("parse"));
/// parsing.submit(|| "7".parse::<i32>()).result()?.unwrap();
/// let stats = pool.stats();
/// assert_eq!(stats.tasks["parse"].calls, 1);
/// # Ok::<(), forkful::TaskError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskStats {
    /// Finished calls, repeated ones counted each.
    pub calls: u64,
    /// From beginning to end, all calls together.
    pub wall: Duration,
    /// The CPU time that the calls used in their worker's thread; far below `wall`, they waited.
    pub cpu: Duration,
}

/// Large buffers, and the segments of shared memory in which they travel.
///
/// # Examples
/// ```
/// let pool = forkful::ThreadPoolExecutor::new(1);
/// assert!(pool.stats().buffers.is_none(), "threads need none");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferStats {
    /// Results that were not copied, as they lay in a segment already.
    pub lent: u64,
    /// Arguments and results that were copied into a segment, once.
    pub copied: u64,
    /// Those for which there was no segment, as too many were in use: they took the slower way.
    pub in_band: u64,
    /// Segments in use now.
    pub segments: u64,
    /// Those of them that this process holds.
    pub views: u64,
    /// Bytes of the segments in use.
    pub held: u64,
    /// Bytes of free segments that still have memory; it goes back to the system some seconds after the last use.
    pub warm: u64,
}

/// How often something took how long, in buckets of two per doubling from 64 ns on.
///
/// # Examples
/// ```
/// let pool = forkful::ThreadPoolExecutor::new(1);
/// pool.submit(|| std::thread::sleep(std::time::Duration::from_millis(3))).result()?;
/// let run_time = pool.stats().run_time;
/// assert_eq!(run_time.count(), 1);
/// assert!(run_time.total().as_millis() >= 3);
/// assert!(run_time.quantile(1.0) >= run_time.mean());
/// assert_eq!(run_time.buckets().map(|(_, count)| count).sum::<u64>(), 1);
/// # Ok::<(), forkful::TaskError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Histogram(HistogramSnapshot);

impl Histogram {
    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.0.count()
    }

    /// Their sum.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.total)
    }

    /// Their average; zero if nothing was recorded.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.0.total.checked_div(self.count()).unwrap_or(0))
    }

    /// An upper bound of the shortest `share` of them; zero if nothing was recorded.
    ///
    /// It is at most 1.5 times the true quantile, as wide as a bucket is; [`Duration::MAX`] beyond the last bound, of about 9 days.
    ///
    /// # Panics
    /// If `share` is not between 0 and 1.
    pub fn quantile(&self, share: f64) -> Duration {
        assert!(
            (0.0..=1.0).contains(&share),
            "the share of a quantile must be between 0 and 1, not {share}"
        );
        let wanted = share * self.count() as f64;
        let mut seen = 0;
        let reached = self.buckets().find(|(_, count)| {
            seen += count;
            seen as f64 >= wanted
        });
        reached.map_or(Duration::ZERO, |(bound, _)| bound.unwrap_or(Duration::MAX))
    }

    /// The buckets that hold something, rising: the exclusive upper bound (the last bucket has none) and the count.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<Duration>, u64)> + '_ {
        let all = self.0.counts.iter().enumerate();
        all.filter(|&(_, &count)| count > 0)
            .map(|(index, &count)| (bucket_bound(index).map(Duration::from_nanos), count))
    }
}

impl Histogram {
    /// Of the engine's.
    pub(crate) fn of(snapshot: HistogramSnapshot) -> Histogram {
        Histogram(snapshot)
    }
}

impl TaskStats {
    /// Of the engine's.
    pub(crate) fn of(snapshot: MeterSnapshot) -> TaskStats {
        TaskStats {
            calls: snapshot.calls,
            wall: snapshot.wall,
            cpu: snapshot.cpu,
        }
    }
}

impl WorkerStats {
    /// Of a worker thread.
    pub(crate) fn of_thread(name: String, snapshot: &WorkerSnapshot) -> WorkerStats {
        WorkerStats {
            name,
            pid: None,
            tasks: snapshot.done + snapshot.failed,
            busy: Duration::from_nanos(snapshot.run_time.total),
            idle: snapshot.idle,
        }
    }
}
