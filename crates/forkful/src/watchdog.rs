//! A thread that ends the program when a test hangs, for cargo has no limit of its own.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

/// As long as it lives, the test may run; after 60 s it may not.
pub(crate) struct Watchdog {
    _leash: Sender<()>,
}

impl Watchdog {
    /// Watches the calling test.
    pub(crate) fn here() -> Watchdog {
        let (leash, end) = channel();
        let test = thread::current().name().unwrap_or("a test").to_owned();
        thread::spawn(move || {
            if end.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
                eprintln!("{test} hangs");
                std::process::abort();
            }
        });
        Watchdog { _leash: leash }
    }
}
