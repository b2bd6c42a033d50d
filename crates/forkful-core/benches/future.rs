//! What a future costs: alone, and handed from one thread to another.

use criterion::{Criterion, criterion_group, criterion_main};
use forkful_core::deadline::Deadline;
use forkful_core::future::{Core, Finish};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

type Future = Core<u64, u64, ()>;

fn finish(future: &Future, value: u64) {
    if let Ok(Finish::Tell) = future.finish(value, false) {
        future.state().tell();
    }
}

fn wait(future: &Future) -> u64 {
    future.wait::<()>(Deadline::NEVER, || Ok(())).unwrap();
    *future.value().unwrap()
}

fn alone(criterion: &mut Criterion) {
    criterion.bench_function("future/create, finish, read", |bench| {
        bench.iter(|| {
            let future = Future::new(None);
            finish(&future, 7);
            black_box(future.value().copied())
        });
    });
    criterion.bench_function("future/create, begin, finish, wait", |bench| {
        bench.iter(|| {
            let future = Arc::new(Future::new(Some(7)));
            let task = future.begin().flatten().unwrap();
            finish(&future, task);
            wait(&future)
        });
    });
}

/// There and back: a partner finishes each future that it is sent, as soon as the last one was read.
fn handover(criterion: &mut Criterion) {
    criterion.bench_function("future/finish in another thread, wait", |bench| {
        bench.iter_custom(|count| {
            let (send, receive) = channel::<Arc<Future>>();
            let partner =
                thread::spawn(move || receive.into_iter().for_each(|future| finish(&future, 7)));
            let start = Instant::now();
            for _ in 0..count {
                let future = Arc::new(Future::new(None));
                send.send(future.clone()).unwrap();
                black_box(wait(&future));
            }
            let taken = start.elapsed();
            drop(send);
            partner.join().unwrap();
            taken
        });
    });
    criterion.bench_function("future/two threads take turns", |bench| {
        bench.iter_custom(|count| {
            // Nothing but futures in between: each thread waits for the other's before it finishes its own.
            let futures: Arc<Vec<[Future; 2]>> = Arc::new(
                (0..count)
                    .map(|_| [Future::new(None), Future::new(None)])
                    .collect(),
            );
            let theirs = futures.clone();
            let partner = thread::spawn(move || {
                for [ping, pong] in theirs.iter() {
                    finish(pong, wait(ping));
                }
            });
            let start = Instant::now();
            for [ping, pong] in futures.iter() {
                finish(ping, 7);
                black_box(wait(pong));
            }
            let taken = start.elapsed();
            partner.join().unwrap();
            taken
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(20);
    targets = alone, handover
}
criterion_main!(benches);
