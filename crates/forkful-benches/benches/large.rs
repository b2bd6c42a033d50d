//! Buffers there and back: forkful's pool beside two copies of the same bytes in memory, and beside a worker behind pipes.
//!
//! 100 MB, 1 MB and 64 KiB; a result that is made in the worker; and for each size around the threshold the way inside of the message
//! (a `Vec<u8>`, which serde writes) and beside it (a `Bytes`). The buffers' memory is warm, as that of a program that goes on is.

use criterion::{BenchmarkGroup, Criterion, Throughput, measurement::WallTime};
use forkful::{Bytes, ProcessPoolExecutor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::hint::black_box;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Tells a run of this program that it is the worker behind the pipes.
const PIPED: &str = "FORKFUL_BENCH_PIPED";

#[forkful::task]
fn echo(bytes: Bytes) -> Bytes {
    bytes
}

#[forkful::task]
fn made(len: usize) -> Bytes {
    Bytes::with_capacity(len).filled(len)
}

/// What a worker makes.
trait Filled {
    fn filled(self, len: usize) -> Self;
}

impl Filled for Bytes {
    fn filled(mut self, len: usize) -> Bytes {
        static PIECE: [u8; 1 << 16] = [7; 1 << 16];
        while self.len() < len {
            let rest = (len - self.len()).min(PIECE.len());
            self.extend_from_slice(&PIECE[..rest]);
        }
        self
    }
}

/// Bytes that stay inside of the message.
struct Inside(Vec<u8>);

impl Serialize for Inside {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Inside {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Inside, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        Ok(Inside(bytes.to_vec()))
    }
}

#[forkful::task]
fn echo_inside(bytes: Inside) -> Inside {
    bytes
}

fn main() {
    forkful::init();
    if std::env::var_os(PIPED).is_some() {
        return serve();
    }
    let mut criterion = Criterion::default().configure_from_args();
    for (name, len) in [
        ("100MB", 100_000_000),
        ("1MB", 1_000_000),
        ("64KiB", 1 << 16),
    ] {
        echoes(&mut criterion, name, len);
    }
    threshold(&mut criterion);
    criterion.final_summary();
}

fn echoes(criterion: &mut Criterion, name: &str, len: usize) {
    let mut group = criterion.benchmark_group(format!("echo-{name}"));
    group.measurement_time(Duration::from_secs(4));
    if len > 1 << 24 {
        group.sample_size(20);
    }
    group.throughput(Throughput::Bytes(2 * len as u64));
    let sent = Bytes::from(vec![5; len]);
    let (mut there, mut back) = (vec![1; len], vec![2; len]);
    group.bench_function("two-copies", |bencher| {
        bencher.iter(|| {
            there.copy_from_slice(black_box(&sent));
            back.copy_from_slice(black_box(&there));
        });
    });
    let pool = ProcessPoolExecutor::new(1).expect("a pool");
    group.bench_function("forkful", |bencher| {
        bencher.iter(|| {
            let back = pool.submit(echo, (sent.clone(),)).result().expect("bytes");
            assert_eq!(back.len(), len);
            back
        });
    });
    group.bench_function("forkful-made-there", |bencher| {
        bencher.iter(|| pool.submit(made, (len,)).result().expect("bytes"));
    });
    let mut piped = Piped::start();
    group.bench_function("pipe", |bencher| bencher.iter(|| piped.echo(&sent)));
    group.finish();
}

fn threshold(criterion: &mut Criterion) {
    let mut group: BenchmarkGroup<'_, WallTime> = criterion.benchmark_group("inside-or-beside");
    group.measurement_time(Duration::from_secs(2));
    let pool = ProcessPoolExecutor::new(1).expect("a pool");
    for kib in [16, 32, 64, 128, 256] {
        let content = vec![3; kib << 10];
        group.bench_function(format!("inside-{kib}"), |bencher| {
            let sent = || Inside(content.clone());
            bencher.iter(|| {
                pool.submit(echo_inside, (sent(),))
                    .result()
                    .expect("bytes")
                    .0
            });
        });
        group.bench_function(format!("beside-{kib}"), |bencher| {
            let sent = || Bytes::from(content.clone());
            bencher.iter(|| pool.submit(echo, (sent(),)).result().expect("bytes"));
        });
    }
    group.finish();
}

/// A worker behind pipes that sends back what it is sent, from the parent's side.
struct Piped {
    child: Child,
}

impl Piped {
    fn start() -> Piped {
        let program = std::env::current_exe().expect("a path");
        let child = Command::new(program)
            .env(PIPED, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        Piped {
            child: child.expect("a worker"),
        }
    }

    fn echo(&mut self, bytes: &[u8]) -> Vec<u8> {
        let input = self.child.stdin.as_mut().expect("piped");
        write_frame(input, bytes);
        read_frame(self.child.stdout.as_mut().expect("piped")).expect("the worker lives")
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// The worker's side.
fn serve() {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    while let Some(bytes) = read_frame(&mut input) {
        write_frame(&mut output, &bytes);
        output.flush().expect("the parent lives");
    }
}

fn write_frame(to: &mut impl Write, bytes: &[u8]) {
    to.write_all(&(bytes.len() as u64).to_le_bytes())
        .and_then(|()| to.write_all(bytes))
        .expect("the other side lives");
}

fn read_frame(from: &mut impl Read) -> Option<Vec<u8>> {
    let mut len = [0; 8];
    from.read_exact(&mut len).ok()?;
    let mut bytes = vec![0; u64::from_le_bytes(len) as usize];
    from.read_exact(&mut bytes).ok()?;
    Some(bytes)
}
