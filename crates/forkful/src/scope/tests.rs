//! Scopes: what was borrowed is given back, whatever happens.

use crate::error::{Refusal, TaskError};
use crate::watchdog::Watchdog;
use crate::{Shutdown, ThreadOptions, ThreadPoolExecutor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

#[test]
fn the_end_waits_for_what_nobody_asked_for() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(2);
    let done = AtomicU32::new(0);
    pool.scope(|scope| {
        for _ in 0..20 {
            let _ = scope.submit(|| {
                thread::sleep(Duration::from_millis(1));
                done.fetch_add(1, Ordering::Relaxed);
            });
        }
    });
    assert_eq!(done.into_inner(), 20);
}

#[test]
fn a_body_that_panics_waits_too() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let done = AtomicU32::new(0);
    let caught = catch_unwind(AssertUnwindSafe(|| {
        pool.scope(|scope| {
            for _ in 0..5 {
                let _ = scope.submit(|| {
                    thread::sleep(Duration::from_millis(2));
                    done.fetch_add(1, Ordering::Relaxed);
                });
            }
            std::panic::panic_any("the body");
        })
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"the body"));
    assert_eq!(done.into_inner(), 5);
}

#[test]
fn a_task_that_panics_ends_its_future_alone() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let text = String::from("borrowed");
    let (bad, good) = pool.scope(|scope| {
        let bad = scope.submit(|| -> usize { panic!("{text}") });
        let good = scope.submit(|| text.len());
        (bad.result(), good.result())
    });
    let Err(TaskError::Panicked(panic)) = bad else {
        panic!("{bad:?}");
    };
    assert_eq!((panic.message(), good.unwrap()), ("borrowed", 8));
}

#[test]
fn tasks_submit_to_their_own_scope() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(2);
    let count = AtomicU32::new(0);
    pool.scope(|scope| {
        for _ in 0..4 {
            let _ = scope.submit(|| {
                for _ in 0..4 {
                    let _ = scope.submit(|| count.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
    });
    assert_eq!(count.into_inner(), 16);
}

/// Sorts halves as tasks, whose ends nobody asks for but their scopes.
fn sort(pool: &ThreadPoolExecutor, numbers: &mut [u32]) {
    if numbers.len() <= 4 {
        return numbers.sort_unstable();
    }
    let middle = numbers.len() / 2;
    let (_, pivot, _) = numbers.select_nth_unstable(middle);
    let _ = pivot;
    let (left, right) = numbers.split_at_mut(middle);
    pool.scope(|scope| {
        let _ = scope.submit(|| sort(pool, left));
        sort(pool, right);
    });
}

#[test]
fn nested_scopes_need_no_more_threads_than_there_are() {
    let _watchdog = Watchdog::here();
    for workers in [1, 3] {
        let pool = ThreadPoolExecutor::new(workers);
        let mut numbers: Vec<u32> = (0..4000)
            .map(|n: u32| n.wrapping_mul(2_654_435_761))
            .collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        pool.scope(|scope| scope.submit(|| sort(&pool, &mut numbers)).result())
            .unwrap();
        assert_eq!(numbers, sorted);
    }
}

#[test]
fn what_is_cancelled_is_given_back() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    let ran = AtomicU32::new(0);
    pool.scope(|scope| {
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let holds = scope.submit(move || ended.recv().is_ok());
        let waits = scope.submit(|| ran.fetch_add(1, Ordering::Relaxed));
        let waits_too = scope.submit(|| ran.fetch_add(1, Ordering::Relaxed));
        assert!(waits.cancel());
        assert!(matches!(waits.result(), Err(TaskError::Cancelled)));
        end.send(()).unwrap();
        assert!(holds.result().unwrap());
        assert!(waits_too.result().is_ok());
    });
    assert_eq!(ran.into_inner(), 1);
}

#[test]
fn a_scope_of_a_closed_pool_ends() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    pool.shutdown(Shutdown::Wait);
    let text = String::from("unused");
    let refused = pool.scope(|scope| scope.submit(|| text.len()).result());
    assert!(matches!(
        refused,
        Err(TaskError::Refused(Refusal::ShutDown))
    ));
}

#[test]
fn values_may_borrow_and_options_count() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(2);
    let words = ["short", "longest", "long"].map(str::to_owned);
    let view = pool.with_options(ThreadOptions::new().name("longest"));
    let longest = view.scope(|scope| {
        let mut future = scope.submit(|| words.iter().max_by_key(|word| word.len()));
        future.result_timeout(Duration::from_secs(50))
    });
    assert_eq!(longest.unwrap().map(String::as_str), Some("longest"));
    assert_eq!(pool.stats().tasks["longest"].calls, 1);
}

#[test]
fn a_value_that_nobody_takes_is_dropped_before_the_scope_ends() {
    struct Counts<'a>(&'a AtomicU32);
    impl Drop for Counts<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(2);
    for round in 0..100 {
        let dropped = AtomicU32::new(0);
        pool.scope(|scope| {
            let first = scope.submit(|| Counts(&dropped));
            drop(scope.submit(|| Counts(&dropped)));
            if round % 2 == 0 {
                drop(first.result());
            }
        });
        assert_eq!(dropped.into_inner(), 2);
    }
}

