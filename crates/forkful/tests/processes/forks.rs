//! Tasks and initializers that fork, and whose child returns from there as if it were the worker.

use crate::trial;
use forkful::{ProcessPoolExecutor, TaskError};
use forkful_core::sys::{fork, reap};
use libtest_mimic::Trial;
use std::time::Duration;

/// How the child of a task goes on.
const RETURNS: u32 = 0;
const PANICS: u32 = 1;
const RETURNS_LATE: u32 = 2;

/// Whether this is the worker, and not its child.
#[forkful::task]
fn forks(how: u32) -> bool {
    let Some(child) = fork().unwrap() else {
        if how == RETURNS_LATE {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(how != PANICS, "in the child");
        return false;
    };
    while how != RETURNS_LATE && reap(child).unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

#[forkful::task]
fn double(n: u64) -> u64 {
    n * 2
}

#[forkful::task]
fn number() -> u32 {
    std::process::id()
}

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(
        trials,
        "forks::the_child_of_a_task_is_no_worker",
        child_of_a_task,
    );
    trial(
        trials,
        "forks::the_child_of_an_initializer_is_no_worker",
        child_of_an_initializer,
    );
}

fn child_of_a_task() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    for how in [RETURNS, PANICS, RETURNS_LATE] {
        let result = pool.submit(forks, (how,)).result();
        assert!(matches!(result, Ok(true)), "{how}: {result:?}");
        // Longer than the child takes to return.
        for n in 0..40 {
            assert_eq!(pool.submit(double, (n,)).result().unwrap(), n * 2);
            std::thread::sleep(Duration::from_millis(3));
        }
    }
    assert_eq!(pool.stats().deaths, 0);
}

fn child_of_an_initializer() {
    for how in [RETURNS, PANICS] {
        let pool = ProcessPoolExecutor::builder()
            .workers(1)
            .initializer(forks, (how,))
            .build()
            .unwrap();
        let first = pool.submit(number, ()).result();
        assert!(!matches!(first, Err(TaskError::Broken(_))), "{first:?}");
        let first = first.unwrap();
        for _ in 0..100 {
            assert_eq!(pool.submit(number, ()).result().unwrap(), first);
        }
    }
}
