//! House rules as a test: `cargo xtask layers` and `cargo xtask tidy`.

#![deny(missing_docs)]

mod layers;
mod source;
mod tidy;
mod tree;

use std::process::ExitCode;

use tree::{File, Finding};

/// One command: its name, what it checks in a word, and the check.
type Command = (&'static str, &'static str, fn(&[File]) -> Vec<Finding>);

const COMMANDS: &[Command] = &[
    (
        "layers",
        "no upward import, in Rust and in Python, and few doors for unsafe code",
        layers::check,
    ),
    (
        "tidy",
        "what a stranger needs to find in every file",
        tidy::check,
    ),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let chosen: Vec<&Command> = words
        .iter()
        .filter_map(|word| COMMANDS.iter().find(|(name, ..)| name == word))
        .collect();
    if words.is_empty() || chosen.len() < words.len() {
        eprintln!("usage: cargo xtask COMMAND...");
        for (name, what, _) in COMMANDS {
            eprintln!("  {name:8} {what}");
        }
        return ExitCode::from(2);
    }
    let files = match tree::read() {
        Ok(files) => files,
        Err(reason) => {
            eprintln!("xtask: {reason}");
            return ExitCode::from(2);
        }
    };
    let mut clean = true;
    for (name, _, check) in chosen {
        let mut findings = check(&files);
        findings.sort();
        for finding in &findings {
            println!("{finding}");
        }
        println!(
            "{name}: {} findings in {} files",
            findings.len(),
            files.len()
        );
        clean &= findings.is_empty();
    }
    if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
