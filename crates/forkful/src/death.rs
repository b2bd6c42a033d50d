//! How a task of another process ended that has no outcome, as an error with all that is known.
//!
//! Knows: errors, the engine's facts. Does not know: futures.

use crate::error::{TaskError, WorkerDied};
use forkful_core::procs::record::{Breakage, Death};
use forkful_core::procs::{Doom, End, Exit, Limits};
use std::time::Duration;

/// The error of this end, which is no outcome.
pub(crate) fn error_of(end: End, attempts: u32, task: &str, limits: Option<&Limits>) -> TaskError {
    match end {
        End::Died(death) => of_death(&death, attempts, task, limits),
        End::Broken(breakage) => TaskError::Broken(in_words(&breakage)),
        End::TooLong { bytes, limit } => TaskError::NotSent(format!(
            "the arguments of {task} take {bytes} bytes, and this executor can hand over {limit} at most: raise RLIMIT_FSIZE, \
             RLIMIT_AS or the limit of the memory control group, whichever is low, or write the data to a file and send its name"
        )),
        End::NoRoom { bytes, room } => TaskError::NotSent(format!(
            "the arguments of {task} take {bytes} bytes, and the memory control group of this process has {room} left: raise its \
             limit, or write the data to a file and send its name"
        )),
        End::NoMemory { bytes } => TaskError::NotSent(format!(
            "this process had no memory for the {bytes} bytes of the result of {task}"
        )),
        End::Outcome { .. } => TaskError::NotSent(format!("the result of {task} can't be told")),
    }
}

/// Why an executor is broken.
pub(crate) fn in_words(breakage: &Breakage) -> String {
    let mut text = breakage.text.clone();
    if let Some(cause) = &breakage.cause {
        text = format!("{text}: {}", String::from_utf8_lossy(cause));
    }
    if let Some(death) = &breakage.death {
        text = format!(
            "{text}: the worker process {} {}",
            death.pid,
            exit_in_words(death.exit)
        );
    }
    text
}

fn exit_in_words(exit: Exit) -> String {
    match exit {
        Exit::Signal(signal) => format!("was ended by signal {signal}"),
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Unknown => "ended in an unknown way".to_owned(),
    }
}

fn of_death(death: &Death, attempts: u32, task: &str, limits: Option<&Limits>) -> TaskError {
    let (signal, exit_code) = match death.exit {
        Exit::Signal(signal) => (Some(signal), None),
        Exit::Code(code) => (None, Some(code)),
        Exit::Unknown => (None, None),
    };
    let told = Box::new(WorkerDied {
        pid: death.pid,
        signal,
        exit_code,
        task: task.to_owned(),
        ran: death.ran,
        peak_memory: death.peak,
        out_of_memory: death.out_of_memory,
        attempts,
        detail: detail(death),
    });
    match death.doom {
        Some(Doom::TimedOut) => TaskError::DeadlineExceeded {
            limit: limits
                .and_then(|limits| limits.timeout)
                .unwrap_or(Duration::ZERO),
            death: told,
        },
        Some(Doom::Killed) => TaskError::Killed(told),
        Some(Doom::Memory(bytes)) => TaskError::MemoryLimit { bytes, death: told },
        _ => TaskError::WorkerDied(told),
    }
}

/// What else is to be said.
fn detail(death: &Death) -> String {
    let mut parts = Vec::new();
    match death.doom {
        Some(Doom::Garbage) if death.known => parts.push(
            "what it shares with its executor held garbage: this task, or another one that ran at the same time, wrote over it".to_owned(),
        ),
        Some(Doom::Garbage) => parts.push(
            "the memory that the executor shares with its workers held garbage, and whether one of them had begun this task can't be known"
                .to_owned(),
        ),
        Some(Doom::End) => parts.push("the executor was ended by force".to_owned()),
        Some(Doom::Start) => parts.push("its start hung".to_owned()),
        _ => {}
    }
    if death.bereft {
        parts.push("the process that had made it was gone before".to_owned());
    }
    let by_kill = death.exit == Exit::Signal(9) && death.doom.is_none();
    if by_kill && !death.bereft && !death.out_of_memory {
        parts.push("somebody killed it, perhaps the kernel for lack of memory".to_owned());
    }
    if let Some(stack) = &death.stack {
        parts.push(format!("its stack: {}", stack.trim()));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(doom: Option<Doom>, exit: Exit) -> Box<Death> {
        Box::new(Death {
            pid: 77,
            worker: 0,
            exit,
            doom,
            ran: Some(Duration::from_millis(1500)),
            peak: Some(64 << 20),
            stack: None,
            limit: None,
            out_of_memory: false,
            bereft: false,
            known: true,
        })
    }

    #[test]
    fn each_doom_has_its_error() {
        let limits = Limits {
            timeout: Some(Duration::from_secs(1)),
            ..Limits::default()
        };
        let error = |doom| {
            let end = End::Died(death(doom, Exit::Signal(9)));
            error_of(end, 2, "job", Some(&limits))
        };
        assert!(matches!(
            error(Some(Doom::TimedOut)),
            TaskError::DeadlineExceeded { limit, .. } if limit == Duration::from_secs(1)
        ));
        assert!(matches!(error(Some(Doom::Killed)), TaskError::Killed(_)));
        assert!(matches!(
            error(Some(Doom::Memory(9))),
            TaskError::MemoryLimit { bytes: 9, .. }
        ));
        assert!(matches!(error(None), TaskError::WorkerDied(_)));
    }

    #[test]
    fn a_death_tells_what_is_known() {
        let end = End::Died(death(None, Exit::Signal(11)));
        let error = error_of(end, 2, "job", None);
        let died = error.death().unwrap();
        assert_eq!(
            (died.pid, died.signal, died.exit_code, died.attempts),
            (77, Some(11), None, 2)
        );
        let text = error.to_string();
        for part in ["77", "job", "signal 11", "1.500 s", "64 MiB", "attempt 2"] {
            assert!(text.contains(part), "{part} is not in: {text}");
        }
    }
}
