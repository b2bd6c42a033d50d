//! The storeys of the house, bottom up: an import goes downward or stays in its own room.
//!
//! The tables here are the one place to edit when a module is added. A room may import every room of a lower storey;
//! neighbours on one storey don't import each other, except those that the storey lends to all of its rooms.

mod doors;
mod face;
mod python;
mod rust;

use crate::tree::{File, Finding};

/// Rooms that stand side by side.
pub struct Storey {
    /// Top-level modules (in [`INSIDE`]: the modules of one package).
    rooms: &'static [&'static str],
    /// Those of them that their neighbours may import too.
    lent: &'static [&'static str],
    /// What the storey is for, in one line.
    why: &'static str,
}

const fn storey(rooms: &'static [&'static str], why: &'static str) -> Storey {
    Storey {
        rooms,
        lent: &[],
        why,
    }
}

/// The modules of crates/forkful-core/src; lib.rs stands outside and may name them all.
pub const ENGINE: &[Storey] = &[
    Storey {
        rooms: &["prim", "id", "deadline", "error"],
        lent: &["prim"],
        why: "the words that every other room speaks; prim is the only switch between std and loom",
    },
    storey(&["sys"], "the kernel, asked here and nowhere else"),
    storey(
        &["stats", "shm"],
        "meters, and memory that two processes can see",
    ),
    Storey {
        rooms: &["sync", "future", "fork"],
        lent: &["fork"],
        why: "how threads wait for each other, and what a fork does to that",
    },
    storey(
        &["wire"],
        "the letter box, the only place where parent and worker meet",
    ),
    storey(&["threads", "worker", "procs"], "where work happens"),
];

/// The modules of crates/forkful/src, the crate that Rust programs use; lib.rs stands outside as in the engine.
pub const CRATE: &[Storey] = &[
    Storey {
        rooms: &[
            "error",
            "shutdown",
            "stats",
            "entry",
            "passed",
            "polled",
            "quiet",
            "watchdog",
            "pages",
            "__private",
        ],
        lent: &["__private"],
        why: "plain words: how work is refused, how an executor ends, numbers, what a new process is told; __private is what macros name",
    },
    storey(
        &["home", "failure", "death", "launch"],
        "what a future asks of its executor; what is told of a task that failed; how this program is run once more",
    ),
    storey(
        &["future", "codec"],
        "a value that arrives later; values as bytes",
    ),
    storey(
        &["gather", "tasks", "bytes", "share", "fd"],
        "many futures at once; functions that go by their names; what travels beside bytes",
    ),
    storey(
        &["map", "wait", "sync"],
        "what many futures are for; what processes wait with",
    ),
    Storey {
        rooms: &["thread_pool", "scope"],
        lent: &["thread_pool", "scope"],
        why: "the pool of threads, and what may borrow while it runs",
    },
    Storey {
        rooms: &[
            "process_pool",
            "remote",
            "chunk",
            "callers",
            "completer",
            "worker",
            "init",
        ],
        lent: &[
            "process_pool",
            "remote",
            "chunk",
            "callers",
            "completer",
            "worker",
            "init",
        ],
        why: "the pool of processes: its face, its futures, its threads, its workers and how a process becomes one",
    },
    storey(&["executor"], "what both executors can do"),
];

/// The modules of python/forkful.
pub const PYTHON: &[Storey] = &[
    storey(&["_engine"], "the compiled module and its stub"),
    storey(&["_cargo"], "what pickles take along"),
    storey(
        &[
            "_errors",
            "_aside",
            "_gil",
            "_checked",
            "_raised",
            "_config",
            "_cpus",
            "_stats",
            "_version",
            "_hooks",
            "_scope",
            "_byname",
            "_blas",
            "_interrupt",
            "_arrivals",
            "_preparation",
            "_replaced",
        ],
        "plain values, and what names mean: nothing about executors",
    ),
    storey(
        &["_kernel"],
        "descriptors of processes and nameless memory, whoever asks",
    ),
    storey(
        &[
            "_loop",
            "_unchanged",
            "_guard",
            "_child",
            "_line",
            "_received",
            "_tracker",
            "_parcel",
        ],
        "the mailbox of an event loop; whether a value is still the same; what the main module is; how a worker settles, and what it is told; \
         what a nursery is told; descriptors beside pickles",
    ),
    storey(
        &["_preload"],
        "what a nursery imports before its first worker",
    ),
    storey(
        &["_byvalue", "_nursery", "_request"],
        "the pickler by value; the process that makes workers; what these are sent",
    ),
    storey(
        &["_share"],
        "objects that are placed once for all processes",
    ),
    storey(
        &["_namespace", "_context", "_relay", "_launch"],
        "what of the main module workers have; what else travels; how a nursery is started",
    ),
    storey(&["_encode", "_worker"], "the two ends of what travels"),
    storey(
        &["_items", "_measured"],
        "what a worker does with a part of a map; with a call that is measured",
    ),
    storey(&["futures"], "concurrent.futures on the engine"),
    Storey {
        rooms: &["threading", "queue", "aio"],
        lent: &["threading"],
        why: "the standard library's names beside futures, and asyncio's view of them",
    },
    storey(
        &["multiprocessing"],
        "processes, built on all that threads have",
    ),
    storey(
        &["progress", "advisor", "comparison", "diagnosis", "cluster"],
        "extras that only read snapshots or the public API",
    ),
    storey(
        &["_install"],
        "puts our names into the standard library, so it knows them all",
    ),
    storey(&["dashboard"], "views, which nothing but a command starts"),
    storey(&["cli"], "commands over everything below"),
    storey(&["__init__"], "names and nothing else"),
    storey(&["__main__"], "python -m forkful"),
];

