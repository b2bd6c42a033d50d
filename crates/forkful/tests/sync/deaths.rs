//! Holders, waiters and those that give, killed at chosen instructions and at random ones.

use crate::{arm, pool, trial};
use forkful::sync::{Barrier, Condvar, Event, Mutex, Queue, Semaphore, TryLockError};
use forkful::{ProcessOptions, TaskError};
use forkful_core::sys::{fork, reap};
use libtest_mimic::Trial;
use std::time::Duration;

#[forkful::task]
fn hold_for_ever(mutex: Mutex, held: Event) {
    let _guard = mutex.lock().unwrap();
    held.set();
    loop {
        std::thread::park();
    }
}

#[forkful::task]
fn hold_permits(semaphore: Semaphore, count: usize, held: Event) {
    let _permits: Vec<_> = (0..count).map(|_| semaphore.acquire()).collect();
    held.set();
    loop {
        std::thread::park();
    }
}

#[forkful::task]
fn lock_until_killed(mutex: Mutex, point: String) {
    arm(&point);
    loop {
        drop(mutex.lock());
    }
}

#[forkful::task]
fn permits_until_killed(semaphore: Semaphore, point: String) {
    arm(&point);
    loop {
        if semaphore.release(1).is_ok() {
            semaphore.acquire().forget();
        }
        drop(semaphore.acquire());
        // On a single CPU the others would have it only when this one is stopped between two steps, which it hardly ever is.
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Waits at the condition; says when it is about to, and when it was notified.
#[forkful::task]
fn wait_there(mutex: Mutex, condvar: Condvar, coming: Semaphore, notified: Queue<u32>) {
    let guard = mutex.lock().unwrap();
    coming.release(1).unwrap();
    let _guard = condvar.wait(guard).unwrap();
    notified.put(std::process::id()).unwrap();
}

#[forkful::task]
fn notify_until_killed(mutex: Mutex, condvar: Condvar, point: String) {
    arm(&point);
    loop {
        let guard = mutex.lock().unwrap_or_else(|died| died.into_guard());
        condvar.notify_one(&guard);
    }
}

#[forkful::task]
fn act_and_die(barrier: Barrier) {
    let _ = barrier.wait_with(|| std::process::abort());
}

#[forkful::task]
fn pass(barrier: Barrier, point: String) -> bool {
    arm(&point);
    barrier.wait().is_ok()
}

#[forkful::task]
fn work_in_turn(mutex: Mutex, recovered: Queue<i32>, times: u32, seed: u32) -> u32 {
    for nth in 0..times {
        let guard = mutex.lock().unwrap_or_else(|died| {
            recovered.put(died.pid()).unwrap();
            died.into_guard()
        });
        // About one in 60 dies with it.
        if (seed.wrapping_add(nth).wrapping_mul(2_654_435_761) >> 16).is_multiple_of(60) {
            std::process::abort();
        }
        drop(guard);
    }
    times
}

#[forkful::task]
fn notify_all_and_die(mutex: Mutex, condvar: Condvar, point: String) {
    arm(&point);
    let guard = mutex.lock().unwrap();
    condvar.notify_all(&guard);
}

/// What a forked child finds that drops what it has copies of, when it has taken the same by itself: free permits, and whether the mutex
/// is locked.
#[forkful::task]
fn forks_with_both(semaphore: Semaphore, mutex: Mutex, found: Queue<(u32, bool)>) {
    let permit = semaphore.acquire();
    let guard = mutex.lock().unwrap();
    let Some(child) = fork().unwrap() else {
        let own = semaphore.acquire();
        let own_guard = mutex.lock().unwrap();
        drop((permit, guard));
        found.put((semaphore.permits(), mutex.is_locked())).unwrap();
        drop((own, own_guard));
        std::process::exit(0);
    };
    drop(guard);
    while reap(child).unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(permit);
}

/// What the others find while the one that acts, and whose forked child has returned from the action, acts on.
#[forkful::task]
fn forks_in_action(barrier: Barrier, begun: Event, go_on: Event) {
    let me = std::process::id();
    let passed = barrier.wait_with(|| {
        if let Some(child) = fork().unwrap() {
            while reap(child).unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            begun.set();
            go_on.wait();
        }
    });
    if std::process::id() != me {
        std::process::exit(0);
    }
    assert!(passed.unwrap().is_leader());
}

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "deaths::a_crowd_whose_notifier_dies", crowd);
    trial(trials, "deaths::a_forked_child_has_copies_only", copies);
    trial(
        trials,
        "deaths::a_forked_child_ends_no_action",
        forked_action,
    );
    trial(trials, "deaths::the_next_holder_is_told_once", told_once);
    trial(
        trials,
        "deaths::a_lock_survives_each_instruction",
        lock_points,
    );
    trial(trials, "deaths::holders_killed_at_random", at_random);
    trial(trials, "deaths::permits_come_back", permits);
    trial(
        trials,
        "deaths::permits_survive_each_instruction",
        ledger_points,
    );
    trial(trials, "deaths::a_notification_finds_another", heirs);
    trial(trials, "deaths::a_notifier_is_followed", notifiers);
    trial(
        trials,
        "deaths::an_action_that_dies_breaks_its_barrier",
        action,
    );
    trial(
        trials,
        "deaths::a_barrier_survives_each_instruction",
        barrier_points,
    );
}

