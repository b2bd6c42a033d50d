//! Comments that the code must carry: why unsafe code is sound, and which handshake an ordering belongs to.

use std::collections::BTreeMap;

use crate::source::{self, Kind, Token};
use crate::tree::{File, Finding};

/// Asks for a `SAFETY:` comment in the statement or item of each `unsafe`.
///
/// Clippy asks it of blocks and some impls; functions, traits, attributes and foreign blocks are as worth a reason.
pub fn check_safety(file: &File, tokens: &[Token<'_>], findings: &mut Vec<Finding>) {
    for (at, token) in tokens
        .iter()
        .enumerate()
        .filter(|(_, token)| token.is_word("unsafe"))
    {
        if is_type(tokens, at) {
            continue;
        }
        // The statement or item starts after the last of these; comments above it belong to it.
        let is_end = |token: &Token<'_>| ["{", "}", ";"].iter().any(|end| token.is_punct(end));
        let start = tokens[..at]
            .iter()
            .rposition(is_end)
            .map_or(0, |end| end + 1);
        let has_reason = tokens[start..at].iter().any(|token| {
            token.kind == Kind::Comment
                && (token.text.contains("SAFETY:") || token.text.contains("# Safety"))
        });
        if !has_reason {
            let advice = "say above it why it is sound: `// SAFETY: ...` (or `# Safety` in the docs of a function)";
            findings.push(file.finding(token.line, "safety", advice));
        }
    }
}

/// Whether it is the type of a function pointer: `unsafe fn(u8)`, `unsafe extern "C" fn(u8)`.
fn is_type(tokens: &[Token<'_>], at: usize) -> bool {
    let mut next = at + 1;
    if tokens
        .get(next)
        .is_some_and(|token| token.is_word("extern"))
    {
        next += 1;
        next += usize::from(
            tokens
                .get(next)
                .is_some_and(|token| token.kind == Kind::Text),
        );
    }
    source::reads(tokens, next, &["fn", "("])
}

/// A tag in a comment of its own or behind code, `SYNC(name): side`, after the comment's mark.
struct Tag<'a> {
    file: &'a File,
    line: usize,
    releases: bool,
    acquires: bool,
}

/// Pairs the tags of release and acquire sites by name, across all files.
pub fn check_pairs(files: &[File], findings: &mut Vec<Finding>) {
    let mut pairs: BTreeMap<String, Vec<Tag<'_>>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        for token in source::rust(&file.text) {
            let Some(rest) = tag(&token) else { continue };
            let parts = rest
                .split_once("):")
                .filter(|(name, _)| !name.trim().is_empty());
            let side = parts.and_then(|(_, after)| {
                after
                    .trim_start()
                    .split(|c: char| !c.is_alphabetic())
                    .next()
            });
            let (releases, acquires) = match side {
                Some("release") => (true, false),
                Some("acquire") => (false, true),
                Some("acqrel" | "seqcst") => (true, true),
                _ => {
                    let advice = "write `// SYNC(name): release`, or acquire, acqrel, seqcst";
                    findings.push(file.finding(token.line, "sync", advice));
                    continue;
                }
            };
            let name = parts
                .map(|(name, _)| name.trim().to_owned())
                .unwrap_or_default();
            pairs.entry(name).or_default().push(Tag {
                file,
                line: token.line,
                releases,
                acquires,
            });
        }
    }
    for (name, tags) in pairs {
        let missing = if !tags.iter().any(|tag| tag.releases) {
            "release"
        } else if !tags.iter().any(|tag| tag.acquires) {
            "acquire"
        } else if tags.len() == 1 {
            "other"
        } else {
            continue;
        };
        for tag in tags {
            let advice =
                format!("tag the {missing} side of this handshake with `// SYNC({name})` too");
            findings.push(tag.file.finding(tag.line, "sync", advice));
        }
    }
}

/// What follows the opening of a tag; documentation that talks of tags holds none.
fn tag<'a>(token: &Token<'a>) -> Option<&'a str> {
    let text = token
        .text
        .strip_prefix("//")
        .filter(|_| token.kind == Kind::Comment)?;
    text.trim_start().strip_prefix("SYNC(")
}
