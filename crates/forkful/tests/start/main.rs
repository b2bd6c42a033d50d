//! How worker processes come to be, from outside: programs that are odd, move, fork, die, or are under a test harness.
//!
//! Its own `main`, as worker processes start from there. With the argument `case` it is one of those programs.

mod cases;
mod deaths;
mod descriptors;
mod doors;
mod program;
mod strangers;
#[path = "../processes/watchdog.rs"]
mod watchdog;

use libtest_mimic::{Arguments, Trial};

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "case") {
        let case = arguments.next().expect("which case it is");
        return cases::run(case.to_str().expect("a case's name"));
    }
    forkful::init();
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for add_to in [
        deaths::add_to,
        descriptors::add_to,
        doors::add_to,
        strangers::add_to,
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
