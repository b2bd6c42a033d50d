//! How a pool ends, and that nothing is left of it.

use crate::deaths::{children, signal};
use crate::{eventually, trial};
use forkful::sync::Event;
use forkful::{ProcessOptions, ProcessPoolExecutor, Refusal, Shutdown, TaskError};
use libtest_mimic::Trial;
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[forkful::task]
fn sleep(millis: u64) -> u64 {
    std::thread::sleep(Duration::from_millis(millis));
    millis
}

/// Returns when it may.
#[forkful::task]
fn gated(gate: Event, n: u64) -> u64 {
    gate.wait();
    n
}

#[forkful::task]
fn shout(text: String) {
    print!("{text}");
}

/// Panics while it is dropped.
struct Fragile;

impl Drop for Fragile {
    fn drop(&mut self) {
        panic!("in the drop");
    }
}

#[forkful::task]
fn fail() {
    panic!("as asked");
}

#[forkful::task]
fn panic_twice() {
    let _fragile = Fragile;
    panic!("in the task");
}

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "ends::shutdown_waits", waits);
    trial(trials, "ends::shutdown_cancels", cancels);
    trial(trials, "ends::shutdown_detaches", detaches);
    trial(trials, "ends::kill_workers", kills);
    trial(
        trials,
        "ends::kill_workers_waits_for_no_zygote_that_is_stopped",
        kills_stopped,
    );
    trial(
        trials,
        "ends::a_zygote_that_is_stopped_before_it_tells_of_a_worker",
        stops_unheard,
    );
    trial(trials, "ends::nothing_is_left", nothing_is_left);
    trial(trials, "ends::a_program_may_exit_while_tasks_run", exits);
    trial(trials, "ends::what_a_task_prints_is_there", prints);
    trial(trials, "ends::a_panic_that_aborts_is_printed", aborts);
    trial(
        trials,
        "ends::a_panic_brings_its_stack_where_that_is_asked_for",
        stacks,
    );
}

fn waits() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let futures: Vec<_> = (0..5).map(|_| pool.submit(sleep, (10,))).collect();
    pool.shutdown(Shutdown::Wait);
    assert!(futures.iter().all(|future| future.is_done()));
    assert_eq!(
        pool.try_submit(sleep, (1,)).unwrap_err().refusal,
        Refusal::ShutDown
    );
    let refused = pool.submit(sleep, (1,)).result();
    assert!(matches!(
        refused,
        Err(TaskError::Refused(Refusal::ShutDown))
    ));
    for future in futures {
        assert_eq!(future.result().unwrap(), 10);
    }
    pool.shutdown(Shutdown::Wait);
}

fn cancels() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let gate = Event::new().unwrap();
    let runs = pool.submit(gated, (gate.clone(), 100));
    eventually("it runs", || runs.is_running());
    let wait: Vec<_> = (0..300).map(|_| pool.submit(sleep, (60_000,))).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| pool.shutdown(Shutdown::Cancel));
        for future in wait {
            assert!(matches!(future.result(), Err(TaskError::Cancelled)));
        }
        gate.set();
    });
    assert_eq!(runs.result().unwrap(), 100);
}

fn detaches() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let begun = Instant::now();
    let first = pool.submit(sleep, (80,));
    let second = pool.submit(sleep, (1,));
    pool.shutdown(Shutdown::Detach);
    assert!(!second.is_done() || begun.elapsed() >= Duration::from_millis(80));
    assert_eq!(
        pool.try_submit(sleep, (1,)).unwrap_err().refusal,
        Refusal::ShutDown
    );
    assert_eq!((first.result().unwrap(), second.result().unwrap()), (80, 1));
}

fn kills() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let runs = pool.submit(sleep, (60_000,));
    let waits = pool.submit(sleep, (60_000,));
    eventually("it runs", || runs.is_running());
    pool.kill_workers();
    match runs.result() {
        Err(TaskError::WorkerDied(death)) => assert!(death.detail.contains("by force"), "{death}"),
        other => panic!("not a death: {other:?}"),
    }
    assert!(matches!(waits.result(), Err(TaskError::Cancelled)));
    assert!(pool.try_submit(sleep, (1,)).is_err());
}

fn kills_stopped() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let runs = pool.submit(sleep, (60_000,));
    eventually("it runs", || runs.is_running());
    // Under load a worker may be at work before its zygote has said so: stopped in between, it is another case.
    eventually("its birth is heard of", || !pool.workers().is_empty());
    signal(children()[0], "STOP");
    // Another one is asked for in its place, and does not come.
    assert!(runs.kill());
    let waits = pool.submit(sleep, (1,));
    assert!(!waits.wait_timeout(Duration::from_millis(1500)));
    pool.kill_workers();
    assert!(matches!(waits.result(), Err(TaskError::Cancelled)));
    drop(pool);
    assert_eq!(children(), Vec::<i32>::new());
}

