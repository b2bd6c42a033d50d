//! What a stranger needs to find in every file.

mod comments;
mod skips;
#[cfg(test)]
mod tests;

use crate::source::{self, Kind, Token};
use crate::tree::{File, Finding};

/// Lines that a file may have before it has to say why it is one.
const HALL: usize = 500;
const EXCUSE: &str = "long because";

/// Names that say nothing about what is inside.
const NAMELESS: &[&str] = &[
    "utils", "util", "common", "helpers", "helper", "misc", "manager", "base",
];
/// CPython's own names: for the module that has the futures' protocol, and for one of multiprocessing's.
const NAMED_BY_CPYTHON: [&str; 2] = [
    "python/forkful/futures/_base.py",
    "python/forkful/multiprocessing/util.py",
];

/// Checks every file, and the pairs of tags across all of them.
pub fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        check_name(file, &mut findings);
        check_machine_paths(file, &mut findings);
        if file.is_rust() {
            let tokens = source::rust(&file.text);
            check_length(file, test_lines(&tokens), &mut findings);
            check_room(file, &tokens, &mut findings);
            check_unfinished(file, &tokens, &mut findings);
            comments::check_safety(file, &tokens, &mut findings);
            skips::check_rust(file, &tokens, &mut findings);
            if !file.text.strip_prefix("//!").is_some_and(says_something) {
                let advice = "say the file in one sentence: start the first line with `//! `";
                findings.push(file.finding(1, "first-line", advice));
            }
        } else if file.is_python() {
            let tokens = source::python(&file.text);
            check_length(file, 0, &mut findings);
            skips::check_python(file, &tokens, &mut findings);
            check_docstring(file, &tokens, &mut findings);
        }
    }
    comments::check_pairs(files, &mut findings);
    findings
}

fn says_something(text: &str) -> bool {
    text.lines()
        .next()
        .is_some_and(|line| line.contains(char::is_alphabetic))
}

fn check_name(file: &File, findings: &mut Vec<Finding>) {
    let stems = file
        .path
        .split('/')
        .map(|part| part.split('.').next().unwrap_or(part).trim_matches('_'));
    for stem in stems {
        if NAMELESS.contains(&stem) && !NAMED_BY_CPYTHON.contains(&file.path.as_str()) {
            let advice =
                format!("`{stem}` says nothing: name it after the one thing that it is about");
            findings.push(file.finding(1, "file-name", advice));
        }
    }
}

/// A path of one machine works on no other.
fn check_machine_paths(file: &File, findings: &mut Vec<Finding>) {
    // In pieces, so that this file does not hold what it looks for.
    let needles = ["root", "work", "home"].map(|top| format!("/{top}/"));
    for (nth, line) in file.text.lines().enumerate() {
        for needle in &needles {
            // Part of a longer path or of an address if something stands before it.
            let starts = |at: usize| {
                !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.~$})]>*".contains(c))
            };
            if line
                .match_indices(needle.as_str())
                .any(|(at, _)| starts(at))
            {
                let advice = format!(
                    "`{needle}` is a path of one machine: make it relative to the checkout"
                );
                findings.push(file.finding(nth + 1, "machine-path", advice));
            }
        }
    }
}

/// Whether the file is a test as a whole.
fn is_test(file: &File) -> bool {
    let folders = file.path.split('/');
    folders.clone().any(|part| part == "tests")
        || file.name() == "tests.rs"
        || file.name().starts_with("test_")
}

/// How many lines are taken by `#[cfg(test)] mod name { ... }`.
fn test_lines(tokens: &[Token<'_>]) -> usize {
    let code = source::code(tokens);
    let mut lines = 0;
    for at in (0..code.len()).filter(|at| source::reads(&code, *at, &["#", "[", "cfg", "("])) {
        let close = source::closing(&code, at + 1);
        let is_test = code[at..close].iter().any(|token| token.is_word("test"));
        let open = code
            .get(close + 3)
            .filter(|open| open.is_punct("{") && code[close + 1].is_word("mod"));
        if is_test && open.is_some() {
            lines += code[source::closing(&code, close + 3)].line - code[at].line + 1;
        }
    }
    lines
}

fn check_length(file: &File, test_lines: usize, findings: &mut Vec<Finding>) {
    let lines = file.text.lines().count() - test_lines;
    let excused = file
        .text
        .lines()
        .take(10)
        .any(|line| line.to_lowercase().contains(EXCUSE));
    if lines > HALL && !excused && !is_test(file) {
        let advice = format!(
            "{lines} lines are more than {HALL}: split it, or say why it is one file in a comment with \
             \"{EXCUSE}\" in its first 10 lines"
        );
        findings.push(file.finding(1, "length", advice));
    }
}

/// Each room of the engine writes down what it may and may not know.
fn check_room(file: &File, tokens: &[Token<'_>], findings: &mut Vec<Finding>) {
    if !file.path.starts_with("crates/forkful-core/src/") || file.name() != "mod.rs" {
        return;
    }
    for words in ["Knows:", "Does not know:"] {
        let said = tokens
            .iter()
            .any(|token| token.kind == Kind::Comment && token.text.contains(words));
        if !said {
            let advice = format!("write a line \"{words} ...\" in the first comment");
            findings.push(file.finding(1, "room", advice));
        }
    }
}

fn check_unfinished(file: &File, tokens: &[Token<'_>], findings: &mut Vec<Finding>) {
    let code = source::code(tokens);
    for (at, token) in code.iter().enumerate() {
        for name in ["todo", "unimplemented"] {
            if ["(", "[", "{"]
                .iter()
                .any(|open| source::reads(&code, at, &[name, "!", open]))
            {
                let advice = format!("finish it, or return an error instead of `{name}!`");
                findings.push(file.finding(token.line, "unfinished", advice));
            }
        }
    }
}

/// Only a `#!` line may stand before the docstring.
fn check_docstring(file: &File, tokens: &[Token<'_>], findings: &mut Vec<Finding>) {
    let mut tokens = tokens.iter().peekable();
    if file.text.starts_with("#!") {
        tokens.next();
        tokens.next();
    }
    let first = tokens.next();
    if !first.is_some_and(|token| token.kind == Kind::Text && says_something(token.text)) {
        let advice =
            "say the file in one sentence: start with a docstring whose first line says something";
        findings.push(file.finding(1, "first-line", advice));
    }
}
