//! Handles among arguments and results: the same object in every process.

use crate::{pool, trial};
use forkful::Shared;
use forkful::sync::{Barrier, Condvar, Event, Mutex, Queue, Semaphore};
use libtest_mimic::Trial;
use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

#[forkful::task]
fn add_one(mutex: Mutex, file: String, times: u32) {
    for _ in 0..times {
        let _guard = mutex.lock().unwrap();
        let number: u64 = fs::read_to_string(&file).unwrap().parse().unwrap();
        fs::write(&file, (number + 1).to_string()).unwrap();
    }
}

#[forkful::task]
fn enter(semaphore: Semaphore, folder: String) -> usize {
    let _permit = semaphore.acquire();
    let mine = format!("{folder}/{}", std::process::id());
    fs::write(&mine, "").unwrap();
    std::thread::sleep(Duration::from_millis(3));
    let inside = fs::read_dir(&folder).unwrap().count();
    fs::remove_file(&mine).unwrap();
    inside
}

#[forkful::task]
fn meet(started: Event, barrier: Barrier) -> (bool, u32) {
    started.wait();
    let round = barrier.wait().unwrap();
    (round.is_leader(), round.index())
}

#[forkful::task]
fn take_turns(mutex: Mutex, condvar: Condvar, file: String, me: usize, of: usize, rounds: usize) {
    let turn = || fs::read_to_string(&file).unwrap().parse::<usize>().unwrap();
    for _ in 0..rounds {
        let guard = mutex.lock().unwrap();
        let guard = condvar.wait_while(guard, || turn() % of != me).unwrap();
        fs::write(&file, (turn() + 1).to_string()).unwrap();
        condvar.notify_all(&guard);
    }
}

#[forkful::task]
fn make() -> (Mutex, Vec<Option<Event>>) {
    let event = Event::new().unwrap();
    event.set();
    (Mutex::new().unwrap(), vec![None, Some(event)])
}

#[forkful::task]
fn is_locked(mutex: Mutex) -> bool {
    mutex.is_locked()
}

#[forkful::task]
fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

static OWN: OnceLock<(Mutex, Queue<u32>)> = OnceLock::new();

#[forkful::task]
fn begin(mutex: Mutex, queue: Queue<u32>) {
    OWN.get_or_init(|| (mutex, queue));
}

#[forkful::task]
fn tell() -> bool {
    let (mutex, queue) = OWN.get().unwrap();
    queue.put(std::process::id()).unwrap();
    mutex.is_locked()
}

#[forkful::task]
fn put_and_get(queue: Queue<u8>, item: u8) -> u8 {
    queue.put(item).unwrap();
    queue.get().unwrap()
}

/// Files of shared objects that this worker has mapped.
#[forkful::task]
fn mapped() -> (usize, usize) {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let of = |name| {
        let lines = maps.lines().filter(|line| line.contains(name));
        let inodes = lines.map(|line| line.split_whitespace().nth(4));
        inodes.collect::<std::collections::HashSet<_>>().len()
    };
    (of("forkful-sync"), of("forkful-queue"))
}

type Kit = (Mutex, Vec<Queue<u32>>, String);

#[forkful::task]
fn use_kit(kit: Shared<Kit>) -> bool {
    let _guard = kit.0.lock().unwrap();
    kit.1[0].put(std::process::id()).unwrap();
    kit.2 == "of all"
}

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "objects::a_mutex_of_processes", mutex);
    trial(trials, "objects::a_semaphore_of_processes", semaphore);
    trial(trials, "objects::an_event_and_a_barrier", event_and_barrier);
    trial(trials, "objects::turns_at_a_condvar", condvar);
    trial(trials, "objects::handles_in_results", results);
    trial(trials, "objects::handles_of_an_initializer", initializer);
    trial(trials, "objects::handles_in_a_shared_value", shared);
    trial(trials, "objects::a_worker_keeps_few", kept);
    trial(trials, "objects::no_descriptor_is_left", descriptors_left);
}

fn mutex() {
    let (pool, folder) = (pool(3), tempfile::tempdir().unwrap());
    let file = folder.path().join("number").to_str().unwrap().to_owned();
    fs::write(&file, "0").unwrap();
    let mutex = Mutex::new().unwrap();
    let futures: Vec<_> = (0..12)
        .map(|_| pool.submit(add_one, (mutex.clone(), file.clone(), 20)))
        .collect();
    for future in futures {
        future.result().unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "240");
}

fn semaphore() {
    let (pool, folder) = (pool(4), tempfile::tempdir().unwrap());
    let semaphore = Semaphore::bounded(2).unwrap();
    let futures: Vec<_> = (0..40)
        .map(|_| {
            let folder = folder.path().to_str().unwrap().to_owned();
            pool.submit(enter, (semaphore.clone(), folder))
        })
        .collect();
    let inside: Vec<usize> = futures
        .into_iter()
        .map(|one| one.result().unwrap())
        .collect();
    assert!(
        inside.iter().all(|inside| (1..=2).contains(inside)),
        "{inside:?}"
    );
    assert_eq!(semaphore.permits(), 2);
}

