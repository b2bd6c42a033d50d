//! What the tasks do, the same in threads and in processes: they meet through files, which both can see.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::Duration;

/// What a panic says that a test asked for.
pub const ON_PURPOSE: &str = "on purpose";

#[forkful::task]
pub fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[forkful::task]
pub fn square(number: u64) -> u64 {
    number * number
}

#[forkful::task]
pub fn fail(text: String) -> i64 {
    panic!("{text} {ON_PURPOSE}")
}

/// Panics for one number.
#[forkful::task]
pub fn fail_at(place: u64, number: u64) -> u64 {
    assert_ne!(place, number, "{ON_PURPOSE}");
    number
}

/// Says that it has begun, waits until it may pass, and returns the value.
#[forkful::task]
pub fn pass(place: PathBuf, value: i64) -> i64 {
    note(place.clone(), format!("began {value}"));
    while !place.join("open").exists() {
        sleep(Duration::from_millis(1));
        if !place.exists() {
            // The test is over, and the file may have come and gone between two looks.
            return value;
        }
    }
    note(place, format!("passed {value}"));
    value
}

/// The same, and panics in the end.
#[forkful::task]
pub fn pass_and_fail(place: PathBuf) -> i64 {
    pass(place, -1);
    fail("after the gate".to_owned())
}

/// Writes a line, in one piece.
#[forkful::task]
pub fn note(place: PathBuf, line: String) {
    // A place that is gone belonged to a test that is over.
    if let Ok(mut log) = OpenOptions::new().append(true).open(place.join("log")) {
        log.write_all(format!("{line}\n").as_bytes())
            .expect("room for a line");
    }
}

#[forkful::task]
pub fn thread_and_process() -> (String, u32) {
    (
        format!("{:?}", std::thread::current().id()),
        std::process::id(),
    )
}

/// A folder where tasks meet; it goes with the test.
pub struct Place {
    path: PathBuf,
}

impl Place {
    pub fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("forkful-contract-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).expect("a folder of its own");
        File::create(path.join("log")).expect("a log");
        Place { path }
    }

    pub fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Lets all pass.
    pub fn open(&self) {
        File::create(self.path.join("open")).expect("the place is there");
    }

    /// All that was written there.
    pub fn lines(&self) -> Vec<String> {
        lines(&self.path)
    }

    /// Waits until somebody has written this.
    pub fn wait_for(&self, line: &str) {
        while !self.lines().iter().any(|written| written == line) {
            sleep(Duration::from_millis(1));
        }
    }
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path.join("log")).expect("the log is there");
    text.lines().map(str::to_owned).collect()
}

impl Drop for Place {
    fn drop(&mut self) {
        // Whoever still waits there after a failed test gives up.
        self.open();
        let _ = fs::remove_dir_all(&self.path);
    }
}
