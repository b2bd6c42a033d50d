//! Source text cut into tokens, enough of Rust and Python for the checks to tell code from strings and comments.
//!
//! A tokenizer of our own, because the Python parsers on crates.io are either no longer kept (rustpython-parser) or
//! say that they are internal and unstable (ruff_python_parser), and because a parser for Rust throws the comments away.

#[cfg(test)]
mod tests;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name, keyword or number.
    Word,
    /// `::`, or any other single character of punctuation.
    Punct,
    /// A string or character literal, without its prefix and quotes.
    Text,
    /// A comment with its marks, `///` and `//!` included.
    Comment,
    /// The end of a logical line (Python only).
    Line,
}

/// A piece of source text, and the line on which it starts.
#[derive(Clone, Copy, Debug)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// How it is written.
    pub text: &'a str,
    /// Counted from one.
    pub line: usize,
}

impl Token<'_> {
    /// Whether it is this name or keyword.
    pub fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text == word
    }

    /// Whether it is this punctuation.
    pub fn is_punct(&self, punct: &str) -> bool {
        self.kind == Kind::Punct && self.text == punct
    }
}

/// The tokens without the comments.
pub fn code<'a>(tokens: &[Token<'a>]) -> Vec<Token<'a>> {
    tokens
        .iter()
        .copied()
        .filter(|token| token.kind != Kind::Comment)
        .collect()
}

/// Whether the tokens from `at` on are written like this, one word or punctuation after the other.
pub fn reads(tokens: &[Token<'_>], at: usize, written: &[&str]) -> bool {
    let found = tokens.iter().skip(at).map(|token| (token.kind, token.text));
    let matching = found
        .zip(written)
        .filter(|((kind, text), want)| matches!(kind, Kind::Word | Kind::Punct) && text == *want);
    matching.count() == written.len()
}

/// The index of the bracket that closes the one at `open`, or the last index.
pub fn closing(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.kind == Kind::Punct {
            match token.text {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return at;
            }
        }
    }
    tokens.len().saturating_sub(1)
}

/// Cuts Rust source.
pub fn rust(text: &str) -> Vec<Token<'_>> {
    let mut scanner = Scanner::new(text);
    while !scanner.rest().is_empty() {
        scanner.rust_token();
    }
    scanner.tokens
}

