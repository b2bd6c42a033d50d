//! Workers that are killed at given instructions, large buffers that are tried again, code of users that misbehaves.

use crate::{eventually, trial};
use forkful::{Bytes, ProcessOptions, ProcessPoolExecutor, TaskError};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize, Serializer};
use std::fs;
use std::future::Future as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};

#[forkful::task]
fn double(n: u64) -> u64 {
    n * 2
}

#[forkful::task]
fn reverse(mut bytes: Bytes) -> Bytes {
    bytes.reverse();
    bytes
}

/// Fails as often as lines are missing in a file, and gives the bytes back in the end.
#[forkful::task]
fn stubborn(file: String, bytes: Bytes, by_panic: bool) -> Bytes {
    let begun = fs::read_to_string(&file).unwrap_or_default();
    fs::write(&file, format!("{begun}x")).unwrap();
    if begun.len() < 2 {
        assert!(!by_panic, "attempt {}", begun.len() + 1);
        std::process::abort();
    }
    bytes
}

/// Its arguments' writing panics.
#[derive(Deserialize)]
struct Explosive;

impl Serialize for Explosive {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("it can't be touched");
    }
}

#[forkful::task]
fn touch(_: Explosive) {}

#[forkful::task]
fn explode() -> Explosive {
    Explosive
}

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "crashes::at_given_instructions", at_points);
    trial(
        trials,
        "crashes::large_buffers_are_tried_again",
        large_again,
    );
    trial(trials, "crashes::writing_that_panics", explosive);
    trial(trials, "crashes::a_waker_that_panics", bad_waker);
}

/// The part of a program that [`at_points`] runs, with a point armed in each of its workers.
pub fn through_crashes() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let hardy = pool.with_options(ProcessOptions::new().retries(1000));
    let large = || Bytes::from(vec![7; 300_000]);
    let futures: Vec<_> = (0..60).map(|n| hardy.submit(double, (n,))).collect();
    let buffers: Vec<_> = (0..6).map(|_| hardy.submit(reverse, (large(),))).collect();
    for (n, future) in (0..).zip(futures) {
        assert_eq!(future.result().unwrap(), n * 2);
    }
    for future in buffers {
        assert!(future.result().unwrap() == large());
    }
    let deaths = pool.stats().deaths;
    drop(pool);
    println!("{deaths}");
}

fn at_points() {
    let points = [
        "claim.done:5",
        "claim.before_hint:6",
        "task.read:4",
        "task.begun:7",
        "task.ran:3",
        "outcome.written:5",
        "outcome.committed:6",
        "sleep.bit:2",
        "sleep.armed:2",
    ];
    for point in points {
        let (code, deaths) = crate::ends::run_part("crashes", &[("FORKFUL_CRASH_AT", point)]);
        assert_eq!(code, Some(0), "{point}");
        let deaths: u64 = deaths.trim().parse().unwrap();
        // Who sleeps at all is not known.
        assert!(
            deaths > 0 || point.starts_with("sleep"),
            "nobody died at {point}"
        );
    }
}

fn large_again() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let content: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    for by_panic in [false, true] {
        let file = std::env::temp_dir().join(format!("forkful-again-{}", std::process::id()));
        let _ = fs::remove_file(&file);
        let options = ProcessOptions::new().retries(2).retry_panics(by_panic);
        let name = file.to_str().unwrap().to_owned();
        let args = (name, Bytes::from(content.clone()), by_panic);
        let came = pool.with_options(options).submit(stubborn, args).result();
        let _ = fs::remove_file(&file);
        assert!(*came.unwrap() == *content);
    }
    let held = || pool.stats().buffers.unwrap().segments;
    eventually("all segments are given back", || held() == 0);
}

fn explosive() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let submit = AssertUnwindSafe(|| drop(pool.submit(touch, (Explosive,))));
    assert!(catch_unwind(submit).is_err());
    match pool.submit(explode, ()).result() {
        Err(TaskError::Panicked(panicked)) => assert!(panicked.message().contains("touched")),
        other => panic!("not a panic: {:?}", other.err()),
    }
    assert_eq!(pool.submit(double, (2,)).result().unwrap(), 4);
}

/// Counts its calls, and panics.
#[derive(Default)]
struct Bad(AtomicUsize);

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        panic!("a waker of a test panics");
    }
}

fn bad_waker() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let bad = Arc::new(Bad::default());
    let waker = Waker::from(bad.clone());
    for n in 0..3 {
        let mut future = pin!(pool.submit(double, (n,)));
        let pending = future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending();
        if pending {
            eventually("the waker is woken", || bad.0.load(Ordering::SeqCst) > 0);
        }
        eventually("it is done all the same", || future.is_done());
        bad.0.store(0, Ordering::SeqCst);
    }
    // The threads behind it live.
    let value = futures_lite::future::block_on(pool.submit(double, (4,)));
    assert_eq!(value.unwrap(), 8);
}
