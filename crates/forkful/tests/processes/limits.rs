//! What tasks and workers may: time, memory, tasks, turns.

use crate::{eventually, trial};
use forkful::sync::Event;
use forkful::{BuildError, ProcessOptions, ProcessPoolExecutor, Refusal, TaskError};
use libtest_mimic::Trial;
use std::collections::HashSet;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[forkful::task]
fn pid() -> u32 {
    std::process::id()
}

#[forkful::task]
fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

#[forkful::task]
fn wait(gate: Event) {
    gate.wait();
}

#[forkful::task]
fn grow(mib: usize) -> usize {
    let bytes = vec![1_u8; mib << 20];
    std::thread::sleep(Duration::from_secs(60));
    bytes.len()
}

static STATE: AtomicU32 = AtomicU32::new(0);

#[forkful::task]
fn set(n: u32) {
    STATE.store(n, Ordering::Relaxed);
}

#[forkful::task]
fn get() -> u32 {
    STATE.load(Ordering::Relaxed)
}

#[forkful::task]
fn refuse(text: String) {
    panic!("{text}");
}

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "limits::a_deadline_ends_a_task", deadline);
    trial(trials, "limits::memory", memory);
    trial(trials, "limits::workers_are_recycled", recycled);
    trial(trials, "limits::an_initializer_comes_first", initializer);
    trial(
        trials,
        "limits::an_initializer_that_panics_breaks_the_pool",
        bad_initializer,
    );
    trial(trials, "limits::priorities", priorities);
    trial(trials, "limits::max_pending_blocks", max_pending);
    trial(trials, "limits::bad_settings_are_named", bad_settings);
}

fn deadline() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let limit = Duration::from_millis(50);
    let hasty = pool.with_options(ProcessOptions::new().timeout(limit).retries(3).name("nap"));
    let begun = Instant::now();
    match hasty.submit(sleep, (60_000,)).result() {
        Err(TaskError::DeadlineExceeded {
            limit: told, death, ..
        }) => {
            assert_eq!(told, limit);
            assert_eq!((death.task.as_str(), death.attempts), ("nap", 1));
            assert!(death.ran.unwrap() >= limit);
        }
        other => panic!("not late: {other:?}"),
    }
    assert!(begun.elapsed() >= limit);
    // Waiting in the queue does not count. As much as a task of a millisecond may take on a machine that others use.
    let limit = Duration::from_secs(1);
    let occupied = pool.submit(sleep, (1200,));
    let patient = pool.with_options(ProcessOptions::new().timeout(limit));
    patient.submit(sleep, (1,)).result().unwrap();
    occupied.result().unwrap();
}

fn memory() {
    let limit = 64 << 20;
    let pool = ProcessPoolExecutor::builder()
        .workers(1)
        .memory_limit(limit)
        .build()
        .unwrap();
    match pool.submit(grow, (128,)).result() {
        Err(TaskError::MemoryLimit { bytes, death, .. }) => {
            assert!(bytes > limit);
            assert_eq!(death.signal, Some(9));
        }
        other => panic!("not too large: {other:?}"),
    }
    pool.submit(pid, ()).result().unwrap();
}

fn recycled() {
    let pool = ProcessPoolExecutor::builder()
        .workers(1)
        .max_tasks_per_worker(3)
        .build()
        .unwrap();
    let futures: Vec<_> = (0..9).map(|_| pool.submit(pid, ())).collect();
    let pids: Vec<u32> = futures
        .into_iter()
        .map(|future| future.result().unwrap())
        .collect();
    assert_eq!(pids.iter().collect::<HashSet<_>>().len(), 3, "{pids:?}");
    assert!(
        pids.chunks(3)
            .all(|three| three.iter().all(|pid| *pid == three[0]))
    );
}

fn initializer() {
    let pool = ProcessPoolExecutor::builder()
        .workers(2)
        .initializer(set, (7,))
        .build()
        .unwrap();
    for _ in 0..10 {
        assert_eq!(pool.submit(get, ()).result().unwrap(), 7);
    }
}

fn bad_initializer() {
    let pool = ProcessPoolExecutor::builder();
    let pool = pool
        .workers(2)
        .initializer(refuse, ("not today".to_owned(),))
        .build()
        .unwrap();
    match pool.submit(get, ()).result() {
        Err(TaskError::Broken(text)) => {
            assert!(
                text.contains("initializer") && text.contains("not today"),
                "{text}"
            );
            assert!(text.contains("limits.rs"), "{text}");
        }
        other => panic!("not broken: {other:?}"),
    }
    let error = pool.try_submit(get, ()).unwrap_err();
    assert!(matches!(error.refusal, Refusal::Broken(text) if text.contains("not today")));
    let unregistered = ProcessPoolExecutor::builder()
        .initializer(|| (), ())
        .build();
    assert!(matches!(unregistered, Err(BuildError::Setting(text)) if text.contains("initializer")));
}

fn priorities() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let gate = Event::new().unwrap();
    let blocked = pool.submit(wait, (gate.clone(),));
    eventually("it runs", || blocked.is_running());
    // The ring takes some, the backlog orders the others.
    let order = Arc::new(Mutex::new(Vec::new()));
    for n in 0..200 {
        let urgent = n >= 150;
        let options = ProcessOptions::new().priority(if urgent { -1 } else { 1 });
        let order = order.clone();
        let future = pool.with_options(options).submit(get, ());
        future.add_done_callback(move |_| order.lock().unwrap().push(urgent));
    }
    gate.set();
    drop(pool);
    let order = order.lock().unwrap();
    assert_eq!(order.len(), 200);
    let last_urgent = order.iter().rposition(|urgent| *urgent).unwrap();
    let ordinary_before = order[..last_urgent]
        .iter()
        .filter(|urgent| !**urgent)
        .count();
    assert!(
        ordinary_before < 100,
        "{ordinary_before} of 150 came before the last urgent one"
    );
}

fn max_pending() {
    let pool = ProcessPoolExecutor::builder()
        .workers(1)
        .max_pending(2)
        .build()
        .unwrap();
    let begun = Instant::now();
    let futures: Vec<_> = (0..5).map(|_| pool.submit(sleep, (20,))).collect();
    assert!(begun.elapsed() >= Duration::from_millis(40));
    for future in futures {
        future.result().unwrap();
    }
}

fn bad_settings() {
    let builder = ProcessPoolExecutor::builder;
    let cases = [
        (builder().workers(0), "workers"),
        (builder().workers(100_000), "workers"),
        (builder().memory_limit(0), "memory_limit"),
        (builder().max_tasks_per_worker(0), "max_tasks_per_worker"),
        (builder().max_pending(0), "max_pending"),
    ];
    for (builder, name) in cases {
        match builder.build() {
            Err(BuildError::Setting(text)) => assert!(text.starts_with(name), "{text}"),
            other => panic!("it was taken: {other:?}"),
        }
    }
}
