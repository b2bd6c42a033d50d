//! Process pools under the ordinary test harness, whose `main` is nobody's: `test_support!` is the way in.

use forkful::ProcessPoolExecutor;
use std::process::Command;

forkful::test_support!();

#[forkful::task]
fn numbers() -> (u32, u32) {
    (std::process::id(), std::os::unix::process::parent_id())
}

#[forkful::task]
fn speak(text: String) {
    println!("{text}");
}

#[forkful::task]
fn is_worker() -> bool {
    forkful::is_worker()
}

/// What a worker of a pool finds in a pool of its own.
#[forkful::task]
fn nested() -> bool {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    pool.submit(is_worker, ()).result().unwrap()
}

#[test]
fn pools_work_in_tests() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let (worker, _) = pool.submit(numbers, ()).result().unwrap();
    assert_ne!(worker, std::process::id());
    assert!(pool.submit(is_worker, ()).result().unwrap());
    assert!(pool.submit(nested, ()).result().unwrap());
    assert!(!forkful::is_worker());
}

#[test]
fn several_tests_may_have_pools_at_once() {
    let threads: Vec<_> = (0..3)
        .map(|_| {
            std::thread::spawn(|| {
                let pool = ProcessPoolExecutor::new(1).unwrap();
                pool.submit(numbers, ()).result().unwrap().1
            })
        })
        .collect();
    let mut zygotes: Vec<_> = threads
        .into_iter()
        .map(|thread| thread.join().unwrap())
        .collect();
    zygotes.sort();
    zygotes.dedup();
    assert_eq!(zygotes.len(), 3);
}

/// Speaks, if the next test has started this one.
#[test]
fn speaks() {
    if std::env::var_os("FORKFUL_TEST_SPEAKS").is_some() {
        let pool = ProcessPoolExecutor::new(1).unwrap();
        pool.submit(speak, ("spoken".into(),)).result().unwrap();
    }
}

#[test]
fn of_a_worker_its_tasks_are_heard_and_no_harness() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "speaks", "--nocapture"])
        .env("FORKFUL_TEST_SPEAKS", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.matches("spoken").count(), 1, "{said}");
    assert_eq!(said.matches("running").count(), 1, "{said}");
    assert_eq!(said.matches("test result").count(), 1, "{said}");
    assert!(!said.contains("forkful_test_support"), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
