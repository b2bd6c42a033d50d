//! What one worker did, and what one kind of task cost.

use super::{Counter, Histogram, HistogramSnapshot};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::sys::Stamp;

/// One kind of task, by whatever name its user gives it: calls, wall time, CPU time of the calling thread.
#[derive(Debug, Default)]
pub struct Meter {
    calls: Counter,
    wall: Counter,
    cpu: Counter,
}

/// A meter at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeterSnapshot {
    /// Finished calls.
    pub calls: u64,
    /// Their time from beginning to end.
    pub wall: Duration,
    /// The CPU time that they used themselves; much less than `wall` means that they waited.
    pub cpu: Duration,
}

impl Meter {
    /// Counts one call, from any thread.
    pub fn record(&self, wall: Duration, cpu: Duration) {
        self.calls.add(1);
        self.wall.add(wall.as_nanos() as u64);
        self.cpu.add(cpu.as_nanos() as u64);
    }

    /// A copy.
    pub fn snapshot(&self) -> MeterSnapshot {
        MeterSnapshot {
            calls: self.calls.get(),
            wall: Duration::from_nanos(self.wall.get()),
            cpu: Duration::from_nanos(self.cpu.get()),
        }
    }
}

/// What one worker did; only that worker writes.
#[derive(Debug, Default)]
pub struct WorkerMeter {
    /// How long its tasks had waited.
    pub queue_wait: Histogram,
    /// How long they ran.
    pub run_time: Histogram,
    /// How many of them returned a value.
    pub done: Counter,
    /// How many raised.
    pub failed: Counter,
    /// Nanoseconds spent without a task.
    idle: Counter,
    /// Since when it has had none; 0 while it has one.
    idle_since: AtomicU64,
}

/// A worker's meter at one moment.
#[derive(Clone, Debug, Default)]
pub struct WorkerSnapshot {
    /// How long its tasks had waited.
    pub queue_wait: HistogramSnapshot,
    /// How long they ran.
    pub run_time: HistogramSnapshot,
    /// How many returned a value.
    pub done: u64,
    /// How many raised.
    pub failed: u64,
    /// Time without a task.
    pub idle: Duration,
}

impl WorkerMeter {
    /// The worker has nothing to do from now on.
    pub fn idle_from(&self, now: Stamp) {
        self.idle_since.store(now.nanos(), Ordering::Relaxed);
    }

    /// The worker found a task, or leaves.
    pub fn idle_until(&self, now: Stamp) {
        let since = self.idle_since.load(Ordering::Relaxed);
        if since != 0 {
            self.idle_since.store(0, Ordering::Relaxed);
            self.idle.add_owned(now.since(Stamp::from_nanos(since)));
        }
    }

    /// A copy, with the idle time that is still going on.
    pub fn snapshot(&self) -> WorkerSnapshot {
        let since = self.idle_since.load(Ordering::Relaxed);
        let going_on = if since == 0 {
            0
        } else {
            Stamp::now().since(Stamp::from_nanos(since))
        };
        WorkerSnapshot {
            queue_wait: self.queue_wait.snapshot(),
            run_time: self.run_time.snapshot(),
            done: self.done.get(),
            failed: self.failed.get(),
            idle: Duration::from_nanos(self.idle.get() + going_on),
        }
    }
}

impl WorkerSnapshot {
    /// Adds another worker's numbers to these.
    pub fn merge(&mut self, other: &WorkerSnapshot) {
        self.queue_wait.merge(&other.queue_wait);
        self.run_time.merge(&other.run_time);
        self.done += other.done;
        self.failed += other.failed;
        self.idle += other.idle;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_adds_up() {
        let meter = Meter::default();
        meter.record(Duration::from_millis(2), Duration::from_millis(1));
        meter.record(Duration::from_millis(2), Duration::ZERO);
        assert_eq!(
            meter.snapshot(),
            MeterSnapshot {
                calls: 2,
                wall: Duration::from_millis(4),
                cpu: Duration::from_millis(1)
            }
        );
    }

    #[test]
    fn idle_time_is_counted_while_it_lasts_and_once() {
        let meter = WorkerMeter::default();
        let start = Stamp::now();
        meter.idle_from(start);
        while Stamp::now().since(start) < 1000 {}
        assert!(meter.snapshot().idle >= Duration::from_micros(1));
        let end = Stamp::now();
        meter.idle_until(end);
        meter.idle_until(Stamp::now());
        assert_eq!(
            meter.snapshot().idle,
            Duration::from_nanos(end.since(start))
        );
    }
}
