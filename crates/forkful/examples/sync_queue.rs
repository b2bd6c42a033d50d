//! Two processes that talk through a queue while a third one counts under a lock that all of them share.

use forkful::ProcessPoolExecutor;
use forkful::sync::{Event, Queue};
use std::error::Error;

/// Zero ends the conversation.
#[forkful::task]
fn produce(numbers: Queue<u64>, go: Event) {
    go.wait();
    for number in (1..=1000).rev().chain([0]) {
        // The queue holds ten at most: whoever is too fast waits here.
        numbers.put(number).expect("the queue is open");
    }
}

#[forkful::task]
fn add_up(numbers: Queue<u64>) -> u64 {
    let mut sum = 0;
    loop {
        match numbers.get().expect("the queue is open") {
            0 => return sum,
            number => sum += number,
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    forkful::init();
    let numbers = Queue::bounded(10)?;
    let go = Event::new()?;

    let pool = ProcessPoolExecutor::new(2)?;
    let sum = pool.submit(add_up, (numbers.clone(),));
    let produced = pool.submit(produce, (numbers, go.clone()));
    println!(
        "both wait for the start: {}",
        !sum.is_done() && !produced.is_done()
    );
    go.set();
    produced.result()?;
    println!("the sum of 1 to 1000 is {}", sum.result()?);
    Ok(())
}
