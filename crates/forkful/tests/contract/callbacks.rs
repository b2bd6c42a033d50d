//! Callbacks: when, where, in which order, and that nothing in them harms anybody else.

use crate::contract;
use crate::kinds::Kind;
use crate::tasks::{ON_PURPOSE, Place, add, fail, pass, pass_and_fail};
use forkful::{Executor, Shutdown, Status, TaskError};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;

contract! {
    they_run_in_order_and_once
    they_are_told_how_it_ended
    one_for_a_done_task_runs_at_once_in_its_caller
    others_run_in_another_thread
    cancelling_runs_them_once
    a_shutdown_that_cancels_runs_them
    a_panic_in_one_ends_nothing_else
    the_result_is_there_before_they_end
    one_may_submit_and_wait
    one_may_add_another
    then_is_handed_the_result
    then_is_handed_errors_too
    shutdown_waits_for_them
    each_of_many_futures_calls_back
    one_is_dropped_after_its_call
}

fn they_run_in_order_and_once<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let future = pool.call(pass, (place.path(), 1));
    let (sender, seen) = channel();
    for number in 0..20 {
        let sender = sender.clone();
        future.add_done_callback(move |_| sender.send(number).unwrap());
    }
    drop(sender);
    place.open();
    assert_eq!(seen.iter().collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
}

fn they_are_told_how_it_ended<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let (sender, seen) = channel();
    let returned = pool.call(pass, (place.path(), 1));
    place.wait_for("began 1");
    let failed = pool.call(pass_and_fail, (place.path(),));
    let cancelled = pool.call(add, (1, 1));
    for (name, future) in [
        ("returned", &returned),
        ("failed", &failed),
        ("cancelled", &cancelled),
    ] {
        let sender = sender.clone();
        future.add_done_callback(move |status| sender.send((name, status)).unwrap());
    }
    drop(sender);
    assert!(cancelled.cancel());
    place.open();
    let expected = [
        ("cancelled", Status::Cancelled),
        ("returned", Status::Returned),
        ("failed", Status::Failed),
    ];
    assert_eq!(seen.iter().collect::<Vec<_>>(), expected);
}

fn one_for_a_done_task_runs_at_once_in_its_caller<K: Kind>() {
    let pool = K::make(1);
    for (future, expected) in [
        (pool.call(add, (1, 1)), Status::Returned),
        (pool.call(fail, ("done".to_owned(),)), Status::Failed),
    ] {
        assert!(future.wait_timeout(std::time::Duration::MAX));
        let (sender, seen) = channel();
        future.add_done_callback(move |status| {
            sender.send((thread::current().id(), status)).unwrap()
        });
        assert_eq!(seen.try_recv(), Ok((thread::current().id(), expected)));
    }
}

fn others_run_in_another_thread<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let future = pool.call(pass, (place.path(), 1));
    let (sender, seen) = channel();
    future.add_done_callback(move |_| sender.send(thread::current().id()).unwrap());
    place.open();
    assert_ne!(seen.recv().unwrap(), thread::current().id());
}

fn cancelling_runs_them_once<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    drop(pool.call(pass, (place.path(), 1)));
    place.wait_for("began 1");
    let future = pool.call(add, (1, 1));
    let (sender, seen) = channel();
    future.add_done_callback(move |status| sender.send((thread::current().id(), status)).unwrap());
    assert!(future.cancel() && future.cancel());
    let seen: Vec<_> = seen.iter().collect();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].1, Status::Cancelled);
    // Threads call back in whoever cancels; processes have a thread for it.
    assert_eq!(seen[0].0 == thread::current().id(), K::NAME == "threads");
    let (sender, seen) = channel();
    future.add_done_callback(move |status| sender.send(status).unwrap());
    assert_eq!(seen.try_recv(), Ok(Status::Cancelled));
    place.open();
}

fn a_shutdown_that_cancels_runs_them<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    drop(pool.call(pass, (place.path(), 1)));
    place.wait_for("began 1");
    let future = pool.call(add, (1, 1));
    let (sender, seen) = channel();
    future.add_done_callback(move |status| sender.send(status).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| pool.shutdown(Shutdown::Cancel));
        assert_eq!(seen.recv(), Ok(Status::Cancelled));
        place.open();
    });
}

