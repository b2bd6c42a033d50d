//! The process pool from outside: values, panics, deaths, limits, ends. Its own `main`, as worker processes start from there.

mod crashes;
mod deaths;
mod ends;
mod forks;
mod limits;
mod maps;
mod notices;
mod values;
mod watchdog;

use libtest_mimic::{Arguments, Trial};

fn main() {
    forkful::init();
    ends::init_if_asked();
    let mut arguments = Arguments::from_args();
    // What is left behind is looked for: one test at a time.
    arguments.test_threads = Some(1);
    let mut trials = Vec::new();
    for add_to in [
        values::add_to,
        deaths::add_to,
        crashes::add_to,
        limits::add_to,
        maps::add_to,
        forks::add_to,
        notices::add_to,
        ends::add_to,
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

/// Waits until something is so.
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..5000 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    panic!("it did not come to pass: {what}");
}
