//! Storms of SIGKILL on workers and zygotes while tasks run: every future ends exactly once, and the executor goes on.
//!
//! Not under the standard harness, as workers are this program, run again: `main` has to begin with `init`.

use forkful::{
    ProcessOptions, ProcessPoolExecutor, ReturnWhen, Shutdown, TaskError, as_completed, wait,
};
use libtest_mimic::{Arguments, Trial};
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Long enough to be hit at times, short enough that most are not.
#[forkful::task]
fn work(number: u64, micros: u64) -> u64 {
    let end = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < end {
        std::hint::spin_loop();
    }
    number * number
}

#[forkful::task]
fn echo(bytes: Vec<u8>) -> Vec<u8> {
    bytes
}

#[forkful::task]
fn sleep_for(millis: u64) {
    sleep(Duration::from_millis(millis));
}

/// Children of a process, as the kernel lists them.
fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let listed = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        found.extend(
            listed
                .split_whitespace()
                .filter_map(|word| word.parse::<u32>().ok()),
        );
    }
    found
}

/// Of all pools of this program, while the tests run one after the other.
fn zygotes() -> Vec<u32> {
    children(std::process::id())
}

/// The workers that have begun a task. Three in a row that die before their first one would break the pool, and where others have the
/// CPUs a storm comes faster than new workers.
fn workers(pool: &ProcessPoolExecutor) -> Vec<u32> {
    let workers = pool.workers().into_iter();
    workers
        .filter(|worker| worker.tasks > 0 || worker.task.is_some())
        .map(|worker| worker.pid as u32)
        .collect()
}

/// By the command, so that no test needs unsafe code.
fn kill(pids: &[u32]) {
    if !pids.is_empty() {
        let pids = pids.iter().map(u32::to_string);
        let _ = Command::new("kill")
            .arg("-KILL")
            .args(pids)
            .stderr(std::process::Stdio::null())
            .status();
    }
}

/// A number that differs from call to call, and from run to run.
fn dice(sides: u64) -> u64 {
    static STATE: AtomicU64 = AtomicU64::new(0);
    let time = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |time| time.subsec_nanos().into());
    let state = STATE.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed) ^ time;
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    (mixed ^ (mixed >> 27)) % sides
}

