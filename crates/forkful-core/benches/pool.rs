//! A hundred thousand empty jobs through one and two workers, without an interpreter.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forkful_core::sys::Stamp;
use forkful_core::threads::{Berth, Pool, Terms, WorkerState};
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const JOBS: u64 = 100_000;

fn work(berth: Berth<u64>) {
    let worker = berth.board().unwrap();
    loop {
        while let Some(job) = worker.next_job() {
            worker.pool().began();
            let began = worker.job_begins(worker.now());
            black_box(job);
            let _: Stamp = worker.job_ends(began, false);
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

/// Submits everything, shuts down, and waits for the workers.
fn run(workers: u32, max_pending: u32) -> Duration {
    let pool = Arc::new(Pool::new(workers, max_pending));
    let mut threads = Vec::new();
    let start = Instant::now();
    for job in 0..JOBS {
        let counted = pool.is_bounded();
        while counted && !pool.claim_room() {
            pool.wait_for_room::<()>(|| Ok(())).unwrap();
        }
        let terms = Terms {
            priority: 0,
            counted,
        };
        let berth = pool.submit(job, terms).unwrap();
        threads.extend(berth.map(|berth| thread::spawn(move || work(berth))));
    }
    pool.close();
    for thread in threads {
        thread.join().unwrap();
    }
    start.elapsed()
}

fn empty_jobs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool/100k empty jobs");
    group.throughput(Throughput::Elements(JOBS));
    for (name, workers, max_pending) in [
        ("1 worker", 1, 0),
        ("2 workers", 2, 0),
        ("1 worker, room for 100", 1, 100),
    ] {
        group.bench_function(name, |bench| {
            bench.iter_custom(|count| (0..count).map(|_| run(workers, max_pending)).sum());
        });
    }
    group.finish();
}

/// One at a time: submit, and wait until it ran; the worker has gone to rest in between.
fn one_at_a_time(criterion: &mut Criterion) {
    criterion.bench_function("pool/one job, there and back", |bench| {
        let pool = Arc::new(Pool::new(1, 0));
        let mut thread = None;
        let mut done = 0;
        bench.iter(|| {
            let berth = pool.submit(done, Terms::default()).unwrap();
            if let Some(berth) = berth {
                thread = Some(thread::spawn(move || work(berth)));
            }
            done += 1;
            while pool.idle() == 0 || pool.pending() != 0 {
                thread::yield_now();
            }
        });
        pool.close();
        thread.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(3)).sample_size(10);
    targets = empty_jobs, one_at_a_time
}
criterion_main!(benches);
