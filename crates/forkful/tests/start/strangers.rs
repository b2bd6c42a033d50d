//! Programs that have the variable by accident, and those that fork by themselves.

use crate::program::{case, is_root, said};
use crate::trial;
use libtest_mimic::Trial;
use std::process::Command;

pub fn add_to(trials: &mut Vec<Trial>) {
    trial(
        trials,
        "a_program_with_more_rights_has_no_workers",
        more_rights,
    );
    trial(
        trials,
        "the_variable_alone_makes_no_zygote",
        the_variable_alone_makes_no_zygote,
    );
    trial(
        trials,
        "a_forked_program_has_no_pools",
        a_forked_program_has_no_pools,
    );
}

fn the_variable_alone_makes_no_zygote() {
    for words in [
        "",
        "zygote",
        "1",
        "zygote 1 0 0 0 0 0 0 1 0 0",
        "worker 1 0 0 0 3 1 1 4 1 1 5 1 1 6 1 1",
    ] {
        let mut command = case("plain");
        command.env("FORKFUL_ZYGOTE", words);
        assert_eq!(said(&mut command), "spoken\ntrue true\n", "{words}");
    }
}

fn a_forked_program_has_no_pools() {
    assert_eq!(said(&mut case("forks threads")), "true\ntrue\n");
    assert_eq!(
        said(&mut case("forks")),
        "[true, true, true, true, true, true]\ntrue\n"
    );
}

fn more_rights() {
    let own = std::env::current_exe().unwrap();
    if !is_root() {
        // Nobody else can give a program away.
        return;
    }
    let program = own.with_file_name(format!("forkful-test-setuid-{}", std::process::id()));
    // By another process: none of ours has it open for writing then, which would keep it from being run.
    let script = "cp \"$0\" \"$1\" && chown 54321 \"$1\" && chmod u+s \"$1\"";
    let made = Command::new("sh")
        .args(["-c", script])
        .args([&own, &program])
        .status();
    let output = Command::new(&program)
        .args(["case", "more rights"])
        .output();
    std::fs::remove_file(&program).unwrap();
    assert!(made.unwrap().success());
    let output = output.unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    // A file system may be mounted so that the bit means nothing.
    let refused = said.starts_with("true ") && said.contains("has more rights than its user");
    assert!(refused || said == "false a pool\n", "{said}");
}
