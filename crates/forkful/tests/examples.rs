//! Every example runs, and prints what it is there to show.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Where the examples lie, built: `cargo test --test examples` alone does not build them, and an old one would prove nothing.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let this = std::env::current_exe().expect("a test has a path");
        // target/PROFILE/deps/examples-HASH
        let profile = this.ancestors().nth(2).expect("below target");
        let name = profile.file_name().expect("a profile").to_string_lossy();
        let done = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--examples", "--profile"])
            .arg(if name == "debug" { "dev" } else { &*name })
            .arg("--target-dir")
            .arg(profile.parent().expect("the target directory"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(
            done.is_ok_and(|status| status.success()),
            "the examples don't build"
        );
        profile.join("examples")
    })
}

/// What an example prints. It has a minute, and ends with code 0 and without a word on stderr.
fn output(name: &str, args: &[&str]) -> String {
    let mut child = Command::new(folder().join(name))
        .args(args)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the example is built");
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let readers = [
        thread::spawn(move || read(&mut out)),
        thread::spawn(move || read(&mut err)),
    ];
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if start.elapsed() > Duration::from_secs(60) => break None,
            None => sleep(Duration::from_millis(10)),
        }
    };
    if status.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let [out, err] = readers.map(|reader| reader.join().unwrap());
    let code = status.and_then(|status| status.code());
    assert_eq!(code, Some(0), "{name} {args:?}, printed {out}, and {err}");
    assert_eq!(err, "", "{name}");
    out
}

fn read(stream: &mut impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    text
}

/// The text with every number of seconds as `T`, and the lines of the first three in order, as they end at the same time.
fn timeless(text: &str, unordered: usize) -> Vec<String> {
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let is_time = |word: &str| {
                let word = word.trim_matches(['(', ')']);
                let number = word.trim_end_matches("ms").trim_end_matches('s');
                number != word && number.parse::<f64>().is_ok()
            };
            let words: Vec<&str> = words
                .into_iter()
                .map(|word| if is_time(word) { "T" } else { word })
                .collect();
            words.join(" ")
        })
        .collect();
    let first = unordered.min(lines.len());
    lines[..first].sort();
    lines
}

fn lines(text: &str) -> Vec<&str> {
    text.lines().collect()
}

const SUMS: [&str; 5] = [
    "1 + 2 = 3 T",
    "3 + 4 = 7 T",
    "5 + 6 = 11 T",
    "done!",
    "execution time: T",
];

#[test]
fn sleeping_sums_threads() {
    assert_eq!(timeless(&output("sleeping_sums_threads", &[]), 3), SUMS);
}

#[test]
fn sleeping_sums_processes() {
    assert_eq!(timeless(&output("sleeping_sums_processes", &[]), 3), SUMS);
}

#[test]
fn hash_files() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let text = output("hash_files", &[source.to_str().unwrap()]);
    let lines = lines(&text);
    assert_eq!(lines.len(), 6, "{text}");
    assert!(
        lines[0].ends_with(" MB") && !lines[0].starts_with("0 "),
        "{text}"
    );
    for (line, way) in lines[1..4]
        .iter()
        .zip(["one after the other", "threads", "processes"])
    {
        assert!(line.contains(way) && line.ends_with(" ms"), "{text}");
    }
    assert!(lines[4].starts_with("fastest: "), "{text}");
    assert_eq!(lines[5], "all ways found the same sums");
}

#[test]
fn crash_survived() {
    let text = output("crash_survived", &[]);
    let lines = lines(&text);
    assert_eq!(lines.len(), 6, "{text}");
    assert!(
        lines[0].starts_with("crash: signal Some(6), task "),
        "{text}"
    );
    assert!(lines[1].contains("was ended by signal 6"), "{text}");
    assert_eq!(
        lines[2..],
        [
            "the other 20 tasks: the sum of their squares is 2470",
            "deadline: ended after 200ms",
            "retry: the second attempt came through",
            "and the pool works: 9 * 9 = 81",
        ]
    );
}

#[test]
fn await_tokio() {
    assert_eq!(
        lines(&output("await_tokio", &[])),
        [
            "joined: this file has lines: true; primes below 20000: 2262",
            "selected: the timer",
            "too late: kill() says true",
            "killed: signal Some(9)",
            "done!",
        ]
    );
}

#[test]
fn sync_queue() {
    assert_eq!(
        lines(&output("sync_queue", &[])),
        [
            "both wait for the start: true",
            "the sum of 1 to 1000 is 500500",
        ]
    );
}

/// So that a new one is not forgotten here.
#[test]
fn no_example_is_left_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let names: BTreeSet<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    let tested = include_str!("examples.rs");
    for name in names {
        assert!(
            tested.contains(&format!("output(\"{name}\"")),
            "{name} has no test"
        );
    }
}
