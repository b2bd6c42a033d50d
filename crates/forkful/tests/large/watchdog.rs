//! Ends the program when a test hangs.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

/// More than any of these takes on a machine that others use.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a test, and ends everything if it takes too long.
pub fn watched(name: &'static str, test: fn()) {
    let (alive, watch) = channel::<()>();
    let dog = std::thread::spawn(move || {
        if watch.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            eprintln!("{name} hangs");
            std::process::abort();
        }
    });
    test();
    drop(alive);
    dog.join().unwrap();
}