fn died(result: Result<impl Sized, TaskError>) -> i32 {
    match result {
        Err(TaskError::WorkerDied(death) | TaskError::Killed(death)) => death.pid,
        Err(error) => panic!("no death: {error}"),
        Ok(_) => panic!("it lived"),
    }
}

/// More wait than there are places for.
fn crowd() {
    let pool = pool(1);
    let (mutex, condvar) = (Mutex::new().unwrap(), Condvar::new().unwrap());
    std::thread::scope(|scope| {
        let (coming, came) = std::sync::mpsc::channel();
        for _ in 0..70 {
            let (mutex, condvar, coming) = (&mutex, &condvar, coming.clone());
            scope.spawn(move || {
                let guard = mutex.lock().unwrap();
                coming.send(()).unwrap();
                drop(condvar.wait(guard).unwrap_or_else(|died| died.into_guard()));
            });
        }
        for _ in 0..70 {
            came.recv().unwrap();
        }
        let args = (
            mutex.clone(),
            condvar.clone(),
            "sync.condition.crowd".to_owned(),
        );
        died(pool.submit(notify_all_and_die, args).result());
        // Whoever it has not told yet is told now.
        let guard = mutex.lock().unwrap_or_else(|died| died.into_guard());
        condvar.notify_all(&guard);
    });
}

fn copies() {
    let pool = pool(1);
    let (semaphore, mutex) = (Semaphore::new(5).unwrap(), Mutex::new().unwrap());
    let found = Queue::unbounded().unwrap();
    let args = (semaphore.clone(), mutex.clone(), found.clone());
    pool.submit(forks_with_both, args).result().unwrap();
    assert_eq!(found.get().unwrap(), (3, true));
    assert_eq!(semaphore.permits(), 5);
    assert!(!mutex.is_locked());
}

fn forked_action() {
    let pool = pool(1);
    let barrier = Barrier::new(2).unwrap();
    let (begun, go_on) = (Event::new().unwrap(), Event::new().unwrap());
    std::thread::scope(|scope| {
        let early = scope.spawn(|| barrier.wait());
        while barrier.waiting() == 0 {
            std::thread::yield_now();
        }
        let args = (barrier.clone(), begun.clone(), go_on.clone());
        let future = pool.submit(forks_in_action, args);
        begun.wait();
        std::thread::sleep(Duration::from_millis(50));
        let acts = !early.is_finished();
        go_on.set();
        future.result().unwrap();
        early.join().unwrap().unwrap();
        assert!(acts, "it went before the action was over");
    });
}