fn event_and_barrier() {
    let pool = pool(3);
    let (event, barrier) = (Event::new().unwrap(), Barrier::new(4).unwrap());
    let futures: Vec<_> = (0..3)
        .map(|_| pool.submit(meet, (event.clone(), barrier.clone())))
        .collect();
    assert!(futures.iter().all(|future| !future.is_done()));
    event.set();
    let here = barrier.wait().unwrap();
    let mut all = vec![(here.is_leader(), here.index())];
    all.extend(futures.into_iter().map(|future| future.result().unwrap()));
    all.sort_by_key(|one| one.1);
    assert_eq!(all, [(false, 0), (false, 1), (false, 2), (true, 3)]);
}

fn condvar() {
    let (pool, folder) = (pool(3), tempfile::tempdir().unwrap());
    let file = folder.path().join("turn").to_str().unwrap().to_owned();
    fs::write(&file, "0").unwrap();
    let (mutex, condvar) = (Mutex::new().unwrap(), Condvar::new().unwrap());
    let futures: Vec<_> = (0..3)
        .map(|me| {
            let args = (mutex.clone(), condvar.clone(), file.clone(), me, 3, 30);
            pool.submit(take_turns, args)
        })
        .collect();
    for future in futures {
        future.result().unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "90");
}

fn results() {
    let pool = pool(1);
    let (mutex, events) = pool.submit(make, ()).result().unwrap();
    // They outlive their maker.
    pool.kill_workers();
    drop(pool);
    let pool = crate::pool(1);
    let guard = mutex.lock().unwrap();
    assert!(pool.submit(is_locked, (mutex.clone(),)).result().unwrap());
    drop(guard);
    assert!(!pool.submit(is_locked, (mutex,)).result().unwrap());
    assert!(events[1].as_ref().unwrap().is_set());
}

fn initializer() {
    let (mutex, queue) = (Mutex::new().unwrap(), Queue::unbounded().unwrap());
    let builder = forkful::ProcessPoolExecutor::builder().workers(2);
    let pool = builder
        .max_tasks_per_worker(2)
        .initializer(begin, (mutex.clone(), queue.clone()))
        .build()
        .unwrap();
    let _guard = mutex.lock().unwrap();
    let futures: Vec<_> = (0..12).map(|_| pool.submit(tell, ())).collect();
    for future in futures {
        assert!(future.result().unwrap());
    }
    let mut pids: Vec<u32> = queue.try_iter().map(Result::unwrap).collect();
    pids.sort_unstable();
    pids.dedup();
    assert!(pids.len() >= 6, "{pids:?}");
}

fn shared() {
    let pool = pool(2);
    let (mutex, queue) = (Mutex::new().unwrap(), Queue::unbounded().unwrap());
    let kit = (mutex.clone(), vec![queue.clone()], "of all".to_owned());
    let kit = forkful::share(kit).unwrap();
    let guard = mutex.lock().unwrap();
    let futures: Vec<_> = (0..10)
        .map(|_| pool.submit(use_kit, (kit.clone(),)))
        .collect();
    std::thread::sleep(Duration::from_millis(20));
    assert!(queue.is_empty() && kit.0.is_locked());
    drop(guard);
    for future in futures {
        assert!(future.result().unwrap());
    }
    assert_eq!(queue.len(), 10);
}

fn kept() {
    let pool = pool(1);
    let mutex = Mutex::new().unwrap();
    let queues: Vec<_> = (0..20).map(|_| Queue::unbounded().unwrap()).collect();
    for queue in &queues {
        assert!(!pool.submit(is_locked, (mutex.clone(),)).result().unwrap());
        // It is empty whenever the worker rests: one with items in it would not be kept.
        for number in [7, 8] {
            let future = pool.submit(put_and_get, (queue.clone(), number));
            assert_eq!(future.result().unwrap(), number);
        }
    }
    let (cells, empty) = pool.submit(mapped, ()).result().unwrap();
    assert_eq!((cells, empty), (1, 8));
    // What lies in them is nobody's if these are gone: it is not kept by a worker that rests.
    for queue in &queues {
        queue.put(0).unwrap();
    }
    let full = || pool.submit(mapped, ()).result().unwrap().1;
    while full() > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn descriptors_left() {
    let pool = pool(1);
    let mutex = Mutex::new().unwrap();
    let queue = Queue::<u8>::unbounded().unwrap();
    let round = || {
        for _ in 0..50 {
            assert!(!pool.submit(is_locked, (mutex.clone(),)).result().unwrap());
            pool.submit(crate::queues::send, (queue.clone(), 0, 1))
                .result()
                .unwrap();
        }
        let here = fs::read_dir("/proc/self/fd").unwrap().count();
        (here, pool.submit(descriptors, ()).result().unwrap())
    };
    let (before, _) = round();
    let (after, there) = round();
    // The pool's background may have one more of its own.
    assert!(after <= before + 4, "{before} descriptors, then {after}");
    assert!(there < 40, "{there} descriptors in a worker");
}

#[forkful::task]
pub fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}
