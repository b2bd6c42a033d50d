//! What the crate for Rust programs shows of the engine: nothing.
//!
//! The engine's types may change at every version. One in a public signature would make each such change a break for users, so
//! whatever is `pub` in that crate and takes, holds or returns one is found here, also inside of private modules:
//! there `pub(crate)` says the same.

#[cfg(test)]
mod tests;

use crate::source::{self, Kind, Token};
use crate::tree::{File, Finding};
use std::collections::HashSet;

const FRONT: &str = "crates/forkful/src/";
const ENGINE: &str = "forkful_core";

/// Checks a file of that crate; other files pass.
pub fn check(file: &File, findings: &mut Vec<Finding>) {
    if !file.is_rust() || !file.path.starts_with(FRONT) {
        return;
    }
    let tokens = source::code(&source::rust(&file.text));
    let foreign = names(&tokens);
    let mut hidden_until = 0;
    for at in 0..tokens.len() {
        if tokens[at].is_word("struct") && (at == 0 || !tokens[at - 1].is_word("pub")) {
            // Its fields are seen by nobody whatever they are called.
            let open = end_of_face(&tokens, at);
            hidden_until = source::closing(&tokens, open);
        }
        let is_public = tokens[at].is_word("pub") && !source::reads(&tokens, at + 1, &["("]);
        if !is_public || at < hidden_until {
            continue;
        }
        let end = end_of_face(&tokens, at + 1);
        let shown = tokens[at + 1..end].iter().enumerate().find(|(nth, token)| {
            let is_field_name = source::reads(&tokens, at + 2 + nth, &[":"]);
            // Of a path to a module of this crate the first word decides.
            let is_further = tokens[at + 1].is_word("use") && *nth > 1;
            token.kind == Kind::Word
                && (token.text == ENGINE
                    || !is_field_name && !is_further && foreign.contains(token.text))
        });
        if let Some((_, token)) = shown {
            let advice = format!(
                "`{}` is the engine's: show a type of this crate, or make it pub(crate)",
                token.text
            );
            findings.push(file.finding(token.line, "engine-shown", advice));
        }
    }
}

/// The names that the file takes from the engine, as it writes them.
fn names<'a>(tokens: &[Token<'a>]) -> HashSet<&'a str> {
    let mut found = HashSet::new();
    for at in 0..tokens.len() {
        if !source::reads(tokens, at, &["use", ENGINE]) {
            continue;
        }
        let end = (at..tokens.len())
            .find(|end| tokens[*end].is_punct(";"))
            .unwrap_or(tokens.len());
        for at in at + 2..end {
            let (token, next) = (tokens[at], tokens.get(at + 1));
            // The last word of a path, or what it is called here.
            let is_last =
                next.is_none_or(|next| [",", "}", ";"].iter().any(|mark| next.is_punct(mark)));
            if token.kind == Kind::Word && is_last && token.text != "self" && token.text != "_" {
                found.insert(token.text);
            }
            if token.is_word("self") && at >= 3 && tokens[at - 1].is_punct("{") {
                found.insert(tokens[at - 3].text);
            }
        }
    }
    found
}

/// Where the part of a public item ends that others see: before a body, at the end of a declaration or of a field.
fn end_of_face(tokens: &[Token<'_>], start: usize) -> usize {
    // The bodies of these are part of what is seen; their fields of a struct have a `pub` of their own.
    let is_open = |token: &Token<'_>| token.is_word("enum") || token.is_word("use");
    let opens = tokens.get(start).is_some_and(is_open);
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            _ if token.kind != Kind::Punct => {}
            "{" if !opens && depth == 0 => return at,
            // The fields of a tuple.
            "(" if tokens[start].is_word("struct") && depth == 0 => return at,
            "(" | "[" | "<" | "{" => depth += 1,
            // The arrow of a result is no bracket.
            ">" if at > 0 && tokens[at - 1].is_punct("-") => {}
            ")" | "]" | ">" if depth > 0 => depth -= 1,
            "}" if opens && depth == 1 && !tokens[start].is_word("use") => return at,
            "}" if depth > 0 => depth -= 1,
            "}" | ")" => return at,
            ";" | "," if depth == 0 => return at,
            _ => {}
        }
    }
    tokens.len()
}
