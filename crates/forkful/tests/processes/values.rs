//! What comes back: values, panics, what can't be sent.

use crate::{eventually, trial};
use forkful::{Future, ProcessPoolExecutor, Refusal, TaskError};
use libtest_mimic::Trial;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;

#[forkful::task]
fn add(a: i32, b: i32) -> i32 {
    a + b
}

#[forkful::task]
fn fail(text: String) {
    panic!("{text}");
}

#[forkful::task]
fn fail_oddly() {
    std::panic::panic_any(7);
}

#[forkful::task]
fn fail_and_recover() -> bool {
    std::panic::catch_unwind(|| panic!("inside")).is_err()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle { radius: f64 },
    Named(BTreeMap<String, Vec<Shape>>),
}

#[forkful::task]
fn echo(shape: Shape, text: String, many: Vec<u32>) -> (Shape, String, Vec<u32>) {
    (shape, text, many)
}

#[forkful::task]
fn checked(n: u32) -> Result<u32, String> {
    if n < 10 {
        Ok(n)
    } else {
        Err(format!("{n} is too large"))
    }
}

/// Whether it can be written, and whether it can be read.
#[derive(Debug)]
struct Awkward(bool, bool);

impl Serialize for Awkward {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 {
            self.1.serialize(serializer)
        } else {
            Err(S::Error::custom("it does not want to"))
        }
    }
}

impl<'de> Deserialize<'de> for Awkward {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if bool::deserialize(deserializer)? {
            Ok(Awkward(true, true))
        } else {
            Err(D::Error::custom("it can't be had"))
        }
    }
}

#[forkful::task]
fn take(_: Awkward) {}

#[forkful::task]
fn give(writable: bool, readable: bool) -> Awkward {
    Awkward(writable, readable)
}

fn unregistered(n: u8) -> u8 {
    n
}

#[forkful::task]
fn nested(n: u32) -> u32 {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    pool.submit(add, (n as i32, 1)).result().unwrap() as u32
}

const _: () = {
    /// Another one of its name stands below.
    #[forkful::task]
    fn same() -> u32 {
        1
    }

    impl Same for u8 {
        fn submit_to(pool: &ProcessPoolExecutor) -> Future<u32> {
            pool.submit(same, ())
        }
    }
};

const _: () = {
    #[forkful::task]
    fn same() -> u32 {
        2
    }

    impl Same for u16 {
        fn submit_to(pool: &ProcessPoolExecutor) -> Future<u32> {
            pool.submit(same, ())
        }
    }
};

trait Same {
    fn submit_to(pool: &ProcessPoolExecutor) -> Future<u32>;
}

fn functions_of_one_name() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let (one, other) = (u8::submit_to(&pool), u16::submit_to(&pool));
    assert_eq!((one.result().unwrap(), other.result().unwrap()), (1, 2));
}

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(
        trials,
        "values::functions_of_one_name_are_told_apart",
        functions_of_one_name,
    );
    trial(trials, "values::come_back", come_back);
    trial(trials, "values::structures_travel", structures_travel);
    trial(trials, "values::large_ones_travel", large_ones_travel);
    trial(trials, "values::a_panic_is_told", a_panic_is_told);
    trial(
        trials,
        "values::a_panic_that_is_caught_is_none",
        a_caught_panic,
    );
    trial(trials, "values::what_cant_be_sent_fails_alone", not_sent);
    trial(
        trials,
        "values::an_unregistered_function_is_refused",
        refused,
    );
    trial(trials, "values::a_task_may_have_a_pool", nests);
}

fn come_back() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    assert_eq!(pool.submit(add, (1, 2)).result().unwrap(), 3);
    let futures: Vec<_> = (0..20_000).map(|n| pool.submit(add, (n, 1))).collect();
    for (n, future) in (0..).zip(futures) {
        assert_eq!(future.result().unwrap(), n + 1);
    }
}

fn structures_travel() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let shape = || {
        let inner = vec![Shape::Point, Shape::Circle { radius: 1.5 }];
        Shape::Named(BTreeMap::from([("a".to_owned(), inner)]))
    };
    let future = pool.submit(echo, (shape(), "täxt".to_owned(), vec![1, 2, 3]));
    let expected = (shape(), "täxt".to_owned(), vec![1, 2, 3]);
    assert_eq!(future.result().unwrap(), expected);
    assert_eq!(pool.submit(checked, (3,)).result().unwrap(), Ok(3));
    let error = pool.submit(checked, (30,)).result().unwrap().unwrap_err();
    assert_eq!(error, "30 is too large");
}

fn large_ones_travel() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let many: Vec<u32> = (0..200_000).collect();
    let futures: Vec<_> = (0..4)
        .map(|_| pool.submit(echo, (Shape::Point, "x".repeat(100_000), many.clone())))
        .collect();
    for future in futures {
        let (_, text, came) = future.result().unwrap();
        assert_eq!((text.len(), &came), (100_000, &many));
    }
}

fn a_panic_is_told() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let future = pool.submit(fail, ("no".to_owned(),));
    match future.result() {
        Err(TaskError::Panicked(panicked)) => {
            assert_eq!(panicked.message(), "no");
            assert!(panicked.location().unwrap().contains("values.rs"));
            assert_eq!(*panicked.into_payload().downcast::<String>().unwrap(), "no");
        }
        other => panic!("not a panic: {other:?}"),
    }
    match pool.submit(fail_oddly, ()).result() {
        Err(TaskError::Panicked(panicked)) => assert!(panicked.message().contains("no text")),
        other => panic!("not a panic: {other:?}"),
    }
    // The worker goes on.
    assert_eq!(pool.submit(add, (1, 1)).result().unwrap(), 2);
    // It may work before the word of its birth is here.
    eventually("one worker has run all three", || {
        let workers = pool.workers();
        workers.len() == 1 && workers[0].tasks == 3
    });
}

fn a_caught_panic() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    assert!(pool.submit(fail_and_recover, ()).result().unwrap());
    match pool.submit(fail, ("own".to_owned(),)).result() {
        Err(TaskError::Panicked(panicked)) => assert_eq!(panicked.message(), "own"),
        other => panic!("not a panic: {other:?}"),
    }
}

fn not_sent() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let told = |result: TaskError, part: &str| match result {
        TaskError::NotSent(text) => assert!(text.contains(part), "{text}"),
        other => panic!("not a matter of sending: {other:?}"),
    };
    let unwritable = pool.submit(take, (Awkward(false, true),));
    let unreadable = pool.submit(take, (Awkward(true, false),));
    let fine = pool.submit(take, (Awkward(true, true),));
    told(unwritable.result().unwrap_err(), "Awkward");
    told(unreadable.result().unwrap_err(), "Awkward");
    fine.result().unwrap();
    told(
        pool.submit(give, (false, true)).result().unwrap_err(),
        "Awkward",
    );
    told(
        pool.submit(give, (true, false)).result().unwrap_err(),
        "Awkward",
    );
    assert!(pool.submit(give, (true, true)).result().is_ok());
}

fn refused() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let error = pool.try_submit(unregistered, (1,)).unwrap_err();
    assert_eq!(error.work, (1,));
    assert!(matches!(error.refusal, Refusal::NotRegistered(name) if name.contains("unregistered")));
    let closure = pool.submit(|n: u8| n + 1, (1,)).result();
    assert!(matches!(
        closure,
        Err(TaskError::Refused(Refusal::NotRegistered(_)))
    ));
}

fn nests() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    assert_eq!(pool.submit(nested, (4,)).result().unwrap(), 5);
}
