//! A process pool's numbers, in the words of all executors.
//!
//! Knows: the engine's snapshot, `stats`. Does not know: futures.

use super::shared::Shared;
use crate::stats::{BufferStats, Histogram, Stats, TaskStats, WorkerStats};
use forkful_core::procs::arena::Standing;
use forkful_core::wire::PageSnapshot;
use std::time::Duration;

/// What it did until now.
pub(super) fn stats(shared: &Shared) -> Stats {
    shared.poll();
    let pool = shared.pool.snapshot();
    let (mut waits, mut runs) = (pool.past.waits.clone(), pool.past.runs.clone());
    let mut workers = Vec::new();
    for (seat, pid, page) in &pool.workers {
        waits.merge(&page.waits);
        runs.merge(&page.runs);
        workers.push(worker(*seat, *pid, page));
    }
    let meters = shared.meters().into_iter();
    Stats {
        submitted: pool.submitted,
        pending: pool.pending,
        running: pool.running,
        done: pool.done,
        failed: pool.failed,
        cancelled: pool.cancelled,
        workers,
        queue_wait: Histogram::of(waits),
        run_time: Histogram::of(runs),
        tasks: meters
            .map(|(name, meter)| (name, TaskStats::of(meter.snapshot())))
            .collect(),
        deaths: pool.deaths,
        retried: pool.retried,
        buffers: Some(buffers(&pool.buffers)),
    }
}

fn worker(seat: u32, pid: i32, page: &PageSnapshot) -> WorkerStats {
    WorkerStats {
        name: format!("worker_{seat}"),
        pid: Some(pid),
        tasks: page.done,
        busy: Duration::from_nanos(page.busy),
        idle: Duration::from_nanos(page.idle),
    }
}

fn buffers(standing: &Standing) -> BufferStats {
    BufferStats {
        lent: standing.handed,
        copied: standing.copied,
        in_band: standing.inside,
        segments: standing.segments as u64,
        views: standing.views as u64,
        held: standing.lent,
        warm: standing.warm,
    }
}