fn told_once() {
    let pool = pool(1);
    let (mutex, held) = (Mutex::new().unwrap(), Event::new().unwrap());
    let future = pool.submit(hold_for_ever, (mutex.clone(), held.clone()));
    held.wait();
    assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
    // It may work before the pool has heard of its birth.
    let pid = loop {
        if let Some(worker) = pool.workers().first() {
            break Some(worker.pid);
        }
        std::thread::yield_now();
    };
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| match mutex.lock() {
            Ok(_) => panic!("nobody was told"),
            Err(died) => died.pid(),
        });
        assert!(future.kill());
        assert_eq!(Some(waiter.join().unwrap()), pid);
    });
    died(future.result());
    assert_eq!(mutex.owner_died(), pid);
    assert!(mutex.lock().is_ok() && mutex.try_lock().is_ok());
}

fn lock_points() {
    let pool = pool(1);
    for point in ["sync.lock.wake", "sync.lock.recovered"] {
        let mutex = Mutex::new().unwrap();
        let after_another = point == "sync.lock.recovered";
        if after_another {
            let held = Event::new().unwrap();
            let future = pool.submit(hold_for_ever, (mutex.clone(), held.clone()));
            held.wait();
            future.kill();
            died(future.result());
        }
        let future = pool.submit(lock_until_killed, (mutex.clone(), point.to_owned()));
        while !future.is_done() {
            if !after_another {
                // So that somebody is to be woken.
                let _ = mutex.lock_timeout(Duration::from_millis(1));
            }
            std::thread::yield_now();
        }
        died(future.result());
        assert_eq!(mutex.lock().is_err(), after_another, "{point}");
        assert!(mutex.try_lock().is_ok(), "{point}");
    }
}

fn at_random() {
    let pool = pool(3);
    let (mutex, recovered) = (Mutex::new().unwrap(), Queue::unbounded().unwrap());
    let futures: Vec<_> = (0..12_u32)
        .map(|nth| {
            let args = (mutex.clone(), recovered.clone(), 40, nth * 1000);
            pool.submit(work_in_turn, args)
        })
        .collect();
    let (mut lived, mut pids) = (0, Vec::new());
    for future in futures {
        match future.result() {
            Ok(times) => lived += times,
            Err(TaskError::WorkerDied(death)) => pids.push(death.pid),
            Err(error) => panic!("{error}"),
        }
    }
    if let Err(died) = mutex.lock() {
        recovered.put(died.pid()).unwrap();
    }
    let mut told: Vec<i32> = recovered.try_iter().map(Result::unwrap).collect();
    told.sort_unstable();
    pids.sort_unstable();
    assert!(
        lived > 0 && !pids.is_empty(),
        "nobody lived, or nobody died"
    );
    // Each death with the mutex in hand is told once, to one that lives or has died since, after it told.
    assert_eq!(told, pids);
}

fn permits() {
    let pool = pool(1);
    let (semaphore, held) = (Semaphore::bounded(3).unwrap(), Event::new().unwrap());
    let future = pool.submit(hold_permits, (semaphore.clone(), 3, held.clone()));
    held.wait();
    assert!(semaphore.try_acquire().is_none());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| drop(semaphore.acquire()));
        assert!(future.kill());
        waiter.join().unwrap();
    });
    let pid = died(future.result());
    assert_eq!(
        (semaphore.permits(), semaphore.owner_died()),
        (3, Some(pid))
    );
}

fn ledger_points() {
    let pool = pool(1);
    for point in [
        "sync.ledger.named",
        "sync.ledger.named:3",
        "sync.ledger.returned",
        "sync.ledger.forgotten",
        "sync.sleepers.post",
    ] {
        let semaphore = Semaphore::bounded(3).unwrap();
        // One less than the most, so that the task may add one.
        semaphore.acquire().forget();
        let args = (semaphore.clone(), point.to_owned());
        let future = pool.submit(permits_until_killed, args);
        while !future.is_done() {
            // So that somebody waits when one is added; and a while without any, so that the task has its turns.
            let all = [semaphore.acquire(), semaphore.acquire()];
            drop(semaphore.acquire_timeout(Duration::from_millis(2)));
            drop(all);
            std::thread::sleep(Duration::from_millis(1));
        }
        died(future.result());
        // It had added one, or not; what it held is back.
        let all: Vec<_> = std::iter::from_fn(|| semaphore.try_acquire()).collect();
        assert!(
            (2..=3).contains(&all.len()),
            "{point}: {} permits",
            all.len()
        );
    }
}

