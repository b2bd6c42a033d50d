//! Awaiting: in a runtime of a few lines, so that no runtime's habits are taken for the contract.

use crate::contract;
use crate::kinds::Kind;
use crate::tasks::{ON_PURPOSE, Place, add, fail, pass};
use forkful::{Executor, Shutdown, TaskError};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

contract! {
    a_result_can_be_awaited
    errors_can_be_awaited
    one_that_is_done_is_ready_at_once
    many_can_be_awaited_together
    the_last_waker_is_woken
    a_cancelled_one_wakes
    it_can_be_asked_after_it_was_polled
    dropping_it_half_way_harms_nobody
    a_dropped_one_keeps_no_waker
    of_many_wakers_the_last_one_is_kept
    wakers_that_panic_end_nothing
    one_that_was_ready_must_not_be_polled_again
}

struct Unpark(Thread, AtomicUsize);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.unpark();
    }
}

fn counting() -> (Arc<Unpark>, Waker) {
    let unpark = Arc::new(Unpark(thread::current(), AtomicUsize::new(0)));
    (unpark.clone(), Waker::from(unpark))
}

fn block_on<F: Future>(future: F) -> F::Output {
    let (_, waker) = counting();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}

fn a_result_can_be_awaited<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let future = pool.call(pass, (place.path(), 1));
    place.open();
    let sum = block_on(async {
        let first = future.await?;
        let second = pool.call(add, (first, 1)).await?;
        pool.call(add, (second, 1)).await
    });
    assert_eq!(sum.unwrap(), 3);
}

fn errors_can_be_awaited<K: Kind>() {
    let pool = K::make(1);
    let error = block_on(pool.call(fail, ("awaited".to_owned(),))).unwrap_err();
    assert!(matches!(error, TaskError::Panicked(_)), "{error:?}");
    pool.shutdown(Shutdown::Wait);
    assert!(crate::submitting::is_shut_down(block_on(
        pool.call(add, (1, 1))
    )));
}

fn one_that_is_done_is_ready_at_once<K: Kind>() {
    let pool = K::make(1);
    let mut future = pool.call(add, (1, 2));
    assert!(future.wait_timeout(Duration::MAX));
    let (woken, waker) = counting();
    let polled = Pin::new(&mut future).poll(&mut Context::from_waker(&waker));
    assert!(matches!(polled, Poll::Ready(Ok(3))));
    assert_eq!(woken.1.load(Ordering::SeqCst), 0);
}

fn many_can_be_awaited_together<K: Kind>() {
    let pool = K::make(2);
    let mut pending: Vec<_> = (0..500).map(|n| (n, pool.call(add, (n, 1)))).collect();
    let mut seen = Vec::new();
    block_on(poll_fn(|context| {
        pending.retain_mut(|(n, future)| match Pin::new(future).poll(context) {
            Poll::Ready(sum) => {
                seen.push((*n, sum.unwrap()));
                false
            }
            Poll::Pending => true,
        });
        match pending.is_empty() {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    }));
    seen.sort();
    assert_eq!(seen, (0..500).map(|n| (n, n + 1)).collect::<Vec<_>>());
}

fn the_last_waker_is_woken<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let mut future = pool.call(pass, (place.path(), 1));
    let (first, first_waker) = counting();
    let (last, last_waker) = counting();
    for waker in [&first_waker, &last_waker, &last_waker] {
        assert!(
            Pin::new(&mut future)
                .poll(&mut Context::from_waker(waker))
                .is_pending()
        );
    }
    assert_eq!(first.1.load(Ordering::SeqCst), 0);
    place.open();
    while last.1.load(Ordering::SeqCst) == 0 {
        thread::park_timeout(Duration::from_millis(100));
    }
    assert!(matches!(
        Pin::new(&mut future).poll(&mut Context::from_waker(&last_waker)),
        Poll::Ready(Ok(1))
    ));
}

