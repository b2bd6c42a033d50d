//! The odd programs themselves.

use crate::program::{children, target};
use forkful::{ProcessOptions, ProcessPoolExecutor, Refusal, Shutdown, TaskError};
use std::collections::HashSet;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

#[forkful::task]
fn number() -> u32 {
    std::process::id()
}

#[forkful::task]
fn numbers() -> (u32, u32) {
    (std::process::id(), std::os::unix::process::parent_id())
}

#[forkful::task]
fn sleep(seconds: f64) {
    std::thread::sleep(Duration::from_secs_f64(seconds));
}

#[forkful::task]
fn arguments() -> Vec<Vec<u8>> {
    let arguments = std::env::args_os();
    arguments.map(|one| one.as_bytes().to_vec()).collect()
}

#[forkful::task]
fn speak(text: String) {
    println!("{text}");
}

#[forkful::task]
fn read_all() -> usize {
    let mut text = String::new();
    std::io::Read::read_to_string(&mut std::io::stdin(), &mut text).unwrap()
}

#[forkful::task]
fn streams() -> Vec<String> {
    (0..3)
        .map(|number| target(format!("/proc/self/fd/{number}")))
        .collect()
}

/// Signals that are ignored and blocked, as the kernel shows them.
#[forkful::task]
fn signals() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let sets = status
        .lines()
        .filter(|line| line.starts_with("SigIgn") || line.starts_with("SigBlk"));
    sets.map(str::to_owned).collect()
}

#[forkful::task]
fn leave() {
    std::process::exit(3);
}

/// What this process has beside its standard streams.
fn files() -> Vec<String> {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    files.map(|file| target(file.path())).collect()
}

/// What the worker has, and what a program has that it starts.
#[forkful::task]
fn workers_files() -> (Vec<String>, Vec<String>) {
    let script = "for file in /proc/self/fd/*; do readlink $file; done";
    let output = std::process::Command::new("sh")
        .args(["-c", script])
        .output();
    let said = String::from_utf8(output.unwrap().stdout).unwrap();
    (files(), said.lines().map(str::to_owned).collect())
}

#[forkful::task]
fn nested(n: u32) -> u32 {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let inner = pool.submit(number, ()).result().unwrap();
    assert_ne!(inner, std::process::id());
    n + 1
}

#[forkful::task]
fn start_sleeper() -> u32 {
    let child = std::process::Command::new("sleep").arg("1000").spawn();
    child.unwrap().id()
}

fn pool() -> ProcessPoolExecutor {
    ProcessPoolExecutor::new(2).unwrap()
}

fn stay() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(60));
    }
}

/// A line that is out at once.
fn say(text: impl std::fmt::Display) {
    println!("{text}");
    std::io::stdout().flush().unwrap();
}

