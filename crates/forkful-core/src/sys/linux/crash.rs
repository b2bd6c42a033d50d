//! Points at which a test may have this process killed, as if the machine had chosen that very instruction.
//!
//! Compiled in always: what is shipped is what was killed in the tests. Not armed, a point costs one relaxed load.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Whether any point is armed. No atomic of `prim`: a model has nothing to kill.
static ARMED: AtomicBool = AtomicBool::new(false);

/// The armed point, and how many more times it is passed unharmed.
static POINT: Mutex<Option<(String, u32)>> = Mutex::new(None);

/// Arms one point: "name" kills at its first passage, "name:3" at the third. Nothing in it disarms.
pub fn arm_crash(spec: &str) {
    let (name, count) = match spec.rsplit_once(':') {
        Some((name, count)) => (name, count.parse().unwrap_or(1)),
        None => (spec, 1),
    };
    let mut point = POINT.lock().unwrap_or_else(PoisonError::into_inner);
    *point = (!name.is_empty()).then(|| (name.to_owned(), u32::max(count, 1) - 1));
    ARMED.store(point.is_some(), Ordering::Relaxed);
}

/// Kills this process if it is armed here.
#[inline]
pub fn crash_point(name: &'static str) {
    if ARMED.load(Ordering::Relaxed) {
        pass(name);
    }
}

#[cold]
fn pass(name: &str) {
    let mut point = POINT.lock().unwrap_or_else(PoisonError::into_inner);
    match &mut *point {
        Some((armed, left)) if armed == name => {
            if *left == 0 {
                let _ = rustix::process::kill_process(
                    rustix::process::getpid(),
                    rustix::process::Signal::KILL,
                );
            }
            *left = left.saturating_sub(1);
        }
        _ => {}
    }
}
