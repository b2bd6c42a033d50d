//! The futures of both executors in tokio: joined, raced, and given up after a while.

use forkful::{ProcessPoolExecutor, TaskError, ThreadPoolExecutor};
use std::error::Error;
use std::time::Duration;
use tokio::time::{sleep, timeout};

#[forkful::task]
fn count_primes(limit: u32) -> usize {
    let is_prime = |n: &u32| {
        (2..*n)
            .take_while(|d| d * d <= *n)
            .all(|d| !n.is_multiple_of(d))
    };
    (2..limit).filter(is_prime).count()
}

#[forkful::task]
fn work_for_ever() {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

// Not #[tokio::main]: workers are forked from a process without threads, so init() comes before the runtime.
fn main() -> Result<(), Box<dyn Error>> {
    forkful::init();
    tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build()?
        .block_on(serve())
}

async fn serve() -> Result<(), Box<dyn Error>> {
    let threads = ThreadPoolExecutor::new(2);
    let processes = ProcessPoolExecutor::new(2)?;

    // Both at the same time, and no thread of the runtime waits for them.
    let (lines, primes) = tokio::join!(
        threads.submit(|| include_str!("await_tokio.rs").lines().count()),
        processes.submit(count_primes, (20_000,)),
    );
    println!(
        "joined: this file has lines: {}; primes below 20000: {}",
        lines? > 0,
        primes?
    );

    // Whatever comes first.
    let mut slow = processes.submit(work_for_ever, ());
    tokio::select! {
        result = &mut slow => println!("selected: the task, {result:?}"),
        () = sleep(Duration::from_millis(100)) => println!("selected: the timer"),
    }

    // Who is tired of waiting can end a task that runs in a process; a thread could not be stopped.
    match timeout(Duration::from_millis(100), &mut slow).await {
        Ok(result) => println!("in time: {result:?}"),
        Err(_) => println!("too late: kill() says {}", slow.kill()),
    }
    match slow.await {
        Err(TaskError::Killed(death)) => println!("killed: signal {:?}", death.signal),
        other => println!("killed: {other:?}"),
    }
    println!("done!");
    Ok(())
}