/// Kills one of `victims` now and then, as long as `job` runs; how many were.
fn storm(victims: impl Fn() -> Vec<u32> + Send, pause: u64, job: impl FnOnce()) -> usize {
    let over = AtomicBool::new(false);
    let killed = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (over, killed) = (&over, &killed);
        scope.spawn(move || {
            while !over.load(Ordering::Relaxed) {
                sleep(Duration::from_micros(500 + dice(pause * 1000)));
                let victims = victims();
                if !victims.is_empty() {
                    kill(&[victims[dice(victims.len() as u64) as usize]]);
                    killed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        // Also if the job panics: the storm would rage for ever.
        let job = std::panic::catch_unwind(std::panic::AssertUnwindSafe(job));
        over.store(true, Ordering::Relaxed);
        if let Err(panic) = job {
            std::panic::resume_unwind(panic);
        }
    });
    killed.into_inner()
}

/// Counts ends, and fails at a second one.
struct Ends(Vec<AtomicBool>);

impl Ends {
    fn of(count: usize) -> Arc<Ends> {
        Arc::new(Ends((0..count).map(|_| AtomicBool::new(false)).collect()))
    }

    fn note(&self, nth: usize) {
        assert!(
            !self.0[nth].swap(true, Ordering::SeqCst),
            "task {nth} has ended twice"
        );
    }

    fn count(&self) -> usize {
        self.0
            .iter()
            .filter(|end| end.load(Ordering::SeqCst))
            .count()
    }
}

fn every_future_ends_once_while_workers_are_killed() {
    const COUNT: usize = 3000;
    let pool = ProcessPoolExecutor::new(3).unwrap();
    let ends = Ends::of(COUNT);
    let (mut values, mut deaths) = (0, 0);
    let killed = storm(
        || workers(&pool),
        6,
        || {
            let futures: Vec<_> = (0..COUNT)
                .map(|nth| {
                    let future = pool.submit(work, (nth as u64, 200));
                    let ends = ends.clone();
                    future.add_done_callback(move |_| ends.note(nth));
                    future
                })
                .collect();
            for (nth, future) in (0..).zip(futures) {
                match future.result() {
                    Ok(square) => {
                        assert_eq!(square, nth * nth);
                        values += 1;
                    }
                    Err(TaskError::WorkerDied(death)) => {
                        assert_eq!(death.signal, Some(9), "{death}");
                        deaths += 1;
                    }
                    Err(error) => panic!("{error:?}"),
                }
            }
        },
    );
    assert!(killed > 0);
    assert_eq!(values + deaths, COUNT);
    assert!(deaths <= killed, "{deaths} tasks died of {killed} kills");
    assert_eq!(pool.submit(work, (9, 1)).result().unwrap(), 81);
    pool.shutdown(Shutdown::Wait);
    assert_eq!(ends.count(), COUNT);
}

fn retried_tasks_all_come_through() {
    let pool = ProcessPoolExecutor::new(3).unwrap();
    let stubborn = pool.with_options(ProcessOptions::new().retries(1000));
    let killed = storm(
        || workers(&pool),
        6,
        || {
            let futures: Vec<_> = (0..1500).map(|n| stubborn.submit(work, (n, 200))).collect();
            for (n, future) in (0..).zip(futures) {
                assert_eq!(future.result().unwrap(), n * n);
            }
        },
    );
    assert!(killed > 0);
    assert_eq!(pool.stats().failed, 0);
}

fn a_killed_zygote_is_replaced() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    for round in 0..5 {
        assert_eq!(
            pool.submit(work, (round, 1)).result().unwrap(),
            round * round
        );
        let long = pool.submit(sleep_for, (60_000,));
        while !long.is_running() {
            sleep(Duration::from_millis(1));
        }
        kill(&zygotes());
        match long.result() {
            // Its workers die with a zygote.
            Err(TaskError::WorkerDied(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(pool.submit(work, (9, 1)).result().unwrap(), 81);
}

fn every_future_ends_while_zygotes_are_killed() {
    const COUNT: u64 = 600;
    let pool = ProcessPoolExecutor::new(2).unwrap();
    storm(zygotes, 60, || {
        let mut rest: Vec<_> = (0..COUNT).map(|n| pool.submit(work, (n, 500))).collect();
        let mut ended = 0;
        while !rest.is_empty() {
            let waited = wait(rest, ReturnWhen::FirstCompleted, None);
            for future in waited.done {
                ended += 1;
                match future.result() {
                    Ok(_)
                    | Err(
                        TaskError::WorkerDied(_) | TaskError::Broken(_) | TaskError::Refused(_),
                    ) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
            rest = waited.not_done;
        }
        assert_eq!(ended, COUNT);
    });
}

fn payloads_of_all_sizes_arrive_whole_or_not_at_all() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let sizes = [0, 1, 1000, 5000, 70_000, 300_000];
    let killed = storm(
        || workers(&pool),
        8,
        || {
            let futures = (0..400)
                .map(|nth| pool.submit(echo, (vec![nth as u8; sizes[nth % sizes.len()] + nth],)));
            for future in as_completed(futures.collect::<Vec<_>>()) {
                match future.result() {
                    Ok(bytes) => {
                        let nth = bytes.first().copied();
                        assert!(bytes.iter().all(|byte| Some(*byte) == nth));
                    }
                    Err(TaskError::WorkerDied(_)) => {}
                    Err(error) => panic!("{error:?}"),
                }
            }
        },
    );
    assert!(killed > 0);
}

fn kills_deadlines_and_cancels_from_many_threads() {
    let pool = ProcessPoolExecutor::new(2).unwrap();
    let limited = pool.with_options(
        ProcessOptions::new()
            .timeout(Duration::from_millis(20))
            .retries(1),
    );
    storm(
        || workers(&pool),
        10,
        || {
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        for _ in 0..15 {
                            let future = match dice(3) {
                                0 => limited.submit(sleep_for, (60_000,)),
                                1 => pool.submit(sleep_for, (dice(10),)),
                                _ => pool.submit(sleep_for, (60_000,)),
                            };
                            match dice(2) {
                                0 => drop(future.cancel()),
                                _ => sleep(Duration::from_millis(dice(5))),
                            }
                            // What may run for a minute is ended here in any case.
                            while !future.wait_timeout(Duration::from_millis(30)) {
                                future.kill();
                            }
                            match future.result() {
                                Ok(()) => {}
                                Err(
                                    TaskError::Cancelled
                                    | TaskError::Killed(_)
                                    | TaskError::WorkerDied(_)
                                    | TaskError::DeadlineExceeded { .. },
                                ) => {}
                                Err(error) => panic!("{error:?}"),
                            }
                        }
                    });
                }
            });
        },
    );
}

fn nothing_is_left_after_a_storm() {
    let before = descriptors();
    for _ in 0..3 {
        let pool = ProcessPoolExecutor::new(2).unwrap();
        storm(
            || workers(&pool),
            4,
            || {
                let futures: Vec<_> = (0..200).map(|n| pool.submit(work, (n, 300))).collect();
                wait(futures, ReturnWhen::AllCompleted, None);
            },
        );
    }
    eventually("processes", || zygotes().is_empty());
    eventually("descriptors", || descriptors().is_subset(&before));
}

fn descriptors() -> BTreeSet<String> {
    // The one by which this is read is among them, at both times.
    let open = fs::read_dir("/proc/self/fd").unwrap();
    open.flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    // A watchdog: so many looks take longer on a slow machine.
    for _ in 0..10_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("{what} are left");
}

/// After a minute a test that hangs ends the program.
fn watched(name: &'static str, body: fn()) -> Trial {
    Trial::test(name, move || {
        let (leash, end) = channel::<()>();
        thread::spawn(move || {
            if end.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{name} hangs");
                std::process::abort();
            }
        });
        body();
        drop(leash);
        Ok(())
    })
}

macro_rules! trials {
    ($($body:ident)*) => {
        vec![$(watched(stringify!($body), $body)),*]
    };
}

fn main() {
    forkful::init();
    let mut arguments = Arguments::from_args();
    // Storms kill the children of this program, whichever test they belong to.
    arguments.test_threads = Some(1);
    let trials = trials! {
        every_future_ends_once_while_workers_are_killed
        retried_tasks_all_come_through
        a_killed_zygote_is_replaced
        every_future_ends_while_zygotes_are_killed
        payloads_of_all_sizes_arrive_whole_or_not_at_all
        kills_deadlines_and_cancels_from_many_threads
        nothing_is_left_after_a_storm
    };
    libtest_mimic::run(&arguments, trials).exit();
}
