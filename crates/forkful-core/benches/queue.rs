//! What the pool's queue costs, by way of the pool without threads: alone, and with two at either end.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use forkful_core::threads::{Pool, Terms};
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

const PER_PRODUCER: u64 = 10_000;

/// A pool that has given all its berths away, so that a submission is little more than a push.
fn queue() -> Arc<Pool<u64>> {
    let pool = Arc::new(Pool::new(1, 0));
    std::mem::forget(pool.submit(0, Terms::default()).unwrap());
    pop(&pool);
    pool
}

fn push(queue: &Arc<Pool<u64>>, job: u64, priority: i32) {
    let terms = Terms {
        priority,
        counted: false,
    };
    black_box(queue.submit(job, terms).is_ok());
}

fn pop(queue: &Pool<u64>) -> Option<u64> {
    queue.drain().inspect(|_| queue.began())
}

fn alone(criterion: &mut Criterion) {
    for (name, priority) in [
        ("queue/push, pop", 0),
        ("queue/push, pop with a priority", -1),
    ] {
        let queue = queue();
        criterion.bench_function(name, |bench| {
            bench.iter(|| {
                push(&queue, 7, priority);
                pop(&queue)
            });
        });
    }
}

fn contended(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Elements(2 * PER_PRODUCER));
    group.bench_function("2 producers, 2 consumers", |bench| {
        bench.iter_custom(|count| {
            let queue = queue();
            let start = Instant::now();
            for _ in 0..count {
                thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| (0..PER_PRODUCER).for_each(|job| push(&queue, job, 0)));
                        scope.spawn(|| {
                            let mut left = PER_PRODUCER;
                            while left != 0 {
                                match pop(&queue) {
                                    Some(_) => left -= 1,
                                    None => thread::yield_now(),
                                }
                            }
                        });
                    }
                });
            }
            start.elapsed()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(20);
    targets = alone, contended
}
criterion_main!(benches);
