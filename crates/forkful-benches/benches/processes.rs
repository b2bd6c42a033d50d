//! Tasks of processes: forkful's pool, a worker behind pipes as one would write it by hand, and the crate procspawn.
//!
//! Tasks per second with one worker each, and with two; the way there and back of a single task. The worker behind pipes reads frames of
//! postcard from its stdin and writes them to its stdout, one request at a time, or as many ahead as the pipes take.

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use forkful::ProcessPoolExecutor;
use std::hint::black_box;
use std::io::{BufReader, BufWriter, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread;
use std::time::Duration;

/// Tells a run of this program that it is the worker behind the pipes.
const PIPED: &str = "FORKFUL_BENCH_PIPED";

/// Tasks in one measurement of a fast way, and of a slow one.
const MANY: u64 = 100_000;
const FEW: u64 = 5_000;

#[forkful::task]
fn add(a: u64, b: u64) -> u64 {
    a + b
}

fn add_pair((a, b): (u64, u64)) -> u64 {
    a + b
}

fn main() {
    forkful::init();
    procspawn::init();
    if std::env::var_os(PIPED).is_some() {
        return serve();
    }
    let mut criterion = Criterion::default().configure_from_args();
    rates(&mut criterion);
    latency(&mut criterion);
    criterion.final_summary();
}

fn rates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("process-rate");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(4));
    group.throughput(Throughput::Elements(MANY));
    for workers in [1, 2] {
        let pool = ProcessPoolExecutor::new(workers).expect("a pool");
        group.bench_function(format!("forkful-submit-{workers}"), |bencher| {
            bencher.iter(|| {
                let futures: Vec<_> = (0..MANY).map(|n| pool.submit(add, (n, 1))).collect();
                let results = futures.into_iter().map(|future| future.result());
                assert_eq!(
                    results.sum::<Result<u64, _>>().expect("sums"),
                    expected(MANY)
                );
            });
        });
        group.bench_function(format!("forkful-map-{workers}"), |bencher| {
            bencher.iter(|| {
                let sums = pool.map(add, (0..MANY).map(|n| (n, 1)));
                assert_eq!(sums.sum::<Result<u64, _>>().expect("sums"), expected(MANY));
            });
        });
        group.bench_function(format!("forkful-map-chunks-{workers}"), |bencher| {
            bencher.iter(|| {
                let sums = pool.map(add, (0..MANY).map(|n| (n, 1))).chunk(1000);
                assert_eq!(sums.sum::<Result<u64, _>>().expect("sums"), expected(MANY));
            });
        });
    }
    let mut piped = Piped::start();
    group.bench_function("pipe-ahead-1", |bencher| {
        bencher.iter(|| assert_eq!(piped.ahead(MANY), expected(MANY)));
    });
    group.throughput(Throughput::Elements(FEW));
    group.bench_function("pipe-1", |bencher| {
        bencher.iter(|| {
            let sum: u64 = (0..FEW).map(|n| piped.call(n, 1)).sum();
            assert_eq!(sum, expected(FEW));
        });
    });
    procspawn_rates(&mut group);
    group.finish();
}

fn procspawn_rates(group: &mut BenchmarkGroup<'_, WallTime>) {
    for workers in [1, 2] {
        let pool = procspawn::Pool::new(workers).expect("a pool");
        group.bench_function(format!("procspawn-{workers}"), |bencher| {
            bencher.iter(|| {
                let handles: Vec<_> = (0..FEW).map(|n| pool.spawn((n, 1), add_pair)).collect();
                let sum: u64 = handles
                    .into_iter()
                    .map(|handle| handle.join().expect("a sum"))
                    .sum();
                assert_eq!(sum, expected(FEW));
            });
        });
    }
}

fn expected(count: u64) -> u64 {
    (0..count).map(|n| n + 1).sum()
}

fn latency(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("process-latency");
    group.measurement_time(Duration::from_secs(3));
    let pool = ProcessPoolExecutor::new(1).expect("a pool");
    group.bench_function("forkful", |bencher| {
        bencher.iter(|| pool.submit(add, black_box((1, 2))).result().expect("a sum"));
    });
    let mut piped = Piped::start();
    group.bench_function("pipe", |bencher| {
        bencher.iter(|| piped.call(black_box(1), 2))
    });
    let spawning = procspawn::Pool::new(1).expect("a pool");
    group.bench_function("procspawn", |bencher| {
        bencher.iter(|| {
            spawning
                .spawn(black_box((1, 2)), add_pair)
                .join()
                .expect("a sum")
        });
    });
    group.finish();
}

/// A worker behind pipes, from the parent's side.
struct Piped {
    child: Child,
    input: Option<BufWriter<ChildStdin>>,
    output: BufReader<ChildStdout>,
}

impl Piped {
    fn start() -> Piped {
        let program = std::env::current_exe().expect("a path");
        let mut child = Command::new(program)
            .env(PIPED, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a worker");
        let (input, output) = (
            child.stdin.take().expect("piped"),
            child.stdout.take().expect("piped"),
        );
        Piped {
            child,
            input: Some(BufWriter::new(input)),
            output: BufReader::new(output),
        }
    }

    fn call(&mut self, a: u64, b: u64) -> u64 {
        let input = self.input.as_mut().expect("open");
        write_frame(input, &(a, b));
        input.flush().expect("the worker lives");
        read_frame(&mut self.output).expect("the worker lives")
    }

    /// Sends all, while what comes back is read.
    fn ahead(&mut self, count: u64) -> u64 {
        let (input, output) = (self.input.as_mut().expect("open"), &mut self.output);
        thread::scope(|scope| {
            scope.spawn(move || {
                (0..count).for_each(|n| write_frame(input, &(n, 1)));
                input.flush().expect("the worker lives");
            });
            (0..count)
                .map(|_| read_frame::<u64>(output).expect("the worker lives"))
                .sum()
        })
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// The worker's side: whatever lies in the pipe is answered before anything is written out.
fn serve() {
    let mut input = BufReader::new(std::io::stdin().lock());
    let mut output = BufWriter::new(std::io::stdout().lock());
    while let Some(pair) = read_frame::<(u64, u64)>(&mut input) {
        write_frame(&mut output, &add_pair(pair));
        if input.buffer().is_empty() {
            output.flush().expect("the parent lives");
        }
    }
}

fn write_frame<T: serde::Serialize>(to: &mut impl Write, value: &T) {
    let bytes = postcard::to_allocvec(value).expect("postcard writes it");
    let length = u32::try_from(bytes.len()).expect("a short frame");
    to.write_all(&length.to_le_bytes())
        .and_then(|()| to.write_all(&bytes))
        .expect("the other side lives");
}

/// `None` at the end of the stream.
fn read_frame<T: serde::de::DeserializeOwned>(from: &mut impl Read) -> Option<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length).ok()?;
    let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
    from.read_exact(&mut bytes).ok()?;
    Some(postcard::from_bytes(&bytes).expect("postcard has written it"))
}
