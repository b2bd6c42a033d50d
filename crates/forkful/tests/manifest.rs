//! What the manifest and the README at the root promise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The oldest Rust that is promised.
fn promised() -> (u32, u32) {
    let manifest = read("Cargo.toml");
    let line = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \""));
    version(line.expect("a rust-version").trim_end_matches('"'))
}

fn version(text: &str) -> (u32, u32) {
    let mut numbers = text
        .split(['.', '-', ' '])
        .map(|number| number.parse().expect("a number"));
    (
        numbers.next().expect("a major"),
        numbers.next().expect("a minor"),
    )
}

/// Whatever this machine has is the promised Rust or a newer one; that nothing newer than the promised one is used, clippy's
/// incompatible_msrv says.
#[test]
fn this_compiler_is_new_enough() {
    let rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .arg("--version")
        .output()
        .expect("rustc runs");
    let text = String::from_utf8(rustc.stdout).unwrap();
    let mut words = text.split(' ');
    assert_eq!(words.next(), Some("rustc"));
    assert!(version(words.next().unwrap()) >= promised(), "{text}");
}

#[test]
fn the_readme_names_the_promised_rust() {
    let (major, minor) = promised();
    let said = format!("Rust {major}.{minor} or newer");
    assert!(read("crates/forkful/README.md").contains(&said));
}

#[test]
fn each_published_crate_denies_what_the_house_denies() {
    for name in ["forkful", "forkful-core", "forkful-macros"] {
        let manifest = read(&format!("crates/{name}/Cargo.toml"));
        for line in [
            "rust-version.workspace = true",
            "license.workspace = true",
            "repository.workspace = true",
        ] {
            assert!(manifest.contains(line), "{name} lacks {line}");
        }
        assert!(!manifest.contains("publish = false"), "{name}");
        for file in ["README.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            read(&format!("crates/{name}/{file}"));
        }
    }
    let lints = read("crates/forkful/Cargo.toml");
    for lint in [
        "missing_docs = \"deny\"",
        "unsafe_code = \"deny\"",
        "incompatible_msrv = \"deny\"",
    ] {
        assert!(lints.contains(lint), "crates/forkful lacks {lint}");
    }
}

/// The Rust program on the first page is an example, which another test runs.
#[test]
fn the_programs_of_the_first_page_are_examples() {
    let page = read("README.md");
    let programs: Vec<&str> = page
        .split("```rust\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert!(!programs.is_empty());
    let folder = root().join("crates/forkful/examples");
    let examples: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    for program in programs {
        assert!(
            examples.iter().any(|example| example.contains(program)),
            "{program}"
        );
    }
}