/// The part of a program that [`stops_unheard`] runs: each zygote stops when it has made its worker, and before it says so.
fn unheard() {
    let pools: Vec<_> = (0..3)
        .map(|_| ProcessPoolExecutor::new(1).unwrap())
        .collect();
    let timed = ProcessOptions::new().timeout(Duration::from_millis(50));
    let [killed, late, ended] = [
        pools[0].submit(sleep, (600_000,)),
        pools[1].with_options(timed).submit(sleep, (600_000,)),
        pools[2].submit(sleep, (600_000,)),
    ];
    for runs in [&killed, &late, &ended] {
        eventually("it runs", || runs.is_running() || runs.is_done());
    }
    pools[2].kill_workers();
    assert!(killed.kill());
    assert!(matches!(killed.result(), Err(TaskError::Killed(_))));
    let late = late.result();
    assert!(matches!(late, Err(TaskError::DeadlineExceeded { .. })));
    assert!(matches!(ended.result(), Err(TaskError::WorkerDied(_))));
    for pool in &pools {
        pool.shutdown(Shutdown::Detach);
    }
    for pool in &pools {
        pool.shutdown(Shutdown::Wait);
    }
    assert_eq!(children(), Vec::<i32>::new());
    println!("over");
}

fn stops_unheard() {
    let told = run_part("unheard", &[("FORKFUL_CRASH_AT", "stop@zygote.born")]);
    assert_eq!(told, (Some(0), "over\n".to_owned()));
}

fn names_of_threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    let mut names: Vec<_> = tasks
        .filter_map(name)
        .map(|name| name.trim().to_owned())
        .collect();
    names.retain(|name| name.starts_with("forkful"));
    names
}

fn descriptors() -> Vec<String> {
    let all = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let target = |fd: fs::DirEntry| fs::read_link(fd.path()).ok();
    let mut targets: Vec<_> = all
        .filter_map(target)
        .map(|path| path.display().to_string())
        .collect();
    targets.sort();
    targets
}

fn nothing_is_left() {
    // What stays for the next pool is made by the first one: the bell, the watcher's descriptors.
    drop(ProcessPoolExecutor::new(1).unwrap());
    let before = descriptors();
    let mut kept = Vec::new();
    for _ in 0..3 {
        let pool = ProcessPoolExecutor::new(2).unwrap();
        let future = pool.submit(sleep, (1,));
        future.add_done_callback(|_| ());
        kept.push(pool.submit(sleep, (1,)));
        drop(pool);
        assert_eq!(children(), Vec::<i32>::new());
        // The kernel lists a thread a moment longer than a join waits.
        eventually("no thread is left", || names_of_threads().is_empty());
    }
    // A future that is kept keeps no pool.
    assert_eq!(descriptors(), before);
    for future in kept {
        assert_eq!(future.result().unwrap(), 1);
    }
}

/// The part of a program that these tests run.
const PART: &str = "FORKFUL_TEST_PART";

/// Called first in `main`: this may be that program.
pub fn init_if_asked() {
    match std::env::var(PART).as_deref() {
        Ok("exit") => {
            let pool = ProcessPoolExecutor::new(2).unwrap();
            let runs = pool.submit(sleep, (600_000,));
            eventually("it runs", || runs.is_running());
            eventually("its birth is heard of", || !pool.workers().is_empty());
            let pids: Vec<_> = pool
                .workers()
                .iter()
                .map(|worker| worker.pid.to_string())
                .collect();
            println!("{}", pids.join(" "));
            std::process::exit(7);
        }
        Ok("unheard") => {
            unheard();
            std::process::exit(0);
        }
        Ok("crashes") => {
            crate::crashes::through_crashes();
            std::process::exit(0);
        }
        Ok("panic") => {
            let pool = ProcessPoolExecutor::new(1).unwrap();
            match pool.submit(panic_twice, ()).result() {
                Err(TaskError::WorkerDied(death)) => println!("{}", death.signal.unwrap()),
                other => println!("{other:?}"),
            }
            std::process::exit(0);
        }
        Ok("stack") => {
            let pool = ProcessPoolExecutor::new(1).unwrap();
            match pool.submit(fail, ()).result() {
                Err(TaskError::Panicked(panicked)) => {
                    println!("{}", panicked.backtrace().unwrap_or("none"));
                }
                other => println!("{other:?}"),
            }
            std::process::exit(0);
        }
        Ok("print") => {
            let pool = ProcessPoolExecutor::new(1).unwrap();
            pool.submit(shout, ("no newline".to_owned(),))
                .result()
                .unwrap();
            print!("|");
            std::process::exit(0);
        }
        _ => {}
    }
}

pub fn run_part(name: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut program = Command::new(std::env::current_exe().unwrap())
        .env(PART, name)
        .envs(variables.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut text = String::new();
    // Until the last process that has it is gone.
    program
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    (program.wait().unwrap().code(), text)
}

fn aborts() {
    let program = Command::new(std::env::current_exe().unwrap())
        .env(PART, "panic")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&program.stdout), "6\n");
    let told = String::from_utf8_lossy(&program.stderr);
    assert!(
        told.contains("ends.rs") && told.contains("destructor"),
        "{told}"
    );
}

fn stacks() {
    let (code, told) = run_part("stack", &[("RUST_BACKTRACE", "1")]);
    assert!(code == Some(0) && told.contains("fail"), "{told}");
    assert_eq!(
        run_part("stack", &[("RUST_BACKTRACE", "0")]),
        (Some(0), "none\n".to_owned())
    );
}

fn exits() {
    let (code, pids) = run_part("exit", &[]);
    assert_eq!(code, Some(7));
    let pids: Vec<i32> = pids
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect();
    assert!(!pids.is_empty());
    for pid in pids {
        eventually("the worker is gone", || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ") || stat.contains(") X ")
        });
    }
}

fn prints() {
    assert_eq!(run_part("print", &[]), (Some(0), "no newline|".to_owned()));
}
