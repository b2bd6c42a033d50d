//! The files of the checkout, and what is found in them.

use std::fmt;
use std::path::PathBuf;
use std::process::Command;

/// One text file, named from the root of the checkout with `/` between its parts.
#[derive(Debug)]
pub struct File {
    /// For example `crates/forkful-core/src/lib.rs`.
    pub path: String,
    /// The whole content.
    pub text: String,
}

impl File {
    /// A file for the checks; `path` is relative to the checkout.
    pub fn new(path: &str, text: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            text: text.into(),
        }
    }

    /// The part after the last dot of the name, or "".
    pub fn extension(&self) -> &str {
        self.name()
            .rsplit_once('.')
            .map_or("", |(_, extension)| extension)
    }

    /// The last part of the path.
    pub fn name(&self) -> &str {
        self.path
            .rsplit_once('/')
            .map_or(&self.path, |(_, name)| name)
    }

    /// Whether it is written in Rust.
    pub fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    /// Whether it is written in Python, type stubs included.
    pub fn is_python(&self) -> bool {
        matches!(self.extension(), "py" | "pyi")
    }

    /// A finding in this file.
    pub fn finding(&self, line: usize, rule: &'static str, advice: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            rule,
            advice: advice.into(),
        }
    }
}

/// One broken rule, and what to do about it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file, from the root of the checkout.
    pub path: String,
    /// Counted from one.
    pub line: usize,
    /// The rule's short name.
    pub rule: &'static str,
    /// What to do.
    pub advice: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}: {}: {}",
            self.path, self.line, self.rule, self.advice
        )
    }
}

/// Reads every text file that git tracks or would track: a new file obeys before it is added.
pub fn read() -> Result<Vec<File>, String> {
    // At run time: a shared target directory may hold a binary that was built from another checkout.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").ok_or("start it as `cargo xtask`")?;
    let root = PathBuf::from(here).join("..");
    let listing = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(&root)
        .output()
        .map_err(|error| format!("cannot run git, which lists the files to check: {error}"))?;
    if !listing.status.success() {
        return Err(format!(
            "git ls-files failed: {}",
            String::from_utf8_lossy(&listing.stderr).trim()
        ));
    }
    let mut files = Vec::new();
    for path in String::from_utf8_lossy(&listing.stdout).split_terminator('\0') {
        let Ok(bytes) = std::fs::read(root.join(path)) else {
            continue; // Deleted but still in the index, or a link to a directory.
        };
        // What is not text (an image) has no lines to check.
        if let Ok(text) = String::from_utf8(bytes) {
            files.push(File::new(path, text));
        }
    }
    Ok(files)
}
