//! Three submitters, three workers, and a shutdown at a random moment: each accepted job runs once, or is drained.

use super::watchdog::Watchdog;
use forkful_core::sys::Stamp;
use forkful_core::threads::{Berth, Pool, Terms, WorkerState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::{self, JoinHandle};

const SUBMITTERS: usize = 3;
const WORKERS: u32 = 3;
const JOBS: usize = 400;
const ROUNDS: u64 = 60;

type Threads = Vec<JoinHandle<()>>;

/// How often each job ran or was drained.
struct Ledger(Vec<AtomicU32>);

impl Ledger {
    fn note(&self, job: usize) {
        self.0[job].fetch_add(1, Relaxed);
    }
}

/// A worker's thread, as a user of the pool writes it.
fn work(berth: Berth<usize>, ledger: &Ledger) {
    let worker = berth.board().unwrap();
    loop {
        while let Some(job) = worker.next_job() {
            worker.pool().began();
            let began = worker.job_begins(Stamp::now());
            ledger.note(job);
            let _ = worker.job_ends(began, false);
            if worker.is_surplus() && worker.leave() {
                return;
            }
        }
        worker.rest();
        if !worker.pool().spin() {
            worker.pool().sleep();
        }
        if worker.rise() == WorkerState::Leave && worker.leave() {
            return;
        }
    }
}

/// Submits until all are accepted or one is refused; returns how many were, and the threads that it had to start.
fn submit(
    pool: &Arc<Pool<usize>>,
    ledger: &Arc<Ledger>,
    jobs: std::ops::Range<usize>,
) -> (usize, Threads) {
    let (mut accepted, mut threads) = (0, Vec::new());
    for job in jobs {
        let priority = (job % 7 == 0) as i32 - (job % 11 == 0) as i32;
        let mut terms = Terms {
            priority,
            counted: false,
        };
        while pool.is_bounded() && !terms.counted && pool.refusal().is_none() {
            terms.counted = pool.claim_room();
            if !terms.counted {
                pool.wait_for_room::<()>(|| Ok(())).unwrap();
            }
        }
        match pool.submit(job, terms) {
            Ok(berth) => threads.extend(berth.map(|berth| {
                let ledger = ledger.clone();
                thread::spawn(move || work(berth, &ledger))
            })),
            Err(_) => break,
        }
        accepted += 1;
    }
    (accepted, threads)
}

/// A small generator: the moments differ from round to round and are the same in each run.
fn moment(round: u64) -> u64 {
    round
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
        >> 47
}

fn round(number: u64, max_pending: u32, drains: bool) {
    let pool = Arc::new(Pool::new(WORKERS, max_pending));
    let ledger = Arc::new(Ledger(
        (0..SUBMITTERS * JOBS).map(|_| AtomicU32::new(0)).collect(),
    ));
    let submitters: Vec<_> = (0..SUBMITTERS)
        .map(|index| {
            let (pool, ledger) = (pool.clone(), ledger.clone());
            thread::spawn(move || submit(&pool, &ledger, index * JOBS..(index + 1) * JOBS))
        })
        .collect();
    for _ in 0..moment(number) % 3000 {
        std::hint::spin_loop();
    }
    if number.is_multiple_of(2) {
        thread::yield_now();
    }
    let mut drained = 0;
    if drains {
        pool.break_down();
    } else {
        pool.close();
    }
    while let Some(job) = drains.then(|| pool.drain()).flatten() {
        pool.began();
        ledger.note(job);
        drained += 1;
    }
    let mut accepted = Vec::new();
    for submitter in submitters {
        let (count, threads) = submitter.join().unwrap();
        accepted.push(count);
        threads
            .into_iter()
            .for_each(|worker| worker.join().unwrap());
    }
    for (index, count) in accepted.iter().enumerate() {
        for job in 0..JOBS {
            let ran = ledger.0[index * JOBS + job].load(Relaxed);
            assert_eq!(
                ran,
                u32::from(job < *count),
                "round {number}, submitter {index}, job {job} of {count}"
            );
        }
    }
    let (all, counted) = (accepted.iter().sum::<usize>() as u64, pool.snapshot());
    assert_eq!(
        (
            counted.submitted,
            counted.pending,
            counted.total.done + drained
        ),
        (all, 0, all)
    );
    assert!(!pool.has_workers());
    assert_eq!(pool.idle(), 0);
}

#[test]
fn what_was_accepted_runs_once() {
    let _watchdog = Watchdog::over("what_was_accepted_runs_once");
    (0..ROUNDS).for_each(|number| round(number, 0, false));
}

#[test]
fn what_was_accepted_runs_once_with_little_room() {
    let _watchdog = Watchdog::over("what_was_accepted_runs_once_with_little_room");
    (0..ROUNDS).for_each(|number| round(number, 2, false));
}

#[test]
fn what_is_drained_does_not_run() {
    let _watchdog = Watchdog::over("what_is_drained_does_not_run");
    (0..ROUNDS).for_each(|number| round(number, 0, true));
}
