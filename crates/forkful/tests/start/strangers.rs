//! Programs that have the variable by accident, and those that fork by themselves.

use crate::program::{case, said};
use crate::trial;
use libtest_mimic::Trial;

pub fn add_to(trials: &mut Vec<Trial>) {
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
