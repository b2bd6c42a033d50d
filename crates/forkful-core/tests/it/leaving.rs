//! A worker that leaves, or a purge, leaves no job behind without somebody who will run it. Step by step, in one thread.

use forkful_core::threads::{Berth, Pool, Terms, Worker, WorkerState};
use std::cell::Cell;
use std::sync::Arc;

type Jobs = Arc<Pool<&'static str>>;

fn submit(pool: &Jobs, job: &'static str) -> Option<Berth<&'static str>> {
    pool.submit(job, Terms::default()).unwrap()
}

/// A worker that has just begun its first job.
fn busy(pool: &Jobs) -> Worker<&'static str> {
    let worker = submit(pool, "long")
        .expect("a worker is missing")
        .board()
        .unwrap();
    assert_eq!(worker.next_job(), Some("long"));
    pool.began();
    worker
}

#[test]
fn two_that_are_one_too_many_do_not_both_leave_a_job() {
    let pool = Arc::new(Pool::new(2, 0));
    let (first, waiting) = (busy(&pool), busy(&pool));
    // `waiting` waits for a job of its pool, and a third worker takes its place.
    let (blocked, _) = pool.block();
    let third = busy(&pool);
    drop(blocked);
    // Three for a pool of two. Two of them are without work, and both see that there is one too many.
    first.rest();
    third.rest();
    assert_eq!(
        (first.rise(), third.rise()),
        (WorkerState::Leave, WorkerState::Leave)
    );
    let berth = submit(&pool, "short");
    let gone = [first.leave(), third.leave()];
    // `waiting` is still busy, perhaps until "short" has run.
    assert!(
        berth.is_some() || gone.contains(&false),
        "nobody is free to run the job"
    );
    drop(waiting);
}

#[test]
fn a_purge_hides_no_job_from_a_worker_that_looks() {
    let pool = Arc::new(Pool::new(1, 0));
    let worker = busy(&pool);
    assert!(submit(&pool, "taken").is_none());
    assert!(submit(&pool, "kept").is_none());
    pool.close();
    worker.rest();
    let left = Cell::new(false);
    let gone = pool.purge(|job| {
        // The purge has both in its hand now, and the worker looks around.
        if *job == "kept" {
            left.set(worker.rise() == WorkerState::Leave && worker.leave());
        }
        *job == "taken"
    });
    assert_eq!(gone, ["taken"]);
    assert!(
        !left.get() || pool.drain().is_none(),
        "the last worker left while a job was hidden from it"
    );
}