/// Runs a case in this process, whose other arguments are the same in zygotes and workers.
pub fn run(case: &str) {
    if case == "threads first" {
        std::thread::spawn(|| stay());
    }
    if case == "talks first" {
        // The first half lies in a buffer when a zygote comes this way again.
        print!("once, ");
        std::io::stdout().flush().unwrap();
        print!("again, ");
    }
    if case != "no init" && case != "init elsewhere" {
        forkful::init();
    }
    match case {
        "no init" => match ProcessPoolExecutor::new(1) {
            Err(error) => say(error),
            Ok(_) => say("a pool"),
        },
        "init elsewhere" => {
            std::thread::spawn(forkful::init).join().unwrap();
            say(ProcessPoolExecutor::new(1).is_err());
        }
        "threads first" | "plain" => {
            let pool = pool();
            pool.submit(speak, ("spoken".into(),)).result().unwrap();
            let (worker, zygote) = pool.submit(numbers, ()).result().unwrap();
            say(format_args!(
                "{} {}",
                worker != std::process::id(),
                crate::program::parent_of(zygote) == std::process::id()
            ));
        }
        "arguments" => {
            let here: Vec<_> = std::env::args_os()
                .map(|one| one.as_bytes().to_vec())
                .collect();
            say(pool().submit(arguments, ()).result().unwrap() == here);
        }
        "talks first" => {
            pool().submit(speak, ("twice".into(),)).result().unwrap();
        }
        "reads" => {
            let none = pool().submit(read_all, ()).result().unwrap();
            let mut text = String::new();
            std::io::Read::read_to_string(&mut std::io::stdin(), &mut text).unwrap();
            say(format_args!("{none} {text}"));
        }
        "streams" => {
            let told = pool().submit(streams, ()).result().unwrap();
            let file = std::env::args_os().nth(3).unwrap();
            std::fs::write(file, told.join(" ")).unwrap();
        }
        "signals" => {
            say(format_args!("{:?}", signals()));
            say(format_args!(
                "{:?}",
                pool().submit(signals, ()).result().unwrap()
            ));
        }
        "zygote dies" => {
            let pool = pool();
            let (worker, zygote) = pool.submit(numbers, ()).result().unwrap();
            let busy = pool.submit(sleep, (1000.0,));
            while !busy.is_running() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let zygote = forkful_core::sys::pidfd_open(zygote as i32).unwrap();
            forkful_core::sys::pidfd_signal(&zygote, forkful_core::sys::SIGKILL).unwrap();
            let died = matches!(busy.result(), Err(TaskError::WorkerDied(_)));
            let (later, other) = pool.submit(numbers, ()).result().unwrap();
            say(format_args!("{died} {}", later != worker));
            drop(pool);
            // Neither it nor its successor is a zombie.
            say(format_args!("{:?} {}", children(), other > 0));
        }
        "zygote crashes" => {
            let builder = ProcessPoolExecutor::builder()
                .workers(2)
                .max_tasks_per_worker(1);
            let pool = builder.build().unwrap();
            let again = pool.with_options(ProcessOptions::new().retries(100));
            let futures: Vec<_> = (0..20).map(|_| again.submit(numbers, ())).collect();
            let zygotes: HashSet<u32> = futures
                .into_iter()
                .map(|future| future.result().unwrap().1)
                .collect();
            say(zygotes.len() > 1);
        }
        "zygote crashes always" => {
            let pool = ProcessPoolExecutor::new(1).unwrap();
            // A worker may be done with its task before it is told that its zygote has gone.
            let ended = pool.submit(number, ()).result();
            say(matches!(
                ended,
                Ok(_) | Err(TaskError::Broken(_) | TaskError::WorkerDied(_))
            ));
            // Nor does what comes later hang.
            for _ in 0..20 {
                let _ = pool.submit(number, ()).result();
            }
        }
        "refused" => {
            let pool = ProcessPoolExecutor::new(1).unwrap();
            let (_, zygote) = pool.submit(numbers, ()).result().unwrap();
            let limit = std::process::Command::new("prlimit")
                .args(["--nproc=1", "--pid", &zygote.to_string()])
                .status();
            assert!(limit.unwrap().success());
            // Its worker leaves with its task, and the next one is refused.
            let _ = pool.submit(leave, ()).result();
            say(match pool.submit(number, ()).result() {
                Err(TaskError::Broken(text)) => text,
                other => format!("{other:?}"),
            });
        }
        "files" => {
            let here = files();
            let (there, started) = pool().submit(workers_files, ()).result().unwrap();
            let odd = |files: &[String]| files.iter().any(|file| file == "/dev/zero");
            say(format_args!(
                "{} {} {}",
                odd(&here),
                odd(&there),
                odd(&started)
            ));
        }
        "forks threads" => {
            let threads = forkful::ThreadPoolExecutor::new(1);
            let (sends, waits) = std::sync::mpsc::channel();
            let slow = threads.submit(move || waits.recv().unwrap());
            while !slow.is_running() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let Some(child) = forkful_core::sys::fork().unwrap() else {
                say(slow.result().is_err());
                forkful_core::sys::leave(0);
            };
            while forkful_core::sys::reap(child).unwrap().is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
            sends.send(()).unwrap();
            say(slow.result().is_ok());
        }
        "nested" => say(pool().submit(nested, (1,)).result().unwrap()),
        "busy" => {
            let pool = pool();
            let (worker, zygote) = pool.submit(numbers, ()).result().unwrap();
            let busy = pool.submit(sleep, (1000.0,));
            let other = pool.submit(number, ()).result().unwrap();
            while !busy.is_running() {
                std::thread::sleep(Duration::from_millis(1));
            }
            say(format_args!("{zygote} {worker} {other}"));
            stay();
        }
        "nested and busy" => {
            let pool = pool();
            let busy = pool.submit(nested_and_busy, ());
            let _ = busy.result();
        }
        "starting" => {
            let _pool = pool();
            say(children()[0]);
            stay();
        }
        "interrupted" => {
            // As a program that handles Ctrl-C in a way of its own.
            forkful_core::sys::shrug_interrupts();
            let pool = pool();
            let (worker, zygote) = pool.submit(numbers, ()).result().unwrap();
            let sleeper = pool.submit(start_sleeper, ()).result().unwrap();
            let busy = pool.submit(sleep, (0.5,));
            say(format_args!("{sleeper}"));
            busy.result().unwrap();
            let (later, still) = loop {
                // Either worker will do.
                let (later, still) = pool.submit(numbers, ()).result().unwrap();
                if later == worker {
                    break (later, still);
                }
            };
            say((later, still) == (worker, zygote));
        }
        "forks" => forks(),
        "clean" => {
            let pool = pool();
            pool.submit(number, ()).result().unwrap();
            let _killed = pool.submit(sleep, (1000.0,));
            pool.kill_workers();
            drop(pool);
            let other = ProcessPoolExecutor::new(1).unwrap();
            other.submit(number, ()).result().unwrap();
            other.shutdown(Shutdown::Wait);
            say(format_args!("{:?}", children()));
        }
        _ => panic!("no case is called {case}"),
    }
}

