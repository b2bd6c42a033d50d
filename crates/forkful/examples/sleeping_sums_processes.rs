//! The same three sums as in sleeping_sums_threads.rs, each in a process of its own.

use forkful::ProcessPoolExecutor;
use std::error::Error;
use std::thread::sleep;
use std::time::{Duration, Instant};

// A task of processes has a name by which the workers know it, and arguments and results that serde can write.
#[forkful::task]
fn sleep_and_add(a: i32, b: i32) {
    let start = Instant::now();
    sleep(Duration::from_secs(3));
    println!("{a} + {b} = {} ({:.2?})", a + b, start.elapsed());
}

fn main() -> Result<(), Box<dyn Error>> {
    // Workers are this program, run again: in them this line never returns.
    forkful::init();

    let start = Instant::now();
    let pool = ProcessPoolExecutor::new(3)?;
    let sums = [(1, 2), (3, 4), (5, 6)].map(|args| pool.submit(sleep_and_add, args));
    for sum in sums {
        sum.result()?;
    }
    println!("done!");
    println!("execution time: {:.2?}", start.elapsed());
    Ok(())
}
