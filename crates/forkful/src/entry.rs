//! Where this program is entered when it is run once more: by its own `main`, or by a test.
//!
//! Knows: nothing of the rest. Does not know: processes.

use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this process may be run once more as it was: with the arguments that it has.
static ENTERED: AtomicBool = AtomicBool::new(false);

/// The name of the test that [`test_support!`](crate::test_support) declares.
const TEST_NAME: &str = "forkful_test_support";

/// What `test_support!` leaves: the module that it stands in.
#[doc(hidden)]
#[derive(Debug)]
pub struct TestEntry(pub &'static str);

inventory::collect!(TestEntry);

/// Where a program is entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entrance {
    /// Where the arguments that this process has lead to.
    Same,
    /// Its test harness runs the test of this name.
    Test(String),
}

impl Entrance {
    /// What the program is called with.
    pub(crate) fn arguments(&self) -> Vec<OsString> {
        let Entrance::Test(name) = self else {
            return std::env::args_os().collect();
        };
        let program = std::env::args_os().next().unwrap_or_default();
        // What a task prints is the program's, and no test's that has failed.
        let rest = ["--exact", name, "--nocapture", "--test-threads=1"];
        [program]
            .into_iter()
            .chain(rest.map(OsString::from))
            .collect()
    }
}

/// `main` has called `init`, or this process was run to be entered.
pub(crate) fn entered() {
    ENTERED.store(true, Ordering::Relaxed);
}

/// Where this program is entered, if it is anywhere.
pub(crate) fn entrance() -> Option<Entrance> {
    if ENTERED.load(Ordering::Relaxed) {
        return Some(Entrance::Same);
    }
    let entry = inventory::iter::<TestEntry>.into_iter().next()?;
    Some(Entrance::Test(test_in(entry.0)))
}

/// The harness's name of the test in this module.
fn test_in(module: &str) -> String {
    match module.split_once("::") {
        Some((_, inside)) => format!("{inside}::{TEST_NAME}"),
        None => TEST_NAME.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_called_as_the_harness_calls_it() {
        assert_eq!(test_in("program"), "forkful_test_support");
        assert_eq!(
            test_in("program::inner::tests"),
            "inner::tests::forkful_test_support"
        );
    }
}
