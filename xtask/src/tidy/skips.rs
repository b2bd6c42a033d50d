//! A test that does not run says why.

use crate::source::{self, Kind, Token};
use crate::tree::{File, Finding};

const RULE: &str = "skip-reason";

/// Finds `#[ignore]` without a reason, also inside `cfg_attr`.
pub fn check_rust(file: &File, tokens: &[Token<'_>], findings: &mut Vec<Finding>) {
    let code = source::code(tokens);
    for (open, _) in code
        .iter()
        .enumerate()
        .filter(|(at, _)| source::reads(&code, *at, &["#", "["]))
    {
        let close = source::closing(&code, open + 1);
        for at in open + 2..close {
            let starts = code[at - 1].is_punct("[") || code[at - 1].is_punct(",");
            let has_reason =
                source::reads(&code, at + 1, &["="]) && code.get(at + 2).is_some_and(is_reason);
            if code[at].is_word("ignore") && starts && !has_reason {
                findings.push(file.finding(code[at].line, RULE, "write `#[ignore = \"reason\"]`"));
            }
        }
    }
}

/// Finds skips and expected failures of pytest and unittest without a reason.
pub fn check_python(file: &File, tokens: &[Token<'_>], findings: &mut Vec<Finding>) {
    let code = source::code(tokens);
    for at in 2..code.len() {
        let is_name = |words: &[&str]| words.iter().any(|word| code[at].is_word(word));
        let owner = code[at - 2];
        let is_mark = owner.is_word("mark") && is_name(&["skip", "skipif", "xfail"]);
        let is_call =
            (owner.is_word("pytest") || owner.is_word("unittest")) && is_name(&["skip", "xfail"]);
        if !code[at - 1].is_punct(".") || !(is_mark || is_call) {
            continue;
        }
        let arguments = match source::reads(&code, at + 1, &["("]) {
            true => &code[at + 2..source::closing(&code, at + 1)],
            false => &[],
        };
        // What skipif takes first is the condition, even where it is a string.
        let is_positional = !is_mark || code[at].is_word("skip");
        let first = arguments.first().filter(|_| is_positional);
        let has_reason = first.is_some_and(|token| is_reason(token) && !token.is_word("reason"))
            || arguments
                .windows(3)
                .any(|words| source::reads(words, 0, &["reason", "="]) && is_reason(&words[2]));
        if !has_reason {
            let advice = format!("give `{}` a reason", code[at].text);
            findings.push(file.finding(code[at].line, RULE, advice));
        }
    }
}

/// A string that says something, or an expression that makes one.
fn is_reason(token: &Token<'_>) -> bool {
    match token.kind {
        Kind::Text => !token.text.trim().is_empty(),
        Kind::Word => true,
        _ => token.is_punct("("),
    }
}
