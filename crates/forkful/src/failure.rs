//! What a worker says of a task that has no value, and how it learns what a panic said.
//!
//! Knows: errors. Does not know: tasks, the engine.

use crate::error::{Panicked, TaskError, message_of};
use serde::{Deserialize, Serialize};
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};

/// What a worker says of a task that has no value.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Failure {
    /// The function panicked.
    Panicked {
        /// What it said.
        message: String,
        /// Where.
        location: Option<String>,
        /// The stack, where the environment asks for one.
        backtrace: Option<String>,
    },
    /// Arguments or result can't be read or written there.
    NotSent(String),
}

impl From<Failure> for TaskError {
    fn from(failure: Failure) -> TaskError {
        match failure {
            Failure::Panicked {
                message,
                location,
                backtrace,
            } => TaskError::Panicked(Panicked::elsewhere(message, location, backtrace)),
            Failure::NotSent(text) => TaskError::NotSent(text),
        }
    }
}

thread_local! {
    /// Whether this thread runs a task, whose panics are its outcome.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic of a task was, and its stack.
    static NOTED: RefCell<Option<(String, Option<String>)>> = const { RefCell::new(None) };
}

/// What is called at a panic.
pub(crate) type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// A panic of a task is not printed, but noted: it is told where somebody asks for the result.
pub(crate) fn note_panics(before: Hook) -> Hook {
    Box::new(move |info| {
        if !IN_TASK.get() {
            return before(info);
        }
        if is_fatal(info) {
            // Nobody will be told of it, nor of the panic that it was on the way from.
            if let Some((location, _)) = NOTED.take() {
                eprintln!("forkful: a task had panicked at {location}, and ends its process now");
            }
            return before(info);
        }
        let location = info.location().map(ToString::to_string);
        let backtrace = Backtrace::capture();
        let stack =
            matches!(backtrace.status(), BacktraceStatus::Captured).then(|| backtrace.to_string());
        NOTED.set(location.map(|location| (location, stack)));
    })
}

/// Whether the process is about to abort, as this panic can't unwind. The standard library has no stable way to ask, but its words.
fn is_fatal(info: &PanicHookInfo<'_>) -> bool {
    cfg!(panic = "abort") || message_of(info.payload()).starts_with("panic in a ")
}

/// Calls a user's function; a panic becomes what is told of it.
pub(crate) fn guarded<R>(call: impl FnOnce() -> R) -> Result<R, Failure> {
    let outer = IN_TASK.replace(true);
    // What an earlier one has caught itself.
    NOTED.set(None);
    let called = catch_unwind(AssertUnwindSafe(call));
    IN_TASK.set(outer);
    called.map_err(|payload| {
        let message = message_of(&*payload);
        // Its drop may panic, and nobody is to hear of that.
        std::mem::forget(payload);
        let (location, backtrace) = NOTED.take().unzip();
        Failure::Panicked {
            message,
            location,
            backtrace: backtrace.flatten(),
        }
    })
}