/// Cuts Python source; a bracket or a backslash continues a logical line.
pub fn python(text: &str) -> Vec<Token<'_>> {
    let mut scanner = Scanner::new(text);
    let mut depth = 0_usize;
    while !scanner.rest().is_empty() {
        scanner.python_token(&mut depth);
    }
    scanner.tokens
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    tokens: Vec<Token<'a>>,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
            tokens: Vec::new(),
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn byte(&self, ahead: usize) -> u8 {
        self.text
            .as_bytes()
            .get(self.at + ahead)
            .copied()
            .unwrap_or(0)
    }

    fn skip(&mut self, length: usize) {
        self.line += self.rest()[..length].matches('\n').count();
        self.at += length;
    }

    /// Makes a token of the next `length` bytes, less `front` and `back` at its ends.
    fn push(&mut self, kind: Kind, length: usize, front: usize, back: usize) {
        let text = &self.rest()[front..(length - back).max(front)];
        self.tokens.push(Token {
            kind,
            text,
            line: self.line,
        });
        self.skip(length);
    }

    fn push_line_comment(&mut self) {
        let length = self.rest().find('\n').unwrap_or(self.rest().len());
        self.push(Kind::Comment, length, 0, 0);
    }

    /// Makes a token of the literal whose content starts `front` bytes ahead and ends with `quote`.
    fn push_text(&mut self, front: usize, quote: &str, escapes: bool) {
        let bytes = self.rest().as_bytes();
        let mut end = front;
        while end < bytes.len() {
            if escapes && bytes[end] == b'\\' {
                end += 2;
            } else if bytes[end..].starts_with(quote.as_bytes()) {
                return self.push(Kind::Text, end + quote.len(), front, quote.len());
            } else {
                end += 1;
            }
        }
        self.push(Kind::Text, bytes.len(), front, 0);
    }

    fn word_length(&self) -> usize {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
        self.rest().bytes().take_while(|byte| is_word(byte)).count()
    }

    fn rust_token(&mut self) {
        match self.byte(0) {
            byte if byte.is_ascii_whitespace() => self.skip(1),
            b'/' if self.byte(1) == b'/' => self.push_line_comment(),
            b'/' if self.byte(1) == b'*' => self.push_block_comment(),
            b'"' => self.push_text(1, "\"", true),
            b'\'' => self.push_char_or_tick(0),
            b':' if self.byte(1) == b':' => self.push(Kind::Punct, 2, 0, 0),
            _ => self.push_rust_word(),
        }
    }

    fn push_block_comment(&mut self) {
        let bytes = self.rest().as_bytes();
        let (mut end, mut depth) = (0, 0_usize);
        while end < bytes.len() {
            match &bytes[end..] {
                [b'/', b'*', ..] => (end, depth) = (end + 2, depth + 1),
                [b'*', b'/', ..] => (end, depth) = (end + 2, depth - 1),
                _ => end += 1,
            }
            if depth == 0 {
                break;
            }
        }
        self.push(Kind::Comment, end, 0, 0);
    }

    /// A tick opens a character literal or a lifetime; `prefix` bytes (the b of b'x') stand before it.
    fn push_char_or_tick(&mut self, prefix: usize) {
        let inside = self.rest()[prefix + 1..]
            .chars()
            .next()
            .map_or(0, char::len_utf8);
        if self.byte(prefix + 1) == b'\\' || self.byte(prefix + 1 + inside) == b'\'' {
            self.push_text(prefix + 1, "'", true);
        } else {
            self.push(Kind::Punct, 1, 0, 0);
        }
    }

    fn push_rust_word(&mut self) {
        let length = self.word_length();
        let word = &self.rest()[..length];
        let hashes = self.rest()[length..]
            .bytes()
            .take_while(|byte| *byte == b'#')
            .count();
        let quoted = self.byte(length + hashes) == b'"';
        match word {
            "" => self.push(Kind::Punct, 1, 0, 0),
            "r" | "br" | "cr" if quoted => {
                let quote = format!("\"{}", "#".repeat(hashes));
                self.push_text(length + hashes + 1, &quote, false);
            }
            "b" | "c" if quoted && hashes == 0 => self.push_text(length + 1, "\"", true),
            "b" if self.byte(1) == b'\'' => self.push_char_or_tick(1),
            "r" if hashes == 1 => self.skip(2), // A raw name: what follows is an ordinary word.
            _ => self.push(Kind::Word, length, 0, 0),
        }
    }

    fn python_token(&mut self, depth: &mut usize) {
        match self.byte(0) {
            b'\n' if *depth == 0 => self.push(Kind::Line, 1, 0, 0),
            byte if byte.is_ascii_whitespace() => self.skip(1),
            b'\\' => self.skip(if self.byte(1) == b'\n' { 2 } else { 1 }),
            b'#' => self.push_line_comment(),
            b'"' | b'\'' => self.push_python_text(0),
            _ => {
                let length = self.word_length();
                let prefix = (1..=2).contains(&length)
                    && self.rest()[..length]
                        .bytes()
                        .all(|byte| b"rRbBuUfFtT".contains(&byte));
                if prefix && matches!(self.byte(length), b'"' | b'\'') {
                    return self.push_python_text(length);
                }
                match self.byte(0) {
                    b'(' | b'[' | b'{' => *depth += 1,
                    b')' | b']' | b'}' => *depth = depth.saturating_sub(1),
                    _ => {}
                }
                let kind = if length == 0 { Kind::Punct } else { Kind::Word };
                self.push(kind, length.max(1), 0, 0);
            }
        }
    }

    /// In Python a backslash keeps a quote from closing in raw literals too.
    fn push_python_text(&mut self, prefix: usize) {
        let rest = &self.rest()[prefix..];
        let quote = ["\"\"\"", "'''"]
            .into_iter()
            .find(|quote| rest.starts_with(quote))
            .unwrap_or(&rest[..1]);
        self.push_text(prefix + quote.len(), quote, true);
    }
}
