//! Large data between processes: buffers there and back, shared objects. Its own `main`, as worker processes start from there.

mod buffers;
mod forks;
mod shared;
#[path = "../processes/watchdog.rs"]
mod watchdog;

use forkful::ProcessPoolExecutor;
use libtest_mimic::{Arguments, Trial};

fn main() {
    forkful::init();
    let mut arguments = Arguments::from_args();
    // What is left behind is looked for: one test at a time.
    arguments.test_threads = Some(1);
    let mut trials = Vec::new();
    buffers::add_to(&mut trials);
    forks::add_to(&mut trials);
    shared::add_to(&mut trials);
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test under the watchdog.
fn trial(trials: &mut Vec<Trial>, name: &'static str, test: fn()) {
    trials.push(Trial::test(name, move || {
        watchdog::watched(name, test);
        Ok(())
    }));
}

/// Waits until something is so.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    panic!("it did not come to pass: {what}");
}

/// Kills all workers from outside.
fn kill_all(pool: &ProcessPoolExecutor) {
    let pids = pool
        .workers()
        .into_iter()
        .map(|worker| worker.pid.to_string());
    let killed = std::process::Command::new("kill")
        .arg("-9")
        .args(pids)
        .status();
    assert!(killed.is_ok());
}

/// Waits until this process has no segment of this pool's arena.
fn balanced(pool: &ProcessPoolExecutor) {
    let views = || pool.stats().buffers.unwrap().views;
    eventually("no view is left", || views() == 0);
}

/// The same, until nobody has one: what workers have been given ahead goes back some seconds after the last use.
fn cold(pool: &ProcessPoolExecutor) {
    eventually("the arena's books are at 0", || {
        let buffers = pool.stats().buffers.unwrap();
        (buffers.segments, buffers.views, buffers.held, buffers.warm) == (0, 0, 0, 0)
    });
}