fn heirs() {
    let pool = pool(3);
    for round in 0..5 {
        let (mutex, condvar) = (Mutex::new().unwrap(), Condvar::new().unwrap());
        let (coming, notified) = (Semaphore::new(0).unwrap(), Queue::unbounded().unwrap());
        let futures: Vec<_> = (0..2)
            .map(|_| {
                let args = (
                    mutex.clone(),
                    condvar.clone(),
                    coming.clone(),
                    notified.clone(),
                );
                let future = pool.submit(wait_there, args);
                // One after the other, so that the first of them is notified first.
                coming.acquire().forget();
                future
            })
            .collect();
        let guard = mutex.lock().unwrap();
        let mut futures = futures.into_iter();
        let (first, second) = (futures.next().unwrap(), futures.next().unwrap());
        condvar.notify_one(&guard);
        // Notified, but it can't have the mutex.
        assert!(first.kill());
        died(first.result());
        drop(guard);
        second.result().unwrap();
        assert_eq!(notified.len(), 1, "round {round}");
    }
}

fn notifiers() {
    let pool = pool(2);
    for point in ["sync.condition.notify", "sync.condition.notify:2"] {
        let (mutex, condvar) = (Mutex::new().unwrap(), Condvar::new().unwrap());
        let args = (mutex.clone(), condvar.clone(), point.to_owned());
        let future = pool.submit(notify_until_killed, args);
        let mut waited = 0;
        while !future.is_done() {
            let guard = mutex.lock().unwrap_or_else(|died| died.into_guard());
            let _ = condvar.wait_timeout(guard, Duration::from_millis(20));
            waited += 1;
        }
        died(future.result());
        assert!(waited > 0);
        // Whole: somebody else notifies.
        let args = (mutex.clone(), condvar.clone(), "sync.lock.wake".to_owned());
        // Before it comes: whoever waited for the mutex instead would be the one at whose waking it dies.
        let guard = mutex.lock().unwrap_or_else(|died| died.into_guard());
        let next = pool.submit(notify_until_killed, args);
        let guard = condvar.wait(guard).unwrap_or_else(|died| died.into_guard());
        drop(guard);
        next.kill();
        died(next.result());
    }
}

fn action() {
    let pool = pool(1);
    let barrier = Barrier::new(2).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| barrier.wait());
        while barrier.waiting() == 0 {
            std::thread::yield_now();
        }
        died(pool.submit(act_and_die, (barrier.clone(),)).result());
        assert!(waiter.join().unwrap().is_err());
    });
    assert!(barrier.is_broken());
    barrier.reset();
    assert_eq!(barrier.waiting(), 0);
}

fn barrier_points() {
    let pool = pool(2);
    // Killed after the last one's step, all are on their way.
    let barrier = Barrier::new(2).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| barrier.wait());
        while barrier.waiting() == 0 {
            std::thread::yield_now();
        }
        let args = (barrier.clone(), "sync.barrier.last".to_owned());
        died(pool.submit(pass, args).result());
        assert!(waiter.join().unwrap().is_ok());
    });
    // One that is killed while it waits has come, and breaks no later round.
    let future = pool.submit(pass, (barrier.clone(), String::new()));
    while barrier.waiting() == 0 {
        std::thread::yield_now();
    }
    assert!(future.kill());
    died(future.result());
    assert!(barrier.wait().is_ok());
    let quick = ProcessOptions::new().retries(0);
    let next = pool
        .with_options(quick)
        .submit(pass, (barrier.clone(), String::new()));
    assert!(barrier.wait().is_ok() && next.result().unwrap());
}
