//! A task that brings its process down costs itself and nothing else: the others go on, the worker is replaced, a retry succeeds.

use forkful::{ProcessOptions, ProcessPoolExecutor, TaskError};
use std::error::Error;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

#[forkful::task]
fn square(number: u64) -> u64 {
    sleep(Duration::from_millis(20));
    number * number
}

/// What a bug in a library of C may do, or a stack overflow: there is nothing to catch.
#[forkful::task]
fn crash() {
    std::process::abort();
}

#[forkful::task]
fn work_for_ever() {
    loop {
        sleep(Duration::from_secs(1));
    }
}

/// Crashes as long as the file is not there, which it makes before: so the first time only.
#[forkful::task]
fn crash_once(mark: PathBuf) -> String {
    if std::fs::File::create_new(mark).is_ok() {
        std::process::abort();
    }
    "the second attempt came through".to_owned()
}

fn main() -> Result<(), Box<dyn Error>> {
    forkful::init();
    let pool = ProcessPoolExecutor::new(2)?;

    let before: Vec<_> = (0..10).map(|n| pool.submit(square, (n,))).collect();
    let crashing = pool.submit(crash, ());
    let after: Vec<_> = (10..20).map(|n| pool.submit(square, (n,))).collect();

    match crashing.result() {
        Err(TaskError::WorkerDied(death)) => {
            println!("crash: signal {:?}, task {}", death.signal, death.task);
            println!("       {death}");
        }
        other => println!("crash: {other:?}"),
    }
    let mut sum = 0;
    for future in before.into_iter().chain(after) {
        sum += future.result()?;
    }
    println!("the other 20 tasks: the sum of their squares is {sum}");

    let limited = pool.with_options(ProcessOptions::new().timeout(Duration::from_millis(200)));
    match limited.submit(work_for_ever, ()).result() {
        Err(TaskError::DeadlineExceeded { limit, .. }) => {
            println!("deadline: ended after {limit:?}")
        }
        other => println!("deadline: {other:?}"),
    }

    let mark = std::env::temp_dir().join(format!("forkful-crash-survived-{}", std::process::id()));
    let stubborn = pool.with_options(ProcessOptions::new().retries(2));
    let retried = stubborn.submit(crash_once, (mark.clone(),)).result();
    let _ = std::fs::remove_file(mark);
    println!("retry: {}", retried?);

    println!(
        "and the pool works: 9 * 9 = {}",
        pool.submit(square, (9,)).result()?
    );
    Ok(())
}
