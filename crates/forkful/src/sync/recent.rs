//! Keeps a worker's shared objects a while, so that those which come with each task are not fetched and mapped for each.
//!
//! Only in workers: there a task's handles are dropped with it, while the program that has sent them keeps its own.

use forkful_core::sync::{Cell, queue::Queue};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many of each kind are kept.
const MOST: usize = 8;

/// Last used last.
struct Recent {
    /// Whether this is a worker.
    on: bool,
    /// One for each file of cells.
    cells: VecDeque<Arc<Cell>>,
    queues: VecDeque<Arc<Queue>>,
}

fn recent() -> MutexGuard<'static, Recent> {
    static RECENT: Mutex<Recent> = Mutex::new(Recent {
        on: false,
        cells: VecDeque::new(),
        queues: VecDeque::new(),
    });
    RECENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// This process is a worker.
pub(crate) fn begin() {
    recent().on = true;
}

/// The worker has nothing to do, perhaps for long. What lies in a queue that nobody else has any more would be kept as long: those with
/// items in them go. (All of them: a task with a queue took 100 us more whenever it found its worker idle, for the fetch and the mapping.)
pub(crate) fn rest() {
    let gone = {
        let mut recent = recent();
        if recent.queues.is_empty() {
            return;
        }
        let queues = std::mem::take(&mut recent.queues);
        let (kept, gone): (VecDeque<_>, VecDeque<_>) =
            queues.into_iter().partition(|queue| queue.is_empty());
        recent.queues = kept;
        gone
    };
    drop(gone);
}

/// One has come from elsewhere.
pub(super) fn keep_cell(cell: &Arc<Cell>) {
    let mut recent = recent();
    if recent.on {
        let file = |cell: &Cell| cell.identity().0;
        recent.cells.retain(|kept| file(kept) != file(cell));
        let gone = put(&mut recent.cells, cell);
        drop(recent);
        drop(gone);
    }
}

/// The same of a queue.
pub(super) fn keep_queue(queue: &Arc<Queue>) {
    let mut recent = recent();
    if recent.on {
        let gone = put(&mut recent.queues, queue);
        drop(recent);
        drop(gone);
    }
}

/// What has to go for it, to be dropped when the lock is free.
#[must_use]
fn put<T>(kept: &mut VecDeque<Arc<T>>, one: &Arc<T>) -> Option<Arc<T>> {
    kept.push_back(one.clone());
    (kept.len() > MOST).then(|| kept.pop_front())?
}
