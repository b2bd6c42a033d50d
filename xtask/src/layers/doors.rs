//! The few doors behind which unsafe code may be written.

#[cfg(test)]
mod tests;

use crate::source::{self, Token};
use crate::tree::{File, Finding};

/// Each is a file without its `.rs`, or a folder. Macros of PyO3 expand to unsafe code, but nothing written says so.
const DOORS: &[&str] = &[
    "crates/forkful-core/src/sys",
    "crates/forkful-core/src/shm",
    "crates/forkful-core/src/future/cell",
    "crates/forkful-core/src/future/taken",
    "crates/forkful-python/src/buffers",
    "crates/forkful-python/src/ffi",
];

/// Finds the word `unsafe`, and lint levels that would let it in, outside of the doors.
pub fn check(file: &File, findings: &mut Vec<Finding>) {
    let is_behind = |door: &&str| {
        let rest = file.path.strip_prefix(*door);
        rest.is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    };
    if DOORS.iter().any(is_behind) {
        return;
    }
    let tokens = source::code(&source::rust(&file.text));
    for (at, token) in tokens.iter().enumerate() {
        if token.is_word("unsafe") || token.is_word("unsafe_code") && is_let_in(&tokens[..at]) {
            let advice = format!(
                "move it behind one of the doors for unsafe code ({})",
                DOORS.join(", ")
            );
            findings.push(file.finding(token.line, "unsafe-door", advice));
        }
    }
}

/// Whether the list of lints that is being written here lets them in: `allow(...)`, but not `deny(...)`.
fn is_let_in(before: &[Token<'_>]) -> bool {
    let open = before.iter().rposition(|token| token.is_punct("("));
    let level = open.and_then(|open| before[..open].last());
    level.is_some_and(|level| {
        ["allow", "expect", "warn"]
            .iter()
            .any(|word| level.is_word(word))
    })
}
