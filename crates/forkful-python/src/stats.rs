//! The pool's numbers as plain Python values; `_stats.py` gives them their classes.

use forkful_core::procs::numbers::Snapshot;
use forkful_core::stats::{BUCKETS, HistogramSnapshot, Meter, WorkerSnapshot, bucket_bound};
use forkful_core::threads::PoolSnapshot;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use std::collections::BTreeMap;
use std::sync::Arc;

const NANO: f64 = 1e-9;

/// A histogram as (total seconds, [(upper bound in seconds, count), ...]); the last bound is infinite, empty ends are cut off.
fn histogram<'py>(
    py: Python<'py>,
    histogram: &HistogramSnapshot,
) -> PyResult<(f64, Bound<'py, PyList>)> {
    let used = histogram
        .counts
        .iter()
        .rposition(|&count| count > 0)
        .map_or(0, |last| last + 1);
    let first = histogram
        .counts
        .iter()
        .position(|&count| count > 0)
        .unwrap_or(0);
    let buckets = (first..used.min(BUCKETS)).map(|index| {
        let bound = bucket_bound(index).map_or(f64::INFINITY, |nanos| nanos as f64 * NANO);
        (bound, histogram.counts[index])
    });
    Ok((
        histogram.total as f64 * NANO,
        PyList::new(py, buckets.collect::<Vec<_>>())?,
    ))
}

/// (index, tasks, busy seconds, idle seconds).
fn worker(index: u32, worker: &WorkerSnapshot) -> (u32, u64, f64, f64) {
    (
        index,
        worker.done + worker.failed,
        worker.run_time.total as f64 * NANO,
        worker.idle.as_secs_f64(),
    )
}

/// Everything that a pool counts, as a dictionary.
pub fn snapshot<'py>(
    py: Python<'py>,
    pool: &PoolSnapshot,
    meters: &BTreeMap<String, Arc<Meter>>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let (done, failed) = (pool.total.done, pool.total.failed);
    let over = done + failed + pool.cancelled + pool.pending;
    dict.set_item("submitted", pool.submitted)?;
    dict.set_item("running", pool.submitted.saturating_sub(over))?;
    dict.set_item("done", done)?;
    dict.set_item("failed", failed)?;
    dict.set_item("cancelled", pool.cancelled)?;
    dict.set_item("pending", pool.pending)?;
    let workers = pool
        .workers
        .iter()
        .map(|(index, snapshot)| worker(*index, snapshot));
    dict.set_item("workers", workers.collect::<Vec<_>>())?;
    dict.set_item("queue_wait", histogram(py, &pool.total.queue_wait)?)?;
    dict.set_item("run_time", histogram(py, &pool.total.run_time)?)?;
    dict.set_item("tasks", tasks(py, meters)?)?;
    Ok(dict)
}

/// Everything that a pool of processes counts, as a dictionary.
pub fn process_snapshot<'py>(
    py: Python<'py>,
    pool: &Snapshot,
    meters: &BTreeMap<String, Arc<Meter>>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let counts = [
        ("submitted", pool.submitted),
        ("running", pool.running),
        ("done", pool.done),
        ("failed", pool.failed),
        ("cancelled", pool.cancelled),
        ("pending", pool.pending),
        ("deaths", pool.deaths),
        ("retried", pool.retried),
    ];
    for (name, count) in counts {
        dict.set_item(name, count)?;
    }
    let buffers = &pool.buffers;
    let counts = [
        ("lent", buffers.handed),
        ("copied", buffers.copied),
        ("in_band", buffers.inside),
        ("segments", buffers.segments as u64),
        ("views", buffers.views as u64),
        ("held", buffers.lent),
        ("warm", buffers.warm),
    ];
    let named = PyDict::new(py);
    for (name, count) in counts {
        named.set_item(name, count)?;
    }
    dict.set_item("buffers", named)?;
    let (mut waits, mut runs) = (pool.past.waits.clone(), pool.past.runs.clone());
    let mut workers = Vec::new();
    for (seat, pid, page) in &pool.workers {
        waits.merge(&page.waits);
        runs.merge(&page.runs);
        workers.push((
            seat,
            pid,
            page.done,
            page.busy as f64 * NANO,
            page.idle as f64 * NANO,
        ));
    }
    dict.set_item("workers", workers)?;
    dict.set_item("queue_wait", histogram(py, &waits)?)?;
    dict.set_item("run_time", histogram(py, &runs)?)?;
    dict.set_item("tasks", tasks(py, meters)?)?;
    Ok(dict)
}

fn tasks<'py>(
    py: Python<'py>,
    meters: &BTreeMap<String, Arc<Meter>>,
) -> PyResult<Bound<'py, PyDict>> {
    let tasks = PyDict::new(py);
    for (name, meter) in meters {
        let meter = meter.snapshot();
        let numbers = (
            meter.calls,
            meter.wall.as_secs_f64(),
            meter.cpu.as_secs_f64(),
        );
        tasks.set_item(name, numbers)?;
    }
    Ok(tasks)
}
