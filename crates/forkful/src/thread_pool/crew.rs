//! A worker thread: its loop, and the tasks that run inside its waits.
//!
//! Knows: the pool's shared part, its queue's tasks. Does not know: executors, results.

use super::shared::Shared;
use super::work::{Job, PoolNumber, Queued};
use crate::error::message_of;
use crate::quiet::quietly;
use forkful_core::threads::{Berth, Worker, WorkerState};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

/// So many tasks run inside each other's waits on one thread; deeper ones get a thread of their own, so that no chain of waits uses up a
/// stack of 2 MiB as long as each task keeps to 32 KiB of it.
const NESTED_DEPTH: u32 = 64;

/// The worker that the calling thread is.
struct Active {
    worker: Worker<Queued>,
    shared: Arc<Shared>,
    depth: Cell<u32>,
}

thread_local! {
    static ACTIVE: RefCell<Option<Rc<Active>>> = const { RefCell::new(None) };
}

fn active(pool: PoolNumber) -> Option<Rc<Active>> {
    let of_pool = |active: &RefCell<Option<Rc<Active>>>| {
        let active = active.borrow();
        let active = active.as_ref()?;
        (active.shared.number.get() == pool.get()).then(|| active.clone())
    };
    // A thread that ends has none any more.
    ACTIVE.try_with(of_pool).ok().flatten()
}

/// Whether the calling thread is a worker of this pool.
pub(super) fn is_worker_of(pool: PoolNumber) -> bool {
    active(pool).is_some()
}

/// Runs a queued task inside the wait of a worker of the same pool, unless that is too deep, or it was taken; whether it did.
pub(super) fn run_nested(pool: PoolNumber, job: &dyn Job) -> bool {
    let Some(active) = active(pool).filter(|active| active.depth.get() < NESTED_DEPTH) else {
        return false;
    };
    active.depth.set(active.depth.get() + 1);
    // The task that waits has run for a while.
    active.worker.look_at_clock();
    // Its entry is in the queue still.
    let ran = job.run(&active.worker, &|| active.shared.left_in_queue());
    active.depth.set(active.depth.get() - 1);
    ran
}

/// If the calling thread is one of its workers: it waits from now on, until the guard is dropped, and another takes its place.
pub(super) fn step_aside(pool: PoolNumber) -> Option<Box<dyn Any>> {
    let active = active(pool)?;
    Some(Box::new(active.shared.block()))
}

/// The life of a worker thread.
pub(super) fn work(shared: Arc<Shared>, berth: Berth<Queued>) {
    let Some(worker) = berth.board() else {
        return;
    };
    let active = Rc::new(Active {
        worker,
        shared,
        depth: Cell::new(0),
    });
    ACTIVE.set(Some(active.clone()));
    match initialise(&active.shared) {
        Ok(()) => {
            active.worker.look_at_clock();
            serve(&active.worker);
        }
        Err(why) => active.shared.break_down(&why),
    }
    ACTIVE.set(None);
}

fn initialise(shared: &Shared) -> Result<(), String> {
    let Some(initializer) = &shared.initializer else {
        return Ok(());
    };
    catch_unwind(AssertUnwindSafe(initializer)).map_err(|payload| {
        let why = format!("its initializer panicked: {}", message_of(&*payload));
        std::mem::forget(payload);
        why
    })
}

fn serve(worker: &Worker<Queued>) {
    let pool = worker.pool();
    loop {
        while let Some(job) = worker.next_job() {
            // With the task the result may be dropped here, and whatever else is the user's.
            quietly(move || {
                if !job.run(worker, &|| worker.pool().began()) {
                    worker.pool().popped_stale();
                }
            });
            if worker.is_surplus() && worker.leave() {
                return;
            }
        }
        worker.rest();
        if !pool.spin() {
            pool.sleep();
        }
        if worker.rise() == WorkerState::Leave && worker.leave() {
            return;
        }
    }
}
