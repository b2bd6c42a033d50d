//! Who may name whom in the engine, in the crate for Rust programs and in the bindings.

#[cfg(test)]
mod tests;

use super::{CRATE, ENGINE, Storey, find, homeless, verdict};
use crate::source::{self, Kind, Token};
use crate::tree::{File, Finding};

const CORE: &str = "crates/forkful-core/";
const FRONT: &str = "crates/forkful/src/";
const BINDINGS: &str = "crates/forkful-python/";
const PACKAGE: &str = "forkful";
const COMPILED: &str = "forkful._engine";

/// What the engine is not to know, in code and in comments.
const FOREIGN: &[&str] = &["pyo3", "pickle", "python"];

/// The macros that make or import an exception.
const EXCEPTIONS: &[&str] = &[
    "create_exception",
    "import_exception",
    "import_exception_bound",
];

/// Words that belong to one room of the engine.
const OWNED: &[(&str, &[&str])] = &[
    ("sys", &["rustix", "libc", "target_os"]),
    ("prim", &["loom", "forkful_loom"]),
];

/// Checks a file of the engine or of the bindings; other files pass.
pub fn check(file: &File, findings: &mut Vec<Finding>) {
    if let Some(rest) = file.path.strip_prefix(CORE) {
        if matches!(file.extension(), "rs" | "md") {
            check_foreign(file, findings);
        } else if rest == "Cargo.toml" {
            check_manifest(file, findings);
        }
        if let (Some(inner), true) = (rest.strip_prefix("src/"), file.is_rust()) {
            check_storeys(file, inner, ENGINE, findings);
        }
    } else if let Some(inner) = file.path.strip_prefix(FRONT) {
        // Its tests use it as programs do, by the names at its root.
        if file.is_rust() && file.name() != "tests.rs" {
            check_storeys(file, inner, CRATE, findings);
        }
    } else if file.path.starts_with(BINDINGS) && file.is_rust() {
        check_bindings(file, findings);
    }
}

fn check_foreign(file: &File, findings: &mut Vec<Finding>) {
    for (nth, line) in file.text.lines().enumerate() {
        let line = line.to_lowercase();
        if let Some(word) = FOREIGN.iter().find(|word| line.contains(*word)) {
            let advice = format!("the engine never names {word}: say it in the engine's own words");
            findings.push(file.finding(nth + 1, "engine-words", advice));
        }
    }
}

fn check_manifest(file: &File, findings: &mut Vec<Finding>) {
    let mut in_dependencies = false;
    for (nth, line) in file.text.lines().enumerate() {
        let line = line
            .split('#')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase();
        if line.starts_with('[') {
            in_dependencies = line.contains("dependencies");
        }
        if in_dependencies && FOREIGN.iter().any(|word| line.contains(word)) {
            let advice = "the engine may not depend on it: the bindings do";
            findings.push(file.finding(nth + 1, "engine-words", advice));
        }
    }
}

/// `inner` is the path below `src/`.
fn check_storeys(file: &File, inner: &str, table: &[Storey], findings: &mut Vec<Finding>) {
    let mut module: Vec<&str> = inner.trim_end_matches(".rs").split('/').collect();
    if module.last() == Some(&"mod") || module == ["lib"] {
        module.pop();
    }
    let tokens = source::code(&source::rust(&file.text));
    let room = module.first().copied();
    match room {
        Some(room) if find(table, room).is_none() => {
            findings.push(file.finding(1, "storey", homeless(room)));
        }
        Some(_) => {}
        None => check_root(file, &tokens, table, findings),
    }
    check_owned(file, &tokens, room, findings);
    let Some(room) = room else { return };
    for (line, path) in imports(&tokens, module.clone()) {
        let advice = match path.first() {
            None | Some(&"*") => {
                Some("it names the whole crate: name the module that is needed".to_owned())
            }
            Some(to) if find(table, to).is_none() && *to != room => Some(homeless(to)),
            Some(to) => verdict(table, room, to),
        };
        findings.extend(advice.map(|advice| file.finding(line, "upward-import", advice)));
    }
}

