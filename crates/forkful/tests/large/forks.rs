//! Large buffers in processes that fork, in workers that have workers, in values that are written twice, and larger than any memory.

use crate::buffers::patterned;
use crate::trial;
use forkful::sync::{Mutex, Queue};
use forkful::{Bytes, ProcessPoolExecutor, Shared, TaskError, share};
use forkful_core::sys::{fork, reap};
use libtest_mimic::Trial;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const MIB: usize = 1 << 20;

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "a_child_of_a_task_writes_to_copies", child_of_task);
    trial(trials, "a_child_of_the_program_writes_to_copies", child);
    trial(trials, "a_worker_has_workers", nested);
    trial(trials, "one_buffer_is_written_twice", twice);
    trial(trials, "more_than_there_can_be_is_a_panic", boundless);
}

/// Forks; the child spoils the bytes and lets go of them.
fn spoil_in_child(mut bytes: Bytes) -> Bytes {
    let Some(child) = fork().unwrap() else {
        bytes.fill(0xff);
        let fine = bytes.iter().all(|byte| *byte == 0xff);
        drop(bytes);
        std::process::exit(if fine { 0 } else { 1 });
    };
    while reap(child).unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    bytes
}

#[forkful::task]
fn forks(bytes: Bytes) -> (Bytes, Bytes) {
    let mut born = Bytes::zeroed(MIB);
    born[5] = 5;
    (spoil_in_child(bytes), spoil_in_child(born))
}

fn child_of_task() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    for round in 0..4 {
        let sent = patterned(2 * MIB, round);
        let (back, born) = pool.submit(forks, (sent.clone(),)).result().unwrap();
        assert!(back == sent, "{round}");
        assert_eq!((born[4], born[5], born[6]), (0, 5, 0));
    }
    crate::balanced(&pool);
}

#[forkful::task]
fn echo(bytes: Bytes) -> Bytes {
    bytes
}

fn child() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    for round in 0..4 {
        let sent = patterned(2 * MIB, round);
        let view = pool.submit(echo, (sent.clone(),)).result().unwrap();
        let kept = pool.submit(echo, (sent.clone(),)).result().unwrap();
        let view = spoil_in_child(view);
        assert!(view == sent && kept == sent);
        drop(view);
        // Neither end has given it back twice.
        let again = patterned(2 * MIB, round + 7);
        let one = pool.submit(echo, (again.clone(),)).result().unwrap();
        let two = pool.submit(echo, (sent.clone(),)).result().unwrap();
        assert!(one == again && two == sent && kept == sent);
    }
    crate::balanced(&pool);
}

#[forkful::task]
fn inner(bytes: Bytes, table: Shared<Vec<Bytes>>, mutex: Mutex, queue: Queue<usize>) -> Bytes {
    let _guard = mutex.lock().unwrap();
    queue.put(table[1].len()).unwrap();
    bytes
}

#[forkful::task]
fn outer(
    bytes: Bytes,
    table: Shared<Vec<Bytes>>,
    mutex: Mutex,
    queue: Queue<usize>,
) -> (Bytes, Shared<Vec<Bytes>>) {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let args = |bytes: &Bytes| (bytes.clone(), table.clone(), mutex.clone(), queue.clone());
    let one = pool.submit(inner, args(&bytes));
    let two = pool.submit(inner, args(&Bytes::zeroed(MIB)));
    assert_eq!(two.result().unwrap().len(), MIB);
    (one.result().unwrap(), table)
}

fn nested() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let table = share(vec![Bytes::new(), patterned(MIB, 1)]).unwrap();
    let (mutex, queue) = (Mutex::new().unwrap(), Queue::unbounded().unwrap());
    for round in 0..2 {
        let sent = patterned(MIB, round);
        let args = (sent.clone(), table.clone(), mutex.clone(), queue.clone());
        let (back, same) = pool.submit(outer, args).result().unwrap();
        assert!(back == sent && same[1] == table[1]);
        assert_eq!(queue.try_iter().map(Result::unwrap).sum::<usize>(), 2 * MIB);
    }
    crate::balanced(&pool);
}

/// Writes its buffer twice, and submits a task meanwhile.
#[derive(Clone, Deserialize, PartialEq, Debug)]
#[serde(from = "(Bytes, Bytes)")]
struct Twice(Bytes, Bytes);

impl From<(Bytes, Bytes)> for Twice {
    fn from((one, two): (Bytes, Bytes)) -> Twice {
        Twice(one, two)
    }
}

impl Serialize for Twice {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let copy = self.0.clone();
        (&self.0, &copy).serialize(serializer)
    }
}

#[forkful::task]
fn write_over(mut value: Twice) -> Twice {
    value.0.fill(1);
    assert!(value.1[0] != 1);
    std::mem::forget(Bytes::zeroed(MIB));
    value.1 = value.0.clone();
    value
}

fn twice() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    for _ in 0..3 {
        let bytes = Bytes::from(vec![7; MIB]);
        let mut value = Twice(bytes.clone(), Bytes::new());
        let future = pool.submit(write_over, (value.clone(),));
        value.0.fill(3);
        let back = future.result().unwrap();
        assert!(back.0.iter().chain(&*back.1).all(|byte| *byte == 1));
        let mut one = back.clone();
        one.0.fill(2);
        assert!(back.0[0] == 1 && one.1[0] == 1 && bytes[0] == 7);
    }
}

#[forkful::task]
fn boundless_room(len: usize, zeros: bool) -> usize {
    let bytes = if zeros {
        Bytes::zeroed(len)
    } else {
        Bytes::with_capacity(len)
    };
    bytes.capacity()
}

fn boundless() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    for len in [usize::MAX, usize::MAX - 4095, (1 << 63) + 1, 1 << 63] {
        for zeros in [true, false] {
            let result = pool.submit(boundless_room, (len, zeros)).result();
            assert!(
                matches!(result, Err(TaskError::Panicked(_))),
                "{len}: {result:?}"
            );
            let sent = patterned(2 * MIB, 1);
            assert!(pool.submit(echo, (sent.clone(),)).result().unwrap() == sent);
        }
    }
    assert_eq!(pool.stats().deaths, 0);
}
