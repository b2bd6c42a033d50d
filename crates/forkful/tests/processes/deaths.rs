//! Workers that die: of themselves, by others' hand, at any instruction.

use crate::{eventually, trial};
use forkful::sync::Event;
use forkful::{ProcessOptions, ProcessPoolExecutor, TaskError};
use libtest_mimic::Trial;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

#[forkful::task]
fn double(n: u64) -> u64 {
    n * 2
}

#[forkful::task]
fn crash() {
    std::process::abort();
}

#[forkful::task]
fn crash_behind(gate: Event) {
    gate.wait();
    std::process::abort();
}

#[forkful::task]
fn leave(code: i32) {
    std::process::exit(code);
}

#[forkful::task]
fn sleep(millis: u64) -> u32 {
    std::thread::sleep(Duration::from_millis(millis));
    std::process::id()
}

/// Crashes as often as lines are missing in a file.
#[forkful::task]
fn crash_at_first(file: String, times: usize, by_panic: bool) -> usize {
    let begun = fs::read_to_string(&file).unwrap_or_default();
    fs::write(&file, format!("{begun}x")).unwrap();
    if begun.len() < times {
        assert!(!by_panic, "attempt {}", begun.len() + 1);
        std::process::abort();
    }
    begun.len() + 1
}

#[forkful::task]
fn crash_sometimes(n: u64) -> u64 {
    if n.is_multiple_of(7) {
        std::process::abort();
    }
    n
}

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "deaths::a_crash_ends_one_task", one_task);
    trial(trials, "deaths::an_exit_is_told", an_exit);
    trial(trials, "deaths::a_kill_from_outside_is_told", from_outside);
    trial(trials, "deaths::kill_ends_a_task", kill_ends);
    trial(trials, "deaths::a_task_is_retried", retried);
    trial(
        trials,
        "deaths::a_panic_is_retried_where_that_is_wanted",
        panics_retried,
    );
    trial(trials, "deaths::a_lost_zygote_is_replaced", lost_zygote);
    trial(trials, "deaths::a_storm", storm);
    trial(trials, "deaths::break_on_crash", breaks);
    trial(
        trials,
        "deaths::workers_that_die_at_once_break_the_pool",
        stillborn,
    );
}

/// A number in a file of its own, gone at the end.
struct Scratch(String);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let name = format!("forkful-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        Scratch(path.to_str().unwrap().to_owned())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(Path::new(&self.0));
    }
}

pub fn signal(pid: i32, name: &str) {
    let status = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

fn one_task() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let crashed = pool.submit(crash, ());
    let others: Vec<_> = (0..500).map(|n| pool.submit(double, (n,))).collect();
    match crashed.result() {
        Err(TaskError::WorkerDied(death)) => {
            assert_eq!((death.signal, death.exit_code), (Some(6), None));
            assert!(death.pid > 0 && death.task.ends_with("crash"), "{death}");
            assert_eq!(death.attempts, 1);
            assert!(
                death.ran.is_some() && death.peak_memory.is_some(),
                "{death}"
            );
        }
        other => panic!("not a death: {other:?}"),
    }
    for (n, other) in (0..).zip(others) {
        assert_eq!(other.result().unwrap(), n * 2);
    }
}

fn an_exit() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    for code in [0, 3] {
        match pool.submit(leave, (code,)).result() {
            Err(TaskError::WorkerDied(death)) => assert_eq!(death.exit_code, Some(code), "{death}"),
            other => panic!("not a death: {other:?}"),
        }
    }
}

fn from_outside() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let future = pool.submit(sleep, (60_000,));
    eventually("it has begun", || {
        let workers = pool.workers();
        let task = workers.first().and_then(|worker| worker.task.as_deref());
        task.is_some_and(|task| task.ends_with("sleep"))
    });
    let worker = &pool.workers()[0];
    signal(worker.pid, "KILL");
    match future.result() {
        Err(TaskError::WorkerDied(death)) => {
            assert_eq!((death.pid, death.signal), (worker.pid, Some(9)))
        }
        other => panic!("not a death: {other:?}"),
    }
    assert_eq!(pool.submit(double, (4,)).result().unwrap(), 8);
}

fn kill_ends() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let runs = pool.submit(sleep, (60_000,));
    let waits = pool.submit(sleep, (60_000,));
    eventually("it runs", || runs.is_running());
    assert!(!runs.cancel());
    assert!(waits.kill() && waits.is_cancelled());
    assert!(runs.kill());
    match runs.result() {
        Err(TaskError::Killed(death)) => assert_eq!(death.signal, Some(9)),
        other => panic!("not killed: {other:?}"),
    }
    let done = pool.submit(double, (1,));
    assert!(done.wait_timeout(Duration::from_secs(50)));
    assert!(!done.kill());
    assert_eq!(done.result().unwrap(), 2);
}

