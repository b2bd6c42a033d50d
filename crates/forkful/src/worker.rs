//! A worker's process: what the engine's loop does with a task here.
//!
//! Knows: the registered functions, the codec, the engine's worker. Does not know: how this process was born, its parent's futures.

use crate::bytes;
use crate::codec::{Incoming, Outgoing, Sent};
use crate::failure::{Failure, guarded, note_panics};
use crate::tasks::{self, CHUNK, Entry, METERED};
use crate::{share, sync};
use forkful_core::sys::{Stamp, arm_crash, die_first, thread_cpu_time};
use forkful_core::wire::{
    Bell, CARGO_INSIDE, Garbage, Link, NO_FUNCTION, RAISED, SAID_FAILURE, TaskHead,
};
use forkful_core::worker::{self, Desk, Ran, Runner};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::process;
use std::sync::Arc;

/// A worker's place, and the descriptors that came with it.
pub(crate) struct Berth {
    /// Its seat in the pool.
    pub seat: u32,
    /// The number of the request that it was made for.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests of the start tell it"))]
    pub generation: u64,
    /// What it shares with the pool.
    pub link: OwnedFd,
    /// By which it reaches the pool's background.
    pub bell: OwnedFd,
    /// Where it could leave its last words; a Rust program's stack can't be had from a signal handler.
    pub dump: OwnedFd,
    /// A [`Start`], encoded.
    pub start: Vec<u8>,
}

/// What each worker of a pool begins with.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Start {
    /// What it calls first.
    pub initializer: Option<First>,
    /// How many tasks it runs before it leaves.
    pub max_tasks: Option<u64>,
}

/// A call that each worker makes before its first task.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct First {
    /// A registered function's sign.
    pub function: String,
    /// How its arguments are encoded: a task's flags.
    pub flags: u32,
    /// And they themselves, with what stands beside them.
    pub args: Vec<u8>,
}

/// Nothing that a task could print takes less.
const QUIET_NANOS: u64 = 700;

/// Works on this berth until the pool lets it go, and ends the process.
pub(crate) fn work(berth: Berth) -> ! {
    let Berth {
        seat,
        generation: _,
        link,
        bell,
        dump,
        start,
    } = berth;
    if let Ok(spec) = std::env::var("FORKFUL_CRASH_AT") {
        arm_crash(&spec);
    }
    drop(dump);
    let opened = Link::open(link.as_fd())
        .ok()
        .zip(Bell::open(bell.as_fd()).ok());
    let Some((link, bell)) = opened else {
        // Garbage, or no memory: the pool sees an early end.
        eprintln!("forkful: a worker can't open what it shares with its pool");
        process::exit(1);
    };
    link.protect();
    die_first();
    let desk = Arc::new(Desk::new(Arc::new(link), Arc::new(bell), seat));
    desk.arrive();
    bytes::work_at(&desk);
    sync::begin_worker();
    std::panic::set_hook(note_panics(std::panic::take_hook()));
    let generation = forkful_core::fork::generation();
    let started = Incoming::new(&start)
        .read::<Start>()
        .map_err(|error| error.to_string())
        .and_then(|start| initialise(&start, &desk).map(|()| start));
    leave_forked(generation);
    let start = match started {
        Ok(start) => start,
        Err(text) => {
            desk.say(SAID_FAILURE, text.as_bytes(), |wait| wait());
            leave(1);
        }
    };
    let mut labour = Labour {
        desk: &desk,
        functions: Vec::new(),
        left: start.max_tasks.unwrap_or(u64::MAX),
        generation,
    };
    match worker::work(&desk, &mut labour) {
        Ok(()) => leave(0),
        Err(Garbage) => {
            eprintln!("forkful: what a worker shares with its pool holds garbage; it leaves");
            leave(1);
        }
    }
}

/// Ends a process that a task, or the initializer, has forked, and that has returned from there: the outcome is its parent's to tell, and
/// so is all that comes later.
fn leave_forked(generation: u32) {
    if forkful_core::fork::generation() != generation {
        process::exit(0);
    }
}

fn leave(code: i32) -> ! {
    let _ = std::io::stdout().flush();
    process::exit(code);
}

