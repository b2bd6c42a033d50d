//! What the tokenizer must tell apart.

use super::{Kind, Token, closing, python, reads, rust};

fn shown<'a>(tokens: &[Token<'a>], kind: Kind) -> Vec<&'a str> {
    tokens
        .iter()
        .filter(|token| token.kind == kind)
        .map(|token| token.text)
        .collect()
}

#[test]
fn rust_strings_and_comments_are_not_words() {
    let tokens = rust(
        "let a = \"use b\\\"c\"; // d\n/* e /* f */ g */ h r#\"i \" j\"# br\"k\" c\"l\" b\"m\"",
    );
    assert_eq!(shown(&tokens, Kind::Word), ["let", "a", "h"]);
    assert_eq!(
        shown(&tokens, Kind::Text),
        ["use b\\\"c", "i \" j", "k", "l", "m"]
    );
    assert_eq!(shown(&tokens, Kind::Comment), ["// d", "/* e /* f */ g */"]);
}

#[test]
fn rust_characters_are_not_lifetimes() {
    let tokens =
        rust(r#"fn f<'a>(x: &'a str) { '{'; '\''; '\u{7d}'; 'é'; b'"'; b'\''; 'l: loop {} }"#);
    assert_eq!(
        shown(&tokens, Kind::Text),
        ["{", "\\'", "\\u{7d}", "é", "\"", "\\'"]
    );
    assert_eq!(
        shown(&tokens, Kind::Word),
        ["fn", "f", "a", "x", "a", "str", "l", "loop"]
    );
}

#[test]
fn rust_raw_names_are_words() {
    assert_eq!(
        shown(&rust("r#type + r + brr"), Kind::Word),
        ["type", "r", "brr"]
    );
}

#[test]
fn lines_are_counted_through_everything() {
    let tokens = rust("/* a\n b */ c \"d\n\n\" e\n// f\ng");
    let lines: Vec<_> = tokens.iter().map(|token| token.line).collect();
    assert_eq!(lines, [1, 2, 2, 4, 5, 6]);
    let tokens = python("a = '''x\ny'''\nb");
    assert_eq!(tokens.last().unwrap().line, 3);
}

#[test]
fn python_strings_of_every_prefix() {
    let tokens = python("a = r'\\' b' + f\"c\" + Rb'''d\n'e''' + \"\"\"\"f\"\"\" + rrr # 'g'\nh");
    assert_eq!(shown(&tokens, Kind::Text), ["\\' b", "c", "d\n'e", "\"f"]);
    assert_eq!(shown(&tokens, Kind::Word), ["a", "rrr", "h"]);
    assert_eq!(shown(&tokens, Kind::Comment), ["# 'g'"]);
}

#[test]
fn python_logical_lines_continue() {
    let tokens = python("a(b,\n # c)\n d)\ne \\\n f\ng");
    assert_eq!(shown(&tokens, Kind::Line).len(), 2);
}

#[test]
fn unfinished_literals_end_with_the_file() {
    assert_eq!(shown(&rust("\"a\\"), Kind::Text), ["a\\"]);
    assert_eq!(shown(&rust("'"), Kind::Punct), ["'"]);
    assert_eq!(shown(&rust("/* a"), Kind::Comment), ["/* a"]);
    assert_eq!(shown(&python("'''a"), Kind::Text), ["a"]);
}

#[test]
fn brackets_and_patterns() {
    let tokens = rust("a (b [c] {d}) e");
    assert_eq!(closing(&tokens, 1), 9);
    assert!(reads(&tokens, 0, &["a", "(", "b"]));
    assert!(!reads(&tokens, 10, &["e", "f"]));
    assert!(!reads(&rust("\"a\""), 0, &["a"]));
}