fn a_panic_in_one_ends_nothing_else<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let future = pool.call(pass, (place.path(), 1));
    let (sender, seen) = channel();
    future.add_done_callback(|_| panic!("{ON_PURPOSE}"));
    future.add_done_callback(move |_| sender.send(()).unwrap());
    place.open();
    seen.recv().unwrap();
    assert_eq!(future.result().unwrap(), 1);
    assert_eq!(pool.call(add, (2, 2)).result().unwrap(), 4);
    // Nor does one that is called at once, in its caller.
    let done = pool.call(add, (2, 2));
    assert!(done.wait_timeout(std::time::Duration::MAX));
    done.add_done_callback(|_| panic!("{ON_PURPOSE}"));
    assert_eq!(done.result().unwrap(), 4);
}

fn the_result_is_there_before_they_end<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let future = pool.call(pass, (place.path(), 1));
    let (release, released) = channel::<()>();
    future.add_done_callback(move |_| {
        let _ = released.recv();
    });
    place.open();
    assert_eq!(future.result().unwrap(), 1);
    drop(release);
}

fn one_may_submit_and_wait<K: Kind>() {
    let (pool, place) = (Arc::new(K::make(1)), Place::new());
    let future = pool.call(pass, (place.path(), 1));
    let (sender, seen) = channel();
    let same = pool.clone();
    future.add_done_callback(move |_| {
        let sum = same.call(add, (20, 22)).result();
        drop(same);
        sender.send(sum.unwrap()).unwrap();
    });
    place.open();
    assert_eq!(seen.recv(), Ok(42));
}

fn one_may_add_another<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let future = Arc::new(pool.call(pass, (place.path(), 1)));
    let (sender, seen) = channel();
    let same = future.clone();
    future.add_done_callback(move |_| {
        same.add_done_callback(move |status| sender.send(status).unwrap());
    });
    place.open();
    assert_eq!(seen.recv(), Ok(Status::Returned));
}

fn then_is_handed_the_result<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let (sender, seen) = channel();
    let to = sender.clone();
    pool.call(pass, (place.path(), 1))
        .then(move |result| to.send(result.unwrap()).unwrap());
    place.open();
    assert_eq!(seen.recv(), Ok(1));
    // One that is done hands it over at once.
    let done = pool.call(add, (2, 3));
    assert!(done.wait_timeout(std::time::Duration::MAX));
    done.then(move |result| sender.send(result.unwrap()).unwrap());
    assert_eq!(seen.try_recv(), Ok(5));
}

fn then_is_handed_errors_too<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let (sender, seen) = channel();
    let to = sender.clone();
    pool.call(pass_and_fail, (place.path(),))
        .then(move |result| to.send(result).unwrap());
    place.open();
    assert!(matches!(seen.recv(), Ok(Err(TaskError::Panicked(_)))));
    pool.shutdown(Shutdown::Wait);
    pool.call(add, (1, 1))
        .then(move |result| sender.send(result).unwrap());
    assert!(matches!(seen.try_recv(), Ok(Err(TaskError::Refused(_)))));
}

fn shutdown_waits_for_them<K: Kind>() {
    let pool = K::make(2);
    let seen = Arc::new(Mutex::new(Vec::new()));
    for number in 0..20 {
        let seen = seen.clone();
        pool.call(add, (number, 0)).then(move |result| {
            thread::sleep(std::time::Duration::from_millis(1));
            seen.lock().unwrap().push(result.unwrap());
        });
    }
    pool.shutdown(Shutdown::Wait);
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(seen, (0..20).collect::<Vec<_>>());
}

fn each_of_many_futures_calls_back<K: Kind>() {
    let pool = K::make(2);
    let (sender, seen) = channel();
    for number in 0..2000 {
        let sender = sender.clone();
        pool.call(add, (number, 1))
            .then(move |result| sender.send(result.unwrap()).unwrap());
    }
    drop(sender);
    let mut seen: Vec<i64> = seen.iter().collect();
    seen.sort();
    assert_eq!(seen, (1..=2000).collect::<Vec<_>>());
}

fn one_is_dropped_after_its_call<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let held = Arc::new(());
    let future = pool.call(pass, (place.path(), 1));
    let kept = held.clone();
    future.add_done_callback(move |_| drop(kept));
    let kept = held.clone();
    future.then(move |_| drop(kept));
    place.open();
    pool.shutdown(Shutdown::Wait);
    assert_eq!(Arc::strong_count(&held), 1);
}