fn retried() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let file = Scratch::new("retried");
    let twice = pool.with_options(ProcessOptions::new().retries(2));
    let args = |times| (file.0.clone(), times, false);
    assert_eq!(twice.submit(crash_at_first, args(2)).result().unwrap(), 3);
    let second = Scratch::new("retried-in-vain");
    match twice
        .submit(crash_at_first, (second.0.clone(), 9, false))
        .result()
    {
        Err(TaskError::WorkerDied(death)) => assert_eq!(death.attempts, 3),
        other => panic!("not a death: {other:?}"),
    }
    assert_eq!(fs::read_to_string(&second.0).unwrap(), "xxx");
}

fn panics_retried() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let (file, other) = (Scratch::new("panics"), Scratch::new("panics-once"));
    let options = ProcessOptions::new().retries(2);
    let once = pool.with_options(options.clone());
    let result = once
        .submit(crash_at_first, (other.0.clone(), 1, true))
        .result();
    assert!(matches!(result, Err(TaskError::Panicked(_))), "{result:?}");
    let stubborn = pool.with_options(options.retry_panics(true));
    let result = stubborn.submit(crash_at_first, (file.0.clone(), 2, true));
    assert_eq!(result.result().unwrap(), 3);
    let vain = Scratch::new("panics-in-vain");
    match stubborn
        .submit(crash_at_first, (vain.0.clone(), 9, true))
        .result()
    {
        Err(TaskError::Panicked(panicked)) => assert_eq!(panicked.message(), "attempt 3"),
        other => panic!("not a panic: {other:?}"),
    }
}

/// This process's children.
pub fn children() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let read = |task: fs::DirEntry| fs::read_to_string(task.path().join("children")).ok();
    let lists: Vec<String> = tasks.flatten().filter_map(read).collect();
    let numbers = lists.iter().flat_map(|list| list.split_ascii_whitespace());
    numbers.map(|number| number.parse().unwrap()).collect()
}

fn lost_zygote() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    assert_eq!(pool.submit(double, (1,)).result().unwrap(), 2);
    let zygotes = children();
    assert_eq!(zygotes.len(), 1);
    let runs = pool.submit(sleep, (60_000,));
    eventually("it runs", || runs.is_running());
    signal(zygotes[0], "KILL");
    assert!(matches!(runs.result(), Err(TaskError::WorkerDied(_))));
    assert_eq!(pool.submit(double, (4,)).result().unwrap(), 8);
    // And once more, with nobody waiting: the background makes it.
    let zygote = children()[0];
    let waits = pool.submit(double, (5,));
    let (tell, told) = std::sync::mpsc::channel();
    signal(zygote, "KILL");
    waits.then(move |result| tell.send(result).unwrap());
    match told.recv().unwrap() {
        Ok(value) => assert_eq!(value, 10),
        Err(TaskError::WorkerDied(_)) => {}
        Err(other) => panic!("neither done nor dead: {other:?}"),
    }
}

fn storm() {
    let pool = ProcessPoolExecutor::new(4).unwrap();
    let futures: Vec<_> = (0..300)
        .map(|n| (n, pool.submit(crash_sometimes, (n,))))
        .collect();
    for round in 0..20 {
        std::thread::sleep(Duration::from_millis(3));
        // Three in a row that die before their first task would break the pool.
        let mut workers = pool.workers().into_iter().filter(|worker| worker.tasks > 0);
        if let Some(worker) = workers.nth(round % 3) {
            // It may be gone by itself.
            let _ = Command::new("kill")
                .args(["-9", &worker.pid.to_string()])
                .output();
        }
    }
    let (mut died, mut came) = (0, 0);
    for (n, future) in futures {
        match future.result() {
            Ok(value) => {
                assert_eq!(value, n);
                assert!(!n.is_multiple_of(7));
                came += 1;
            }
            Err(TaskError::WorkerDied(_)) => died += 1,
            Err(other) => panic!("neither a value nor a death: {other:?}"),
        }
    }
    assert!(died >= 43, "{died}");
    assert!(came >= 200, "{came}");
    assert_eq!(pool.submit(double, (4,)).result().unwrap(), 8);
}

fn breaks() {
    let pool = ProcessPoolExecutor::builder()
        .workers(1)
        .break_on_crash(true)
        .build()
        .unwrap();
    let gate = Event::new().unwrap();
    let crashed = pool.submit(crash_behind, (gate.clone(),));
    let waits = pool.submit(double, (1,));
    gate.set();
    assert!(matches!(
        crashed.result(),
        Err(TaskError::WorkerDied(_) | TaskError::Broken(_))
    ));
    assert!(matches!(waits.result(), Err(TaskError::Broken(_))));
    let error = pool.try_submit(double, (1,)).unwrap_err();
    assert!(matches!(error.refusal, forkful::Refusal::Broken(_)));
}

fn stillborn() {
    let pool = ProcessPoolExecutor::builder()
        .workers(1)
        .initializer(leave, (9,))
        .build()
        .unwrap();
    match pool.submit(double, (1,)).result() {
        Err(TaskError::Broken(text)) => assert!(text.contains("code 9"), "{text}"),
        other => panic!("not broken: {other:?}"),
    }
}
