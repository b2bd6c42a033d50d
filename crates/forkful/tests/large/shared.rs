//! Shared objects: placed once, read by all workers, gone with the last handle.

use crate::{eventually, kill_all, trial};
use forkful::sync::Event;
use forkful::{Bytes, ProcessOptions, ProcessPoolExecutor, Shared, TaskError, share};
use libtest_mimic::Trial;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

const MIB: usize = 1 << 20;

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(
        trials,
        "workers_read_it_where_it_lies_and_decode_it_once",
        once,
    );
    trial(
        trials,
        "it_is_gone_from_workers_when_the_giver_lets_go",
        gone,
    );
    trial(trials, "a_task_that_waits_keeps_it", waits);
    trial(trials, "a_result_shares_what_a_worker_has_placed", made);
    trial(trials, "a_worker_that_dies_takes_nothing_along", deaths);
    trial(trials, "inside_of_structures_with_other_things", structures);
    trial(trials, "an_initializer_gets_it", initialized);
}

#[derive(Serialize, Debug)]
struct Table {
    names: BTreeMap<String, u32>,
    rows: Bytes,
}

/// How often this process has read one.
static READ: AtomicU32 = AtomicU32::new(0);

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Table, D::Error> {
        READ.fetch_add(1, Ordering::SeqCst);
        let (names, rows) = Deserialize::deserialize(deserializer)?;
        Ok(Table { names, rows })
    }
}

fn table() -> Table {
    let names = (0..100).map(|nth| (nth.to_string(), nth)).collect();
    let rows = (0..4 * MIB).map(|nth| (nth % 253) as u8).collect();
    Table { names, rows }
}

/// What is looked up, how often this process has read a table, and who it is.
#[forkful::task]
fn look(table: Shared<Table>, name: String) -> (u32, u8, u32, u32) {
    let found = table.names[&name];
    let byte = table.rows[found as usize];
    (found, byte, READ.load(Ordering::SeqCst), std::process::id())
}

/// How many mappings of shared objects this process has.
#[forkful::task]
fn mapped() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines()
        .filter(|line| line.contains("forkful-shared"))
        .count()
}

fn once() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let shared = share(table()).unwrap();
    let futures: Vec<_> = (0..200_u32)
        .map(|nth| pool.submit(look, (shared.clone(), (nth % 100).to_string())))
        .collect();
    for (nth, future) in futures.into_iter().enumerate() {
        let (found, byte, read, _) = future.result().unwrap();
        assert_eq!((found as usize, byte as usize), (nth % 100, nth % 100));
        assert_eq!(read, 1, "once per process");
    }
    assert_eq!(pool.stats().buffers.unwrap().copied, 0);
    assert_eq!(mapped(), 1);
    drop(pool);
}

fn gone() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let shared = share(table()).unwrap();
    let rows = shared.rows.clone();
    pool.submit(look, (shared.clone(), "5".to_owned()))
        .result()
        .unwrap();
    assert_eq!(
        pool.submit(mapped, ()).result().unwrap(),
        1,
        "kept for the next task"
    );
    drop(shared);
    // A sleeping worker hears of it.
    // It may work before the pool has heard of its birth.
    let worker = loop {
        if let Some(worker) = pool.workers().first() {
            break worker.pid;
        }
        std::thread::yield_now();
    };
    let count = || {
        let maps = std::fs::read_to_string(format!("/proc/{worker}/maps")).unwrap();
        maps.lines()
            .filter(|line| line.contains("forkful-shared"))
            .count()
    };
    eventually("the worker lets it go", || count() == 0);
    assert_eq!(pool.submit(mapped, ()).result().unwrap(), 0);
    assert_eq!(rows[254], 1, "a view of this process keeps the memory here");
    drop(rows);
    assert_eq!(mapped(), 0);
}

#[forkful::task]
fn wait(gate: Event) {
    gate.wait();
}

fn waits() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let gate = Event::new().unwrap();
    let first = pool.submit(wait, (gate.clone(),));
    let shared = share(table()).unwrap();
    let waiting = pool.submit(look, (shared, "7".to_owned()));
    assert_eq!(mapped(), 1, "the task keeps it");
    gate.set();
    assert_eq!(waiting.result().unwrap().0, 7);
    first.result().unwrap();
    eventually("nobody has it", || mapped() == 0);
    let cancelled = share(table()).unwrap();
    gate.clear();
    let busy = pool.submit(wait, (gate.clone(),));
    let future = pool.submit(look, (cancelled, "7".to_owned()));
    assert!(future.cancel());
    drop(future);
    gate.set();
    busy.result().unwrap();
    eventually("nobody has it", || mapped() == 0);
}

