//! Executors used from where their own work is done: from tasks of threads, and from callbacks of both kinds.

use crate::contract;
use crate::kinds::Kind;
use crate::tasks::{Place, add, pass, square};
use forkful::{Executor, ReturnWhen, Shutdown, TaskError, ThreadPoolExecutor, as_completed, wait};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

contract! {
    a_callback_may_wait_for_many
    a_callback_may_end_its_executor
    a_callback_may_drop_its_executor
    a_callback_may_cancel_others
    a_task_may_wait_for_another_executor
    waits_may_be_three_deep
    a_task_may_end_an_executor
    executors_of_both_kinds_end_together
}

fn a_callback_may_wait_for_many<K: Kind>() {
    let (pool, place) = (Arc::new(K::make(1)), Place::new());
    let (sender, seen) = channel();
    let same = pool.clone();
    let future = pool.call(pass, (place.path(), 1));
    future.add_done_callback(move |_| {
        for when in [ReturnWhen::FirstCompleted, ReturnWhen::AllCompleted] {
            let futures = (0..5).map(|n| same.call(square, (n,))).collect();
            let waited = wait(futures, when, None);
            assert!(!waited.done.is_empty());
        }
        let futures: Vec<_> = (0..5).map(|n| same.call(square, (n,))).collect();
        let sum = as_completed(futures).map(|future| future.result().unwrap());
        let sum: u64 = sum.sum();
        let more = same.call_each(square, (0..5).map(|n| (n,)));
        let more: u64 = more.map(Result::unwrap).sum();
        drop(same);
        sender.send(sum + more).unwrap();
    });
    place.open();
    assert_eq!(seen.recv(), Ok(60));
}

fn a_callback_may_end_its_executor<K: Kind>() {
    for how in [Shutdown::Wait, Shutdown::Cancel, Shutdown::Detach] {
        let (pool, place) = (Arc::new(K::make(1)), Place::new());
        let (sender, seen) = channel();
        let same = pool.clone();
        let future = pool.call(pass, (place.path(), 1));
        future.add_done_callback(move |_| {
            same.shutdown(how);
            drop(same);
            sender.send(()).unwrap();
        });
        place.open();
        seen.recv().unwrap();
        assert!(matches!(
            pool.call(add, (1, 1)).result(),
            Err(TaskError::Refused(_))
        ));
        pool.shutdown(Shutdown::Wait);
        assert_eq!(future.result().unwrap(), 1);
    }
}

fn a_callback_may_drop_its_executor<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let (give, given) = channel::<K::Pool>();
    let (sender, seen) = channel();
    let future = pool.call(pass, (place.path(), 1));
    let after = pool.call(add, (1, 1));
    future.add_done_callback(move |_| {
        drop(given.recv());
        sender.send(()).unwrap();
    });
    give.send(pool).unwrap();
    place.open();
    seen.recv().unwrap();
    assert_eq!(after.result().unwrap(), 2);
}

fn a_callback_may_cancel_others<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let gate = pool.call(pass, (place.path(), 1));
    place.wait_for("began 1");
    // Each cancels the next one, whose callback is called while this one's is.
    let chain: Vec<_> = (0..100).map(|n| Arc::new(pool.call(add, (n, 0)))).collect();
    for pair in chain.windows(2) {
        let next = pair[1].clone();
        pair[0].add_done_callback(move |_| assert!(next.cancel()));
    }
    let (sender, seen) = channel();
    chain[99].add_done_callback(move |status| sender.send(status).unwrap());
    assert!(chain[0].cancel());
    assert_eq!(seen.recv(), Ok(forkful::Status::Cancelled));
    place.open();
    assert_eq!(gate.result().unwrap(), 1);
}

fn a_task_may_wait_for_another_executor<K: Kind>() {
    let (pool, outer) = (Arc::new(K::make(2)), ThreadPoolExecutor::new(2));
    let sums: Vec<_> = (0..50)
        .map(|n| {
            let pool = pool.clone();
            outer.submit(move || {
                let futures: Vec<_> = (0..4).map(|m| pool.call(add, (n, m))).collect();
                let sums = as_completed(futures).map(|future| future.result().unwrap());
                sums.sum::<i64>()
            })
        })
        .collect();
    for (n, sum) in (0..).zip(sums) {
        assert_eq!(sum.result().unwrap(), 4 * n + 6);
    }
}

fn waits_may_be_three_deep<K: Kind>() {
    let (pool, threads) = (Arc::new(K::make(1)), Arc::new(ThreadPoolExecutor::new(1)));
    let (middle, leaf) = (threads.clone(), pool.clone());
    let sum = threads.submit(move || {
        let inner = middle.clone();
        let futures = vec![middle.submit(move || {
            let leaf = leaf.clone();
            let mut both = vec![leaf.call(add, (1, 2)), inner.submit(|| 4)];
            both.push(leaf.call(add, (8, 0)));
            let waited = wait(both, ReturnWhen::AllCompleted, None);
            let values = waited.done.into_iter().map(|future| future.result());
            values.sum::<Result<i64, _>>()
        })];
        let waited = wait(futures, ReturnWhen::FirstException, None);
        let done = waited.done.into_iter().next().unwrap();
        done.result().unwrap().unwrap()
    });
    assert_eq!(sum.result().unwrap(), 15);
}

fn a_task_may_end_an_executor<K: Kind>() {
    let threads = ThreadPoolExecutor::new(1);
    for how in [Shutdown::Wait, Shutdown::Cancel, Shutdown::Detach] {
        let pool = Arc::new(K::make(1));
        let future = pool.call(add, (1, 1));
        assert!(future.wait_timeout(std::time::Duration::MAX));
        let same = pool.clone();
        let ended = threads.submit(move || {
            same.shutdown(how);
            drop(same);
        });
        ended.result().unwrap();
        assert!(crate::submitting::is_shut_down(
            pool.call(add, (1, 1)).result()
        ));
    }
    // Its own too, which does not wait for itself.
    let threads = Arc::new(threads);
    let same = threads.clone();
    threads
        .submit(move || same.shutdown(Shutdown::Wait))
        .result()
        .unwrap();
}

fn executors_of_both_kinds_end_together<K: Kind>() {
    for _ in 0..5 {
        let (pool, threads) = (Arc::new(K::make(2)), ThreadPoolExecutor::new(2));
        let (sender, seen) = channel();
        for n in 0..40 {
            let (same, sender) = (pool.clone(), sender.clone());
            threads
                .submit(move || same.call(add, (n, 1)).result())
                .then(move |result| sender.send(result.is_ok()).unwrap());
        }
        drop(sender);
        thread::scope(|scope| {
            scope.spawn(|| drop(threads));
            // Refused or not: nobody hangs.
            scope.spawn(|| pool.shutdown(Shutdown::Wait));
        });
        assert_eq!(seen.iter().filter(|ran| *ran).count(), 40);
    }
}
