//! What a pool counts, put together when somebody asks.

use super::pool::Pool;
use super::worker::WorkerRecord;
use crate::stats::WorkerSnapshot;
use std::sync::Arc;

impl<J: Send> Pool<J> {
    pub(super) fn enlist(&self, record: Arc<WorkerRecord>) {
        self.workers.lock().push(record);
    }

    pub(super) fn retire(&self, record: &Arc<WorkerRecord>) {
        let snapshot = record.meter.snapshot();
        let mut workers = self.workers.lock();
        self.retired.lock().merge(&snapshot);
        workers.retain(|known| !Arc::ptr_eq(known, record));
    }

    /// Everything that is counted, at about one moment.
    pub fn snapshot(&self) -> PoolSnapshot {
        let (records, mut total) = {
            let workers = self.workers.lock();
            (workers.clone(), self.retired.lock().clone())
        };
        let mut workers = Vec::with_capacity(records.len());
        for record in records {
            let snapshot = record.meter.snapshot();
            total.merge(&snapshot);
            workers.push((record.index, snapshot));
        }
        total.done = total.done.wrapping_add(self.elsewhere[0].get());
        total.failed = total.failed.wrapping_add(self.elsewhere[1].get());
        PoolSnapshot {
            submitted: self.intake.submitted.get(),
            cancelled: self.cancelled.get(),
            pending: u64::from(self.pending()),
            total,
            workers,
        }
    }
}

/// Everything that a pool counts.
#[derive(Clone, Debug)]
pub struct PoolSnapshot {
    /// Jobs accepted since the beginning.
    pub submitted: u64,
    /// Of those, cancelled before they began.
    pub cancelled: u64,
    /// Of those, not begun yet.
    pub pending: u64,
    /// All workers together, those that left included.
    pub total: WorkerSnapshot,
    /// The workers that are there, by their index.
    pub workers: Vec<(u32, WorkerSnapshot)>,
}