#[forkful::task]
fn make(fill: u8) -> Shared<(String, Bytes)> {
    let mut bytes = Bytes::zeroed(MIB);
    bytes.fill(fill);
    share((format!("of {}", std::process::id()), bytes)).unwrap()
}

#[forkful::task]
fn first_of(shared: Shared<(String, Bytes)>) -> u8 {
    shared.1[0]
}

fn made() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let shared = pool.submit(make, (9,)).result().unwrap();
    assert!(shared.0.starts_with("of ") && shared.1.iter().all(|byte| *byte == 9));
    kill_all(&pool);
    let futures: Vec<_> = (0..10)
        .map(|_| pool.submit(first_of, (shared.clone(),)))
        .collect();
    // The kill may have met some of them.
    let read = futures
        .into_iter()
        .filter_map(|future| match future.result() {
            Ok(byte) => Some(byte),
            Err(TaskError::WorkerDied(_)) => None,
            Err(error) => panic!("{error}"),
        });
    assert!(read.collect::<Vec<_>>().iter().all(|byte| *byte == 9));
    assert_eq!(
        pool.submit(first_of, (shared.clone(),)).result().unwrap(),
        9
    );
    drop(pool);
    assert_eq!(shared.1[MIB - 1], 9, "its maker is gone");
}

#[forkful::task]
fn dies(table: Shared<Table>) -> usize {
    assert_eq!(table.rows.len(), 4 * MIB);
    std::process::abort()
}

fn deaths() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let shared = share(table()).unwrap();
    for _ in 0..5 {
        let died = pool
            .with_options(ProcessOptions::new().retries(1))
            .submit(dies, (shared.clone(),));
        let error = died.result().unwrap_err();
        assert_eq!(error.death().unwrap().attempts, 2, "{error}");
        let looked = pool.submit(look, (shared.clone(), "3".to_owned()));
        assert_eq!(looked.result().unwrap().0, 3);
    }
    drop(shared);
    drop(pool);
    assert_eq!(mapped(), 0);
}

#[derive(Serialize, Deserialize)]
struct Job {
    tables: Vec<Shared<Table>>,
    queue: forkful::sync::Queue<u32>,
    bytes: Bytes,
}

#[forkful::task]
fn run(
    job: Job,
    all: Shared<(Shared<Table>, forkful::sync::Queue<u32>)>,
) -> (Bytes, Vec<Shared<Table>>) {
    for table in &job.tables {
        job.queue.put(table.names["8"]).unwrap();
    }
    all.1.put(all.0.names["9"]).unwrap();
    (job.bytes, job.tables)
}

fn structures() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let queue = forkful::sync::Queue::bounded(10).unwrap();
    let shared = share(table()).unwrap();
    let all = share((shared.clone(), queue.clone())).unwrap();
    let job = Job {
        tables: vec![shared.clone(), share(table()).unwrap()],
        queue: queue.clone(),
        bytes: Bytes::from(vec![5; MIB]),
    };
    let (bytes, tables) = pool.submit(run, (job, all)).result().unwrap();
    assert!(bytes.len() == MIB && bytes[0] == 5);
    assert!(
        std::ptr::eq(&*tables[0], &*shared),
        "this process has it already"
    );
    assert_eq!(tables[1].names["8"], 8);
    let read: Vec<u32> = (0..3).map(|_| queue.get().unwrap()).collect();
    assert_eq!(read, [8, 8, 9]);
}

static KEPT: std::sync::OnceLock<Shared<Table>> = std::sync::OnceLock::new();

#[forkful::task]
fn keep(table: Shared<Table>, bytes: Bytes) {
    assert_eq!(bytes.len(), MIB);
    KEPT.set(table).unwrap();
}

#[forkful::task]
fn of_kept(name: String) -> u32 {
    KEPT.get().unwrap().names[&name]
}

fn initialized() {
    let shared = share(table()).unwrap();
    let pool = ProcessPoolExecutor::builder()
        .workers(2)
        .initializer(keep, (shared, Bytes::zeroed(MIB)))
        .build()
        .unwrap();
    for _ in 0..3 {
        assert_eq!(pool.submit(of_kept, ("6".to_owned(),)).result().unwrap(), 6);
    }
    kill_all(&pool);
    eventually("new workers come up", || {
        let found = pool.submit(of_kept, ("6".to_owned(),)).result();
        found.is_ok_and(|found| found == 6)
    });
}