/// Packages of python/forkful whose own modules have an order too.
pub const INSIDE: &[(&str, &[Storey])] = &[
    (
        "futures",
        &[
            storey(
                &[
                    "_progress",
                    "_window",
                    "_awaiting",
                    "_policy",
                    "_effects",
                    "_watch",
                ],
                "a bar; what was taken of an endless input; how coroutines wait; where calls belong; what a function visibly changes; a look at \
                 first calls",
            ),
            storey(
                &["_async_map", "_leaving"],
                "a map for coroutines, and the end of their executors",
            ),
            storey(
                &[
                    "_base",
                    "_chunks",
                    "_feed",
                    "_workers",
                    "_completer",
                    "_methods",
                    "_functions",
                    "_doubles",
                ],
                "the standard library's protocol of a future; many calls as one task; workers to look at; the threads behind pools; how workers start; \
                 what is known of functions; futures finished for others",
            ),
            storey(
                &["_recipe", "_maps", "_views"],
                "how a nursery is made; which items of a map travel together; an executor with options",
            ),
            storey(&["thread", "process"], "the executors"),
            storey(&["_closing"], "how the executor that chooses ends"),
            storey(
                &["_desk"],
                "where calls wait until it is decided where they run",
            ),
            storey(
                &["_automap"],
                "a map that is handed on as soon as that is known",
            ),
            storey(&["auto"], "the executor that chooses between the two"),
            storey(&["__init__"], "names and nothing else"),
        ],
    ),
    (
        "advisor",
        &[
            storey(
                &[
                    "measurements",
                    "verdict",
                    "units",
                    "calling",
                    "timekeeper",
                    "plan",
                    "target",
                    "inputs",
                    "bar",
                ],
                "plain values; one call; what to try; what a command line names",
            ),
            storey(
                &["meters", "cost", "model"],
                "clocks and pickles; what speed is to be expected",
            ),
            storey(
                &["ways", "alone", "candidates", "wording"],
                "several calls at a time; ways with their speeds; words for them",
            ),
            storey(
                &["rounds", "doubts", "report"],
                "all ways in turn; what there is to doubt; text",
            ),
            storey(
                &["examination", "rules", "plot"],
                "one look at a function; the verdict; a picture of it",
            ),
            storey(&["probe"], "the door to the measuring"),
            storey(
                &["advice"],
                "the probe's findings and the verdict as one object",
            ),
            storey(&["__init__"], "names and nothing else"),
        ],
    ),
];

/// Checks every file of the engine, of what is built on it, and of the package.
pub fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        if file.is_rust() {
            doors::check(file, &mut findings);
        }
        rust::check(file, &mut findings);
        face::check(file, &mut findings);
        python::check(file, &mut findings);
    }
    findings
}

/// The storey of a room.
pub fn find(table: &[Storey], room: &str) -> Option<usize> {
    table.iter().position(|storey| storey.rooms.contains(&room))
}

/// What to do about a module that stands nowhere.
pub fn homeless(room: &str) -> String {
    format!(
        "`{room}` is on no storey: place it on one in xtask/src/layers/mod.rs, or name the module that it comes from"
    )
}

/// What to do about an import of `to` inside `from`, if anything; rooms without a storey are not judged.
pub fn verdict(table: &[Storey], from: &str, to: &str) -> Option<String> {
    let (low, high) = (find(table, from)?, find(table, to)?);
    let target = &table[high];
    if high > low {
        Some(format!(
            "`{from}` may not know `{to}` ({}), which is above it: move the code up, or hand it down as a value, \
             a trait or a callback",
            target.why
        ))
    } else if high == low && from != to && !target.lent.contains(&to) {
        Some(format!(
            "`{from}` and `{to}` are neighbours and may not know each other: let them meet one storey up"
        ))
    } else {
        None
    }
}
