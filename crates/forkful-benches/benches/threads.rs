//! Tasks of threads: forkful's pool beside rayon, the crate threadpool, and tokio's spawn_blocking.
//!
//! Every task is submitted by itself, and its result is collected by itself: forkful and tokio have a handle for that, the two others
//! send it through a channel for one value, of which `oneshot` was the fastest. A million empty tasks, the way there and back of a
//! single one, and sums of halves, each of which is a task that waits for its own.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use forkful::ThreadPoolExecutor;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

const MANY: u64 = 1_000_000;

/// Something that runs a closure in another thread, and whose result can be waited for.
trait Pool {
    type Handle;
    fn submit(&self, function: impl FnOnce() -> u64 + Send + 'static) -> Self::Handle;
    fn result(&self, handle: Self::Handle) -> u64;
}

impl Pool for ThreadPoolExecutor {
    type Handle = forkful::Future<u64>;

    fn submit(&self, function: impl FnOnce() -> u64 + Send + 'static) -> Self::Handle {
        ThreadPoolExecutor::submit(self, function)
    }

    fn result(&self, handle: Self::Handle) -> u64 {
        handle.result().expect("it does not fail")
    }
}

impl Pool for rayon::ThreadPool {
    type Handle = oneshot::Receiver<u64>;

    fn submit(&self, function: impl FnOnce() -> u64 + Send + 'static) -> Self::Handle {
        let (send, receive) = oneshot::channel();
        self.spawn(move || {
            let _ = send.send(function());
        });
        receive
    }

    fn result(&self, handle: Self::Handle) -> u64 {
        handle.recv().expect("it does not fail")
    }
}

impl Pool for threadpool::ThreadPool {
    type Handle = oneshot::Receiver<u64>;

    fn submit(&self, function: impl FnOnce() -> u64 + Send + 'static) -> Self::Handle {
        let (send, receive) = oneshot::channel();
        self.execute(move || {
            let _ = send.send(function());
        });
        receive
    }

    fn result(&self, handle: Self::Handle) -> u64 {
        handle.recv().expect("it does not fail")
    }
}

impl Pool for tokio::runtime::Runtime {
    type Handle = tokio::task::JoinHandle<u64>;

    fn submit(&self, function: impl FnOnce() -> u64 + Send + 'static) -> Self::Handle {
        self.spawn_blocking(function)
    }

    fn result(&self, handle: Self::Handle) -> u64 {
        self.block_on(handle).expect("it does not fail")
    }
}

fn rayon_pool(workers: usize) -> rayon::ThreadPool {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(workers);
    builder.build().expect("threads")
}

fn tokio_runtime(workers: usize) -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder
        .max_blocking_threads(workers)
        .build()
        .expect("threads")
}

/// Submits a million tasks, and then collects their results.
fn million(pool: &impl Pool) -> Duration {
    let start = Instant::now();
    let handles: Vec<_> = (0..MANY).map(|n| pool.submit(move || n)).collect();
    let sum: u64 = handles.into_iter().map(|handle| pool.result(handle)).sum();
    assert_eq!(sum, MANY * (MANY - 1) / 2);
    start.elapsed()
}

fn empty_tasks(criterion: &mut Criterion) {
    for workers in [1, 2] {
        let name = format!("threads/a million tasks, workers: {workers}");
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(MANY));
        group.sample_size(10);
        measure_million(&mut group, "forkful", &ThreadPoolExecutor::new(workers));
        measure_million(&mut group, "rayon", &rayon_pool(workers));
        measure_million(
            &mut group,
            "threadpool",
            &threadpool::ThreadPool::new(workers),
        );
        measure_million(&mut group, "tokio", &tokio_runtime(workers));
        group.finish();
    }
}

fn measure_million(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, pool: &impl Pool) {
    group.bench_function(name, |bench| {
        bench.iter_custom(|count| (0..count).map(|_| million(pool)).sum());
    });
}

fn one_task(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("threads/there and back");
    measure_one(&mut group, "forkful", &ThreadPoolExecutor::new(1));
    measure_one(&mut group, "rayon", &rayon_pool(1));
    measure_one(&mut group, "threadpool", &threadpool::ThreadPool::new(1));
    measure_one(&mut group, "tokio", &tokio_runtime(1));
    group.finish();
}

fn measure_one(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, pool: &impl Pool) {
    group.bench_function(name, |bench| {
        bench.iter(|| pool.result(pool.submit(|| black_box(1))));
    });
}

/// Sums by halves, each a task of the pool that the other half's task waits for.
fn halves(pool: &Arc<ThreadPoolExecutor>, from: u64, to: u64) -> u64 {
    if to - from <= 64 {
        return (from..to).map(black_box).sum();
    }
    let (middle, inner) = (from.midpoint(to), pool.clone());
    let right = pool.submit(move || halves(&inner, middle, to));
    halves(pool, from, middle) + right.result().expect("it does not fail")
}

/// The same with a scope.
fn scoped_halves(pool: &ThreadPoolExecutor, from: u64, to: u64) -> u64 {
    if to - from <= 64 {
        return (from..to).map(black_box).sum();
    }
    let middle = from.midpoint(to);
    pool.scope(|scope| {
        let right = scope.submit(|| scoped_halves(pool, middle, to));
        scoped_halves(pool, from, middle) + right.result().expect("it does not fail")
    })
}

fn rayon_halves(from: u64, to: u64) -> u64 {
    if to - from <= 64 {
        return (from..to).map(black_box).sum();
    }
    let middle = from.midpoint(to);
    let (left, right) = rayon::join(|| rayon_halves(from, middle), || rayon_halves(middle, to));
    left + right
}

fn nested(criterion: &mut Criterion) {
    const LENGTH: u64 = 1 << 16;
    let mut group = criterion.benchmark_group("threads/sums of halves");
    let pool = Arc::new(ThreadPoolExecutor::new(2));
    group.bench_function("forkful", |bench| {
        bench.iter(|| {
            let inner = pool.clone();
            pool.submit(move || halves(&inner, 0, LENGTH)).result()
        });
    });
    group.bench_function("forkful, scopes", |bench| {
        bench.iter(|| {
            let inner = pool.clone();
            pool.submit(move || scoped_halves(&inner, 0, LENGTH))
                .result()
        });
    });
    // Its join is made for that, and is measured to say how far away a pool of futures is.
    let rayon = rayon_pool(2);
    group.bench_function("rayon::join", |bench| {
        bench.iter(|| rayon.install(|| rayon_halves(0, LENGTH)));
    });
    group.finish();
}

criterion_group!(benches, empty_tasks, one_task, nested);
criterion_main!(benches);