#[forkful::task]
fn nested_and_busy() {
    let pool = ProcessPoolExecutor::new(1).unwrap();
    let (worker, zygote) = pool.submit(numbers, ()).result().unwrap();
    let busy = pool.submit(sleep, (1000.0,));
    let (own, outer) = numbers();
    say(format_args!("{outer} {own} {zygote} {worker}"));
    let _ = busy.result();
}

/// A program that forks by itself: its child has the pools, and they are not its own.
fn forks() {
    let (processes, threads) = (pool(), forkful::ThreadPoolExecutor::new(1));
    let (waits, ready) = std::sync::mpsc::channel();
    let slow = threads.submit(move || ready.recv().unwrap());
    let far = processes.submit(sleep, (1000.0,));
    while !far.is_running() {
        std::thread::sleep(Duration::from_millis(1));
    }
    let Some(child) = forkful_core::sys::fork().unwrap() else {
        let inherited = |refusal: &Refusal| matches!(refusal, Refusal::Inherited);
        let refused = processes.try_submit(number, ()).err();
        let also = threads.try_submit(|| ()).err();
        let told = [
            refused.is_some_and(|error| inherited(&error.refusal)),
            also.is_some_and(|error| inherited(&error.refusal)),
            !matches!(far.result(), Ok(()) | Err(TaskError::TimedOut)),
            slow.result().is_err(),
            // One of its own works.
            pool().submit(number, ()).result().is_ok(),
            forkful::ThreadPoolExecutor::new(1)
                .submit(|| 7)
                .result()
                .ok()
                == Some(7),
        ];
        say(format_args!("{told:?}"));
        // As it goes out of use there, the parent's goes on.
        drop((processes, threads));
        forkful_core::sys::leave(0);
    };
    while forkful_core::sys::reap(child).unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    waits.send(()).unwrap();
    slow.result().unwrap();
    say(processes.submit(number, ()).result().is_ok());
    processes.kill_workers();
}
