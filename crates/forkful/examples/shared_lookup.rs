//! A table that every worker looks things up in: placed in shared memory once, not sent with each task.

use forkful::{ProcessPoolExecutor, Shared, TaskError};
use std::collections::BTreeMap;
use std::error::Error;

type Table = BTreeMap<String, u32>;

// The handle is a few bytes; the worker decodes the table when it sees it for the first time.
#[forkful::task]
fn look_up(table: Shared<Table>, word: String) -> Option<u32> {
    table.get(&word).copied()
}

fn main() -> Result<(), Box<dyn Error>> {
    forkful::init();
    let squares: Table = (0..100_000)
        .map(|n: u32| (format!("{n} squared"), n.wrapping_mul(n)))
        .collect();
    let table = forkful::share(squares)?;

    let pool = ProcessPoolExecutor::new(2)?;
    let words = ["12 squared", "300 squared", "a thousand squared"];
    let questions = words.map(|word| (table.clone(), word.to_owned()));
    let answers: Result<Vec<_>, TaskError> = pool.map(look_up, questions).collect();
    for (word, answer) in words.iter().zip(answers?) {
        match answer {
            Some(answer) => println!("{word}: {answer}"),
            None => println!("{word}: not in the table"),
        }
    }
    Ok(())
}
