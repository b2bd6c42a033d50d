//! Three sums, each of which takes three seconds of waiting: three threads wait at the same time.

use forkful::ThreadPoolExecutor;
use std::thread::sleep;
use std::time::{Duration, Instant};

fn sleep_and_add(a: i32, b: i32) {
    let start = Instant::now();
    sleep(Duration::from_secs(3));
    println!("{a} + {b} = {} ({:.2?})", a + b, start.elapsed());
}

fn main() -> Result<(), forkful::TaskError> {
    let start = Instant::now();
    let pool = ThreadPoolExecutor::new(3);
    let sums = [(1, 2), (3, 4), (5, 6)].map(|(a, b)| pool.submit(move || sleep_and_add(a, b)));
    for sum in sums {
        // A panic in a task would be an error here.
        sum.result()?;
    }
    println!("done!");
    println!("execution time: {:.2?}", start.elapsed());
    Ok(())
}