#[test]
fn a_future_that_is_leaked_breaks_nothing() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(2);
    for _ in 0..50 {
        let done = AtomicU32::new(0);
        pool.scope(|scope| {
            for _ in 0..4 {
                std::mem::forget(scope.submit(|| done.fetch_add(1, Ordering::Relaxed)));
            }
        });
        assert_eq!(done.into_inner(), 4);
    }
}

/// Panics when it is dropped.
struct Bomb<'a>(&'a AtomicU32);

impl Drop for Bomb<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
        if !thread::panicking() {
            panic!("a bomb");
        }
    }
}

#[test]
fn values_and_closures_that_panic_when_they_are_dropped_are_given_back() {
    let _watchdog = Watchdog::here();
    let pool = ThreadPoolExecutor::new(1);
    for _ in 0..20 {
        let dropped = AtomicU32::new(0);
        pool.scope(|scope| {
            let (end, ended) = std::sync::mpsc::channel::<()>();
            let holds = scope.submit(move || ended.recv().is_ok());
            // A value that nobody takes, what is dropped in a call, and what is dropped by a panic, or without a call.
            drop(scope.submit(|| Bomb(&dropped)));
            let bomb = Bomb(&dropped);
            let inside = scope.submit(move || drop(bomb));
            let bomb = Bomb(&dropped);
            let outside = scope.submit(move || {
                let _bomb = &bomb;
                panic!("a task");
            });
            let bomb = Bomb(&dropped);
            let cancelled = scope.submit(move || drop(bomb));
            assert!(cancelled.cancel());
            end.send(()).unwrap();
            assert!(holds.result().unwrap());
            assert!(matches!(inside.result(), Err(TaskError::Panicked(_))));
            assert!(matches!(outside.result(), Err(TaskError::Panicked(_))));
        });
        assert_eq!(dropped.into_inner(), 4);
    }
}

#[test]
fn a_scope_may_be_opened_while_its_thread_unwinds() {
    struct Late<'a>(&'a ThreadPoolExecutor, &'a AtomicU32);
    impl Drop for Late<'_> {
        fn drop(&mut self) {
            let (pool, count) = (self.0, self.1);
            pool.scope(|scope| {
                let _ = scope.submit(|| count.fetch_add(1, Ordering::Relaxed));
                let failed = scope.submit(|| panic!("beside the other"));
                assert!(failed.result().is_err());
            });
        }
    }
    let _watchdog = Watchdog::here();
    let (pool, count) = (ThreadPoolExecutor::new(1), AtomicU32::new(0));
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        let _late = Late(&pool, &count);
        panic!("out of here");
    }));
    assert!(unwound.is_err());
    // In one of the pool's own threads too.
    let task = pool.scope(|scope| {
        let task = || {
            let _late = Late(&pool, &count);
            panic!("out of a task");
        };
        scope.submit(task).result()
    });
    assert!(matches!(task, Err(TaskError::Panicked(_))));
    assert_eq!(count.into_inner(), 2);
}

#[test]
fn scopes_of_several_pools_nest() {
    let _watchdog = Watchdog::here();
    let pools = [ThreadPoolExecutor::new(1), ThreadPoolExecutor::new(1)];
    for _ in 0..50 {
        let count = AtomicU32::new(0);
        pools[0].scope(|outer| {
            for _ in 0..3 {
                let _ = outer.submit(|| {
                    pools[1].scope(|inner| {
                        for _ in 0..3 {
                            // Of the outer one, from inside of the inner one.
                            let _ = inner.submit(|| {
                                drop(outer.submit(|| count.fetch_add(1, Ordering::Relaxed)));
                            });
                        }
                    });
                });
            }
        });
        assert_eq!(count.into_inner(), 9);
    }
}
