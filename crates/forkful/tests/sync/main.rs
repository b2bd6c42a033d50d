//! What processes share, between real processes, any of which is killed. Its own `main`, as worker processes start from there.

mod deaths;
mod descriptors;
mod objects;
mod queues;
#[path = "../processes/watchdog.rs"]
mod watchdog;

use libtest_mimic::{Arguments, Trial};

fn main() {
    forkful::init();
    let mut arguments = Arguments::from_args();
    // Descriptors are counted: one test at a time.
    arguments.test_threads = Some(1);
    let mut trials = Vec::new();
    for add_to in [
        objects::add_to,
        deaths::add_to,
        queues::add_to,
        descriptors::add_to,
    ] {
        add_to(&mut trials);
    }
    libtest_mimic::run(&arguments, trials).exit();
}

/// A test under the watchdog.
fn trial(trials: &mut Vec<Trial>, name: &'static str, test: fn()) {
    trials.push(Trial::test(name, move || {
        watchdog::watched(name, test);
        Ok(())
    }));
}

/// A pool.
fn pool(workers: usize) -> forkful::ProcessPoolExecutor {
    forkful::ProcessPoolExecutor::new(workers).unwrap()
}

/// From here on this worker dies at that instruction: see the engine's `crash_point`.
fn arm(point: &str) {
    forkful_core::sys::arm_crash(point);
}