/// Runs the initializer; the error in words.
fn initialise(start: &Start, desk: &Desk) -> Result<(), String> {
    let Some(First {
        function,
        flags,
        args,
    }) = &start.initializer
    else {
        return Ok(());
    };
    let entry = tasks::signed(function).ok_or_else(|| unknown(function))?;
    let name = entry.name;
    let head = TaskHead {
        flags: *flags,
        loan: CARGO_INSIDE,
        ..TaskHead::default()
    };
    let call = || {
        let mut incoming = Incoming::of_call(&head, args, desk)?;
        (entry.run)(&mut incoming, &mut Outgoing::default())
    };
    match guarded(call) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("{name}: {error}")),
        Err(Failure::Panicked {
            message, location, ..
        }) => Err(match location {
            Some(location) => format!("{name} panicked at {location}: {message}"),
            None => format!("{name} panicked: {message}"),
        }),
        Err(Failure::NotSent(text)) => Err(text),
    }
}

fn unknown(sign: &str) -> String {
    let name = sign.rsplit_once(' ').map_or(sign, |(name, _)| name);
    format!(
        "the worker knows no function {name}: was it registered behind forkful::init, or in some runs of this program only?"
    )
}

struct Labour<'a> {
    desk: &'a Desk,
    /// By their numbers.
    functions: Vec<Option<Arc<Entry>>>,
    left: u64,
    /// Of the process that is the worker.
    generation: u32,
}

impl Labour<'_> {
    fn function(&mut self, number: u32) -> Result<Arc<Entry>, String> {
        let at = number as usize;
        if let Some(Some(known)) = self.functions.get(at) {
            return Ok(known.clone());
        }
        if number == NO_FUNCTION {
            return Err("the task names no function".to_owned());
        }
        let mut bytes = Vec::new();
        self.desk
            .link()
            .entry(number, &mut bytes)
            .map_err(|Garbage| {
                format!("the task names function {number}, which nobody has defined")
            })?;
        let sign = String::from_utf8_lossy(&bytes);
        let entry = tasks::signed(&sign).ok_or_else(|| unknown(&sign))?;
        // The library holds no more than this.
        if self.functions.len() <= at {
            self.functions.resize_with(at + 1, || None);
        }
        self.functions[at] = Some(entry.clone());
        Ok(entry)
    }

    fn call(
        &mut self,
        head: &TaskHead,
        payload: &[u8],
        outgoing: &mut Outgoing,
    ) -> Result<(), Failure> {
        let entry = self.function(head.function).map_err(Failure::NotSent)?;
        let run = if head.flags & CHUNK == 0 {
            &entry.run
        } else {
            &entry.run_many
        };
        let call = || run(&mut Incoming::of_call(head, payload, self.desk)?, outgoing);
        match guarded(call) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Failure::NotSent(format!("{}: {error}", entry.name))),
            Err(failure) => Err(failure),
        }
    }
}

impl Runner for Labour<'_> {
    fn run(
        &mut self,
        head: &TaskHead,
        payload: &mut Vec<u8>,
        outcome: &mut Vec<u8>,
        now: Stamp,
    ) -> Ran {
        let before = (head.flags & METERED != 0).then(thread_cpu_time);
        let mut outgoing = Outgoing::over(std::mem::take(outcome));
        let called = self.call(head, payload, &mut outgoing);
        leave_forked(self.generation);
        let cpu = before.map_or(0, |before| {
            thread_cpu_time().saturating_sub(before).as_nanos() as u64
        });
        let sent = called.and_then(|()| {
            let sent = outgoing.into_outcome(self.desk, outcome);
            sent.map_err(|error| Failure::NotSent(error.to_string()))
        });
        let Sent { kind, lends } = sent.unwrap_or_else(|failure| {
            let mut words = Outgoing::over(std::mem::take(outcome));
            // They can be written; and where they can't, their reader says so.
            let _ = words.write(&failure);
            outcome.clear();
            outcome.extend_from_slice(words.bytes());
            Sent {
                kind: RAISED,
                lends: false,
            }
        });
        if self.left != u64::MAX {
            self.left -= 1;
        }
        let mut ended = Stamp::now();
        if ended.since(now) > QUIET_NANOS {
            // What it printed is there before its result is.
            let _ = std::io::stdout().flush();
            ended = Stamp::now();
        }
        Ran {
            kind,
            ended,
            cpu,
            leave: self.left == 0,
            lends,
        }
    }

    fn away<R: Send>(&mut self, wait: impl FnOnce() -> R + Send) -> R {
        wait()
    }

    fn rest(&mut self) {
        let _ = std::io::stdout().flush();
        sync::rest();
        share::sweep();
    }

    fn interrupted(&mut self) -> bool {
        true
    }
}
