//! Who may import whom in the Python package, wherever the import is written.

#[cfg(test)]
mod tests;

use super::{INSIDE, PYTHON, find, homeless, verdict};
use crate::source::{self, Kind, Token};
use crate::tree::{File, Finding};

const ROOT: &str = "python/forkful/";
const PACKAGE: &str = "forkful";
const INIT: &str = "__init__";

/// Something of the package that is named by an import.
#[derive(Debug, PartialEq, Eq)]
struct Import<'a> {
    line: usize,
    /// The module below `forkful`, for example `["futures", "thread"]`.
    module: Vec<&'a str>,
    /// What is taken from it, which may be a module too.
    name: Option<&'a str>,
}

/// Checks a file of the package; other files pass.
pub fn check(file: &File, findings: &mut Vec<Finding>) {
    let Some(inner) = file.path.strip_prefix(ROOT).filter(|_| file.is_python()) else {
        return;
    };
    let module: Vec<&str> = inner
        .trim_end_matches(file.extension())
        .trim_end_matches('.')
        .split('/')
        .collect();
    let room = module[0];
    if find(PYTHON, room).is_none() {
        findings.push(file.finding(1, "storey", homeless(room)));
    }
    let inside = inside(room);
    let own = module.get(1).copied().unwrap_or(INIT);
    if inside.is_some_and(|table| find(table, own).is_none()) {
        findings.push(file.finding(1, "storey", homeless(own)));
    }
    let tokens = source::code(&source::python(&file.text));
    for import in imports(&tokens, &module[..module.len() - 1]) {
        let reached = target(PYTHON, &import.module, import.name);
        let advice = if let (true, Some(table)) = (reached == room, inside) {
            // `from . import thread` in a package takes a module of it; `from .. import futures` the package itself.
            let below = import.module.get(1..).unwrap_or_default();
            let name = import.name.filter(|_| !import.module.is_empty());
            judge(table, own, target(table, below, name))
        } else {
            judge(PYTHON, room, reached)
        };
        findings.extend(advice.map(|advice| file.finding(import.line, "upward-import", advice)));
    }
}

fn judge(table: &[super::Storey], from: &str, to: &str) -> Option<String> {
    if from != to && find(table, to).is_none() {
        Some(homeless(to))
    } else {
        verdict(table, from, to)
    }
}

fn inside(room: &str) -> Option<&'static [super::Storey]> {
    INSIDE
        .iter()
        .find(|(package, _)| *package == room)
        .map(|(_, table)| *table)
}

/// The room that an import reaches: a module that is named, or else the package's own `__init__`.
fn target<'a>(table: &[super::Storey], module: &[&'a str], name: Option<&'a str>) -> &'a str {
    match (module.first(), name) {
        (Some(first), _) => first,
        (None, Some(name)) if find(table, name).is_some() => name,
        _ => INIT,
    }
}

/// Every import of the package's own modules. `package` is the package of the file, below `forkful`.
fn imports<'a>(tokens: &[Token<'a>], package: &[&'a str]) -> Vec<Import<'a>> {
    let mut found = Vec::new();
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text {
            "(" | "[" | "{" if token.kind == Kind::Punct => depth += 1,
            ")" | "]" | "}" if token.kind == Kind::Punct => depth = depth.saturating_sub(1),
            _ => {}
        }
        let starts = match at.checked_sub(1).map(|before| tokens[before]) {
            None => true,
            Some(before) if before.kind == Kind::Line => true,
            Some(before) => depth == 0 && (before.is_punct(":") || before.is_punct(";")),
        };
        if starts && token.is_word("import") {
            import_statement(tokens, at + 1, &mut found);
        } else if starts && token.is_word("from") {
            from_statement(tokens, at + 1, package, &mut found);
        } else if token.is_word("import_module") || token.is_word("__import__") {
            let argument = tokens
                .get(at + 2)
                .filter(|_| source::reads(tokens, at + 1, &["("]));
            if let Some(argument) = argument.filter(|argument| argument.kind == Kind::Text) {
                let name = argument.text.trim_start_matches('.');
                // What an f-string fills in is not known here: then it is an import of what stands before it.
                let words = name
                    .split('.')
                    .filter(|word| !word.is_empty() && !word.contains('{'))
                    .collect();
                let level = argument.text.len() - name.len();
                found.extend(absolute(level, words, package).map(|module| Import {
                    line: argument.line,
                    module,
                    name: None,
                }));
            }
        }
    }
    found
}

/// The module below `forkful`, or nothing for a module of somebody else.
fn absolute<'a>(
    level: usize,
    mut words: Vec<&'a str>,
    package: &[&'a str],
) -> Option<Vec<&'a str>> {
    if level == 0 {
        return (words.first() == Some(&PACKAGE)).then(|| words.split_off(1));
    }
    let kept = (package.len() + 1).checked_sub(level)?;
    Some(package[..kept].iter().copied().chain(words).collect())
}

/// Reads `a.b.c`; returns its words and the index after them.
fn dotted<'a>(tokens: &[Token<'a>], mut at: usize) -> (Vec<&'a str>, usize) {
    let mut words = Vec::new();
    while let Some(token) = tokens.get(at).filter(|token| token.kind == Kind::Word) {
        words.push(token.text);
        at += 1;
        if !source::reads(tokens, at, &["."]) {
            break;
        }
        at += 1;
    }
    (words, at)
}

/// `import a.b as c, d`.
fn import_statement<'a>(tokens: &[Token<'a>], mut at: usize, found: &mut Vec<Import<'a>>) {
    loop {
        let line = tokens.get(at).map_or(0, |token| token.line);
        let (words, after) = dotted(tokens, at);
        found.extend(absolute(0, words, &[]).map(|module| Import {
            line,
            module,
            name: None,
        }));
        at = if source::reads(tokens, after, &["as"]) {
            after + 2
        } else {
            after
        };
        if !source::reads(tokens, at, &[","]) {
            return;
        }
        at += 1;
    }
}

/// `from ..a.b import (c as d, e)`.
fn from_statement<'a>(
    tokens: &[Token<'a>],
    start: usize,
    package: &[&'a str],
    found: &mut Vec<Import<'a>>,
) {
    let level = tokens[start..]
        .iter()
        .take_while(|token| token.is_punct("."))
        .count();
    // `from . import x`: the word after the dots is the keyword, not a module.
    let is_bare = source::reads(tokens, start + level, &["import"]);
    let (words, mut at) = if is_bare {
        (Vec::new(), start + level)
    } else {
        dotted(tokens, start + level)
    };
    let Some(module) = absolute(level, words, package) else {
        return;
    };
    at += 1;
    if source::reads(tokens, at, &["("]) {
        at += 1;
    }
    while let Some(token) = tokens.get(at) {
        let is_name = token.kind == Kind::Word || token.is_punct("*");
        if !is_name {
            return;
        }
        found.push(Import {
            line: token.line,
            module: module.clone(),
            name: Some(token.text),
        });
        at = if source::reads(tokens, at + 1, &["as"]) {
            at + 3
        } else {
            at + 1
        };
        if !source::reads(tokens, at, &[","]) {
            return;
        }
        at += 1;
    }
}
