//! A thread that ends the program when a test hangs, for the harness has no limit of its own.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// As long as it lives, the test may run; after a minute it may not.
pub struct Watchdog {
    _leash: Sender<()>,
}

impl Watchdog {
    /// Watches the test of this name.
    pub fn over(test: String) -> Watchdog {
        let (leash, end) = channel();
        thread::spawn(move || {
            if end.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test} hangs");
                std::process::abort();
            }
        });
        Watchdog { _leash: leash }
    }
}
