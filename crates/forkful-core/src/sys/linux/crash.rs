//! Points at which a test may have this process killed, or stopped, as if the machine had chosen that very instruction.
//!
//! Compiled in always: what is shipped is what was killed in the tests. Not armed, a point costs one relaxed load.

use rustix::process::{Signal, getpid, kill_process};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// Whether any point is armed. No atomic of `prim`: a model has nothing to kill.
static ARMED: AtomicBool = AtomicBool::new(false);

/// A point, and what happens there.
struct Point {
    name: String,
    /// How many more times it is passed unharmed.
    left: u32,
    signal: Signal,
}

static POINT: Mutex<Option<Point>> = Mutex::new(None);

/// Arms one point: "name" kills at its first passage, "name:3" at the third, "stop@name" stops there. Nothing in it disarms.
pub fn arm_crash(spec: &str) {
    let (spec, signal) = match spec.strip_prefix("stop@") {
        Some(rest) => (rest, Signal::STOP),
        None => (spec, Signal::KILL),
    };
    let (name, count) = match spec.rsplit_once(':') {
        Some((name, count)) => (name, count.parse().unwrap_or(1)),
        None => (spec, 1),
    };
    let mut point = POINT.lock().unwrap_or_else(PoisonError::into_inner);
    *point = (!name.is_empty()).then(|| Point {
        name: name.to_owned(),
        left: u32::max(count, 1) - 1,
        signal,
    });
    ARMED.store(point.is_some(), Ordering::Relaxed);
}

/// Kills or stops this process if it is armed here.
#[inline]
pub fn crash_point(name: &'static str) {
    if ARMED.load(Ordering::Relaxed) {
        pass(name);
    }
}

#[cold]
fn pass(name: &str) {
    let mut armed = POINT.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(point) = armed.as_mut().filter(|point| point.name == name) else {
        return;
    };
    if point.left > 0 {
        point.left -= 1;
        return;
    }
    let signal = point.signal;
    if signal == Signal::STOP {
        // Who goes on is not stopped again.
        *armed = None;
    }
    let _ = kill_process(getpid(), signal);
}