fn a_cancelled_one_wakes<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    drop(pool.call(pass, (place.path(), 1)));
    place.wait_for("began 1");
    let mut future = pool.call(add, (1, 1));
    let (woken, waker) = counting();
    assert!(
        Pin::new(&mut future)
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    assert!(future.cancel());
    assert!(woken.1.load(Ordering::SeqCst) >= 1);
    assert!(matches!(block_on(future), Err(TaskError::Cancelled)));
    place.open();
}

fn it_can_be_asked_after_it_was_polled<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let mut future = pool.call(pass, (place.path(), 1));
    let (_, waker) = counting();
    assert!(
        Pin::new(&mut future)
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    place.open();
    assert_eq!(future.result().unwrap(), 1);
}

fn poll_once<T>(future: &mut forkful::Future<T>, waker: &Waker) -> Poll<Result<T, TaskError>> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

fn a_dropped_one_keeps_no_waker<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let mut future = pool.call(pass, (place.path(), 1));
    let (woken, waker) = counting();
    assert!(poll_once(&mut future, &waker).is_pending());
    drop((future, waker));
    assert_eq!(Arc::strong_count(&woken), 1, "the task goes on without it");
    place.open();
    pool.shutdown(Shutdown::Wait);
    assert_eq!(woken.1.load(Ordering::SeqCst), 0);
}

fn of_many_wakers_the_last_one_is_kept<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let mut future = pool.call(pass, (place.path(), 1));
    let all: Vec<_> = (0..100)
        .map(|_| {
            let (woken, waker) = counting();
            assert!(poll_once(&mut future, &waker).is_pending());
            woken
        })
        .collect();
    let kept = |woken: &Arc<Unpark>| Arc::strong_count(woken) - 1;
    assert_eq!(all.iter().map(kept).sum::<usize>(), 1);
    assert_eq!(kept(&all[99]), 1);
    place.open();
    while all[99].1.load(Ordering::SeqCst) == 0 {
        thread::park_timeout(Duration::from_millis(100));
    }
    let woken = all.iter().map(|woken| woken.1.load(Ordering::SeqCst));
    assert_eq!(woken.sum::<usize>(), 1);
    assert_eq!(block_on(future).unwrap(), 1);
}

/// Panics when it is woken, and when it is dropped.
struct Bad;

impl Wake for Bad {
    fn wake(self: Arc<Self>) {
        panic!("a waker {ON_PURPOSE}");
    }
}

impl Drop for Bad {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("a waker's end {ON_PURPOSE}");
        }
    }
}

fn wakers_that_panic_end_nothing<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let mut future = pool.call(pass, (place.path(), 1));
    let (sender, seen) = channel();
    let to = sender.clone();
    future.add_done_callback(move |_| to.send(1).unwrap());
    assert!(poll_once(&mut future, &Waker::from(Arc::new(Bad))).is_pending());
    future.add_done_callback(move |_| sender.send(2).unwrap());
    place.open();
    assert_eq!(seen.iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(block_on(future).unwrap(), 1);
    assert_eq!(pool.call(add, (1, 2)).result().unwrap(), 3);
}

fn one_that_was_ready_must_not_be_polled_again<K: Kind>() {
    let pool = K::make(1);
    let mut future = pool.call(add, (1, 2));
    assert_eq!(block_on(&mut future).unwrap(), 3);
    let again = catch_unwind(AssertUnwindSafe(|| poll_once(&mut future, Waker::noop())));
    let payload = again.expect_err("as other futures do");
    let text = payload.downcast_ref::<&str>().copied();
    assert!(
        text.is_some_and(|text| text.contains("taken before")),
        "{text:?}"
    );
    // Nor is it ever handed to a callback.
    let again = catch_unwind(AssertUnwindSafe(|| future.then(|_| ())));
    assert!(again.is_err());
}

fn dropping_it_half_way_harms_nobody<K: Kind>() {
    let (pool, place) = (K::make(1), Place::new());
    let mut future = pool.call(pass, (place.path(), 1));
    let (_, waker) = counting();
    assert!(
        Pin::new(&mut future)
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
    );
    drop(future);
    place.open();
    assert_eq!(block_on(pool.call(add, (1, 1))).unwrap(), 2);
    drop(pool);
    assert_eq!(place.lines(), ["began 1", "passed 1"]);
}
