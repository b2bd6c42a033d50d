//! By which way a program is entered, and what of it is the same in its workers.

use crate::program::{case, said};
use crate::trial;
use libtest_mimic::Trial;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(
        trials,
        "a_program_with_threads_before_init_has_workers",
        threads_first,
    );
    trial(trials, "workers_have_the_programs_arguments", arguments);
    trial(
        trials,
        "what_is_printed_before_init_is_not_printed_again",
        talks_first,
    );
    trial(trials, "without_init_there_is_no_pool", no_init);
    trial(trials, "a_worker_may_have_a_pool", nested);
    trial(trials, "signals_are_the_programs", signals);
}

fn threads_first() {
    for name in ["plain", "threads first"] {
        assert_eq!(said(&mut case(name)), "spoken\ntrue true\n", "{name}");
    }
}

fn arguments() {
    let mut command = case("arguments");
    command.args(["", "two\nlines", "--exact", "-", "ö"]);
    command.arg(OsStr::from_bytes(b"\xff\xfe"));
    assert_eq!(said(&mut command), "true\n");
}

fn talks_first() {
    assert_eq!(said(&mut case("talks first")), "once, twice\nagain, ");
}

fn no_init() {
    let text = said(&mut case("no init"));
    assert!(text.contains("call forkful::init() first"), "{text}");
    assert_eq!(said(&mut case("init elsewhere")), "true\n");
}

fn nested() {
    assert_eq!(said(&mut case("nested")), "2\n");
}

fn signals() {
    let text = said(&mut case("signals"));
    let sets: Vec<&str> = text.lines().collect();
    let hex = |line: &str, name: &str| {
        let at = line.find(name).unwrap() + name.len();
        let digits: String = line[at..]
            .chars()
            .filter(char::is_ascii_hexdigit)
            .take(16)
            .collect();
        // The tab is written as an escape, whose letter is no digit.
        u64::from_str_radix(&digits, 16).unwrap()
    };
    let dump = 1 << (forkful_core::sys::dump_signal() - 1);
    assert_eq!(hex(sets[0], "SigIgn:") | dump, hex(sets[1], "SigIgn:"));
    assert_eq!(hex(sets[0], "SigBlk:"), hex(sets[1], "SigBlk:"));
}
