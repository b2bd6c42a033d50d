//! Who ends with whom.

use crate::program::{Running, all_end, case, is_root, said};
use crate::trial;
use forkful_core::sys::{pidfd_exited, pidfd_open};
use libtest_mimic::Trial;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(trials, "a_zygote_may_die_at_any_point", crashes);
    trial(
        trials,
        "another_zygote_comes_for_one_that_dies",
        another_zygote_comes,
    );
    trial(trials, "a_fork_that_is_refused_is_told_of", refused_fork);
    trial(
        trials,
        "everybody_ends_with_the_program",
        everybody_ends_with_the_program,
    );
    trial(
        trials,
        "a_zygote_that_is_starting_ends_too",
        a_zygote_that_is_starting_ends_too,
    );
    trial(
        trials,
        "ctrl_c_is_the_programs_to_decide",
        ctrl_c_is_the_programs_to_decide,
    );
}

fn everybody_ends_with_the_program() {
    for name in ["busy", "nested and busy"] {
        let mut running = Running::new(&mut case(name));
        let others = running.processes();
        assert!(others.len() >= 3);
        assert!(!others.iter().any(pidfd_exited), "{name}");
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        all_end(&others);
    }
}

fn a_zygote_that_is_starting_ends_too() {
    for millis in [0, 1, 2, 4, 8] {
        let mut running = Running::new(&mut case("starting"));
        let others = running.processes();
        std::thread::sleep(Duration::from_millis(millis));
        running.child.kill().unwrap();
        running.child.wait().unwrap();
        all_end(&others);
    }
}

fn ctrl_c_is_the_programs_to_decide() {
    let mut command = case("interrupted");
    let mut running = Running::new(command.process_group(0));
    let sleeper = running.line().parse().unwrap();
    let sleeper = pidfd_open(sleeper).unwrap();
    // What a terminal does.
    let group = format!("-{}", running.child.id());
    let kill = Command::new("kill").args(["-INT", "--", &group]).status();
    assert!(kill.unwrap().success());
    assert_eq!(running.line(), "true");
    assert!(running.child.wait().unwrap().success());
    // A program that a task has started is nobody's who decides: it ends, a moment later perhaps.
    all_end(&[sleeper]);
}

fn another_zygote_comes() {
    assert_eq!(said(&mut case("zygote dies")), "true true\n[] true\n");
}

fn refused_fork() {
    let mut command = case("refused");
    // The limit does not bind who may do everything: as somebody else, then, whom nobody else's processes are counted for.
    if is_root() {
        command.uid(54_321).gid(54_321);
    }
    let text = said(&mut command);
    assert!(
        text.starts_with("workers could not be started: ") && text.contains("RLIMIT_NPROC"),
        "{text}"
    );
}

fn crashes() {
    for point in ["asked", "born", "reaped"] {
        let mut command = case("zygote crashes");
        command.env("FORKFUL_CRASH_AT", format!("zygote.{point}:4"));
        assert_eq!(said(&mut command), "true\n", "{point}");
    }
    for point in [
        "zygote.ready",
        "zygote.asked",
        "zygote.born",
        "worker.forked",
    ] {
        let mut command = case("zygote crashes always");
        command.env("FORKFUL_CRASH_AT", point);
        assert_eq!(said(&mut command), "true\n", "{point}");
    }
}
