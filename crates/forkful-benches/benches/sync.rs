//! What processes share: a mutex beside std's, permits, items of a queue between two processes beside a pipe, and what a handle adds to a task.
//!
//! Nobody else wants the mutex and the permits. The queue's items are numbers, one at a time; the pipe has the same as postcard frames
//! behind buffers, which are flushed after each 64.

use criterion::{Criterion, Throughput, criterion_group};
use forkful::sync::{Event, Mutex, Queue, Semaphore};
use forkful::{Fd, ProcessPoolExecutor};
use std::hint::black_box;
use std::io::{BufReader, BufWriter, Read, Write};
use std::time::Instant;

#[forkful::task]
fn send(queue: Queue<u64>, ready: Event, count: u64) {
    ready.wait();
    (0..count).for_each(|nth| queue.put(nth).expect("there is memory"));
}

#[forkful::task]
fn send_by_pipe(pipe: Fd, ready: Event, count: u64) {
    ready.wait();
    let mut pipe = BufWriter::new(pipe.into_file());
    for nth in 0..count {
        let mut frame = [0; 10];
        let bytes = postcard::to_slice(&nth, &mut frame[1..]).expect("it fits");
        let len = bytes.len();
        frame[0] = len as u8;
        pipe.write_all(&frame[..=len])
            .expect("the other end is open");
        if nth % 64 == 63 {
            pipe.flush().expect("the other end is open");
        }
    }
}

#[forkful::task]
fn nothing(number: u64) -> u64 {
    number
}

#[forkful::task]
fn with_mutex(mutex: Mutex, number: u64) -> u64 {
    number + u64::from(mutex.is_locked())
}

#[forkful::task]
fn with_queue(queue: Queue<u64>, number: u64) {
    queue.put(number).expect("there is memory");
}

fn held_by_nobody(c: &mut Criterion) {
    let mut group = c.benchmark_group("taken and given back");
    let (mutex, semaphore) = (Mutex::new().unwrap(), Semaphore::new(1).unwrap());
    let of_std = std::sync::Mutex::new(());
    group.bench_function("std Mutex", |b| b.iter(|| drop(black_box(of_std.lock()))));
    group.bench_function("Mutex", |b| b.iter(|| drop(black_box(mutex.lock()))));
    group.bench_function("Semaphore", |b| {
        b.iter(|| drop(black_box(semaphore.acquire())));
    });
    let queue = Queue::<u64>::unbounded().unwrap();
    group.bench_function("Queue, put and get", |b| {
        b.iter(|| {
            queue.put(black_box(7)).unwrap();
            queue.get().unwrap()
        });
    });
    group.finish();
}

fn between_two(c: &mut Criterion) {
    let mut group = c.benchmark_group("from one process to another");
    group.throughput(Throughput::Elements(1)).sample_size(20);
    let pool = ProcessPoolExecutor::new(1).unwrap();
    group.bench_function("Queue", |b| {
        b.iter_custom(|count| {
            let (queue, ready) = (Queue::unbounded().unwrap(), Event::new().unwrap());
            let future = pool.submit(send, (queue.clone(), ready.clone(), count));
            let began = Instant::now();
            ready.set();
            (0..count).for_each(|nth| assert_eq!(queue.get().unwrap(), nth));
            let took = began.elapsed();
            future.result().unwrap();
            took
        });
    });
    group.bench_function("pipe", |b| {
        b.iter_custom(|count| {
            let ((reader, writer), ready) = (std::io::pipe().unwrap(), Event::new().unwrap());
            let args = (Fd::new(writer), ready.clone(), count);
            let future = pool.submit(send_by_pipe, args);
            let mut reader = BufReader::new(reader);
            let began = Instant::now();
            ready.set();
            for nth in 0..count {
                let (mut len, mut frame) = ([0], [0; 10]);
                reader.read_exact(&mut len).unwrap();
                let frame = &mut frame[..usize::from(len[0])];
                reader.read_exact(frame).unwrap();
                assert_eq!(postcard::from_bytes::<u64>(frame), Ok(nth));
            }
            let took = began.elapsed();
            future.result().unwrap();
            took
        });
    });
    group.finish();
}

fn handles_of_tasks(c: &mut Criterion) {
    let mut group = c.benchmark_group("a task there and back");
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let (mutex, queue) = (Mutex::new().unwrap(), Queue::unbounded().unwrap());
    group.bench_function("of a number", |b| {
        b.iter(|| pool.submit(nothing, (1,)).result().unwrap());
    });
    group.bench_function("of a number and a Mutex", |b| {
        b.iter(|| {
            pool.submit(with_mutex, (mutex.clone(), 1))
                .result()
                .unwrap()
        });
    });
    group.bench_function("of a number and a Queue", |b| {
        b.iter(|| {
            let future = pool.submit(with_queue, (queue.clone(), 1));
            future.result().unwrap();
            queue.get().unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, held_by_nobody, between_two, handles_of_tasks);

fn main() {
    forkful::init();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