/// lib.rs may name everybody, but opens no room that the table lacks.
fn check_root(file: &File, tokens: &[Token<'_>], table: &[Storey], findings: &mut Vec<Finding>) {
    for pair in tokens.windows(2) {
        let name = pair[1];
        let is_room = pair[0].is_word("mod") && name.kind == Kind::Word && name.text != "tests";
        if is_room && find(table, name.text).is_none() {
            findings.push(file.finding(name.line, "storey", homeless(name.text)));
        }
    }
}

fn check_owned(file: &File, tokens: &[Token<'_>], room: Option<&str>, findings: &mut Vec<Finding>) {
    for (at, token) in tokens.iter().enumerate() {
        if source::reads(tokens, at, &["extern", "crate", "self"]) {
            let advice = "a second name for the crate hides imports: write `crate`";
            findings.push(file.finding(token.line, "storey", advice));
        }
        if source::reads(tokens, at, &["#", "[", "path", "="]) {
            let advice = "let the file's place say which module it is: the layer check goes by it";
            findings.push(file.finding(token.line, "storey", advice));
        }
        for (owner, words) in OWNED {
            // The root decides which modules exist under loom, for example.
            let is_owner = room == Some(owner) || room.is_none() && *owner == "prim";
            if !is_owner && words.iter().any(|word| token.is_word(word)) {
                let advice = format!(
                    "only `{owner}` says {}: ask `{owner}` for what is needed",
                    token.text
                );
                findings.push(file.finding(token.line, "owned-word", advice));
            }
        }
    }
}

/// The line and the path from the crate's root of all that is named in `module`, tests and macros included.
fn imports<'a>(tokens: &[Token<'a>], module: Vec<&'a str>) -> Vec<(usize, Vec<&'a str>)> {
    let mut found = Vec::new();
    let mut here = module;
    // For each open brace, whether it opened an inline module.
    let mut braces = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let token = tokens[at];
        let mut next = at + 1;
        let mut written = Vec::new();
        if token.is_word("mod") && tokens.get(at + 2).is_some_and(|token| token.is_punct("{")) {
            here.push(tokens[at + 1].text);
            braces.push(true);
            next = at + 3;
        } else if token.is_punct("{") {
            braces.push(false);
        } else if token.is_punct("}") {
            if braces.pop() == Some(true) {
                here.pop();
            }
        } else if token.is_word("use") && !source::reads(tokens, at + 1, &["<"]) {
            next = tree(tokens, at + 1, Vec::new(), &mut written);
        } else if starts_path(tokens, at) {
            next = tree(tokens, at, Vec::new(), &mut written);
        }
        let paths = written
            .into_iter()
            .filter_map(|(line, path)| Some((line, resolve(&here, &path)?)));
        found.extend(paths);
        at = next;
    }
    found
}

/// Whether a path that may leave the module is written in the middle of code. `pub(in path)` only names ancestors.
fn starts_path(tokens: &[Token<'_>], at: usize) -> bool {
    let is_start = ["crate", "self", "super"]
        .iter()
        .any(|word| source::reads(tokens, at, &[word, "::"]));
    let continues = at > 0 && tokens[at - 1].is_punct("::");
    let is_visibility = at > 2 && source::reads(tokens, at - 3, &["pub", "(", "in"]);
    is_start && !continues && !is_visibility
}

/// Reads one tree of a `use`, or a path, into paths as written; returns the index after it.
fn tree<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    mut prefix: Vec<&'a str>,
    found: &mut Vec<(usize, Vec<&'a str>)>,
) -> usize {
    let mut line = tokens.get(at).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(at) {
        if token.is_punct("{") {
            let close = source::closing(tokens, at);
            at += 1;
            while at < close {
                let after = tree(tokens, at, prefix.clone(), found);
                // Past the comma, past `as name` word by word; never stuck on what is no tree.
                at = after.max(at + 1);
                while at < close && !tokens[at - 1].is_punct(",") {
                    at += 1;
                }
            }
            return close + 1;
        } else if token.kind == Kind::Word || token.is_punct("*") {
            prefix.push(token.text);
            line = token.line;
            at += 1;
            if !source::reads(tokens, at, &["::"]) {
                break;
            }
        } else if !token.is_punct("::") {
            // Generic arguments (`crate::id::<T>`): the path is over. At least one token is taken, so callers advance.
            break;
        }
        if source::reads(tokens, at, &["::"]) {
            at += 1;
        }
    }
    found.push((line, prefix));
    at
}

/// The path from the crate's root, or nothing for a path into another crate or into a child.
fn resolve<'a>(here: &[&'a str], written: &[&'a str]) -> Option<Vec<&'a str>> {
    let mut path = match written.first() {
        Some(&"crate") => Vec::new(),
        Some(&"self" | &"super") => here.to_vec(),
        _ => return None,
    };
    for &segment in written {
        match segment {
            "crate" | "self" => {}
            "super" => drop(path.pop()),
            _ => path.push(segment),
        }
    }
    Some(path)
}

/// In the bindings exceptions are made in one file, and no package module above them is imported.
fn check_bindings(file: &File, findings: &mut Vec<Finding>) {
    let tokens = source::code(&source::rust(&file.text));
    for (at, token) in tokens.iter().enumerate() {
        let is_macro = EXCEPTIONS
            .iter()
            .any(|name| source::reads(&tokens, at, &[name, "!", "("]));
        if is_macro && file.path != format!("{BINDINGS}src/errors.rs") {
            let advice = "make and import exceptions in errors.rs, the one place that knows them";
            findings.push(file.finding(token.line, "exceptions", advice));
        }
        let is_ours =
            token.text == PACKAGE || token.text.starts_with("forkful.") && token.text != COMPILED;
        let nearby = &tokens[at.saturating_sub(8)..at];
        if token.kind == Kind::Text && is_ours && nearby.iter().any(|token| token.is_word("import"))
        {
            let advice = format!(
                "`{}` is above the compiled module: let it hand down what is needed",
                token.text
            );
            findings.push(file.finding(token.line, "upward-import", advice));
        }
    }
}
