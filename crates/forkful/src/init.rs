//! The first line of `main`: where a program that is run once more becomes a zygote or a worker.
//!
//! Knows: what it was passed, what a worker does first. Does not know: pools.

use crate::launch::{self, VARIABLE};
use crate::passed::{self, Kind, Passed, Role};
use crate::worker::{self, Berth};
use crate::{entry, tasks};
use forkful_core::sys::{
    arm_crash, await_children, die_with, dump_signal, ignore_signal, is_main_thread, is_privileged,
    leave, only_sleepers, put_at, remove_variable, shrug_interrupts, threads_here,
    unblock_interrupt,
};
use forkful_core::worker::zygote::{self, Newborn};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whether this process is a worker.
static WORKER: AtomicBool = AtomicBool::new(false);

/// How often is looked whether a test harness's thread has gone to sleep, and how long between two looks.
const LOOKS: u32 = 200;
const BETWEEN: Duration = Duration::from_micros(500);

/// Names the instruction at which a test wants this process killed.
const CRASH: &str = "FORKFUL_CRASH_AT";

/// What a worker does.
type Work = fn(Berth) -> !;

/// Lets worker processes start in this program: call it first of all in `main`.
///
/// A process pool starts its workers by running the program once more, with the same arguments and environment. There this call does
/// not return: the process, called a zygote, forks workers, and these run tasks. In an ordinary run it only notes that it was called,
/// and twice is as good as once.
///
/// What stands before it in `main` is done once more for each pool, without a standard input and output. Nothing should stand there but
/// calls of [`register`](crate::register), by which workers know functions that don't bear the attribute
/// [`task`](macro@crate::task).
///
/// It counts in the program's first thread only. Where other threads run already when it is called, workers can't be forked, as a lock
/// that one of those threads holds would stay locked for ever; each worker is then a run of the program of its own, which takes some
/// milliseconds. So write a `main` that is not `async`, and build a runtime like tokio's in it, behind this call.
///
/// Workers end with the program, whatever ends it. They don't hear Ctrl-C: the program decides what that means. They read nothing from
/// the standard input, share the program's output streams, and have no other file of the program's.
///
/// A program with more rights than its user (setuid, file capabilities) can't have workers: pools are refused there.
///
/// In tests, use [`test_support!`](crate::test_support), as `main` is the harness's there. In an example of the documentation call it
/// as in any program.
///
/// # Examples
/// ```standalone_crate
/// #[forkful::task]
/// fn add(a: i32, b: i32) -> i32 {
///     a + b
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     forkful::init();
///     let pool = forkful::ProcessPoolExecutor::new(1)?;
///     assert_eq!(pool.submit(add, (1, 2)).result()?, 3);
///     Ok(())
/// }
/// ```
pub fn init() {
    enter(worker::work, false);
    if is_main_thread() {
        launch::remember_mask();
        entry::entered();
    }
}

/// What the test does that `test_support!` declares.
#[doc(hidden)]
pub fn serve_test() {
    enter(worker::work, true);
}

/// Whether this process is a worker of a process pool, or was forked by one.
///
/// # Examples
/// ```
/// #[forkful::task]
/// fn is_worker() -> bool {
///     forkful::is_worker()
/// }
///
/// fn main() -> Result<(), Box<dyn std::error::Error>> {
///     forkful::init();
///     assert!(!forkful::is_worker());
///     let pool = forkful::ProcessPoolExecutor::new(1)?;
///     assert!(pool.submit(is_worker, ()).result()?);
///     Ok(())
/// }
/// ```
pub fn is_worker() -> bool {
    WORKER.load(Ordering::Relaxed)
}

/// Whether workers can be started in this program.
pub(crate) fn is_ready() -> bool {
    entry::entrance().is_some()
}

/// Becomes what this process was started for; returns where that is nothing of ours.
pub(crate) fn enter(work: Work, by_test: bool) {
    let Some(words) = std::env::var_os(VARIABLE) else {
        return;
    };
    remove_variable(VARIABLE);
    if is_privileged() {
        // Its user would have it run tasks with rights that he has not.
        return;
    }
    let passed = match passed::role(&words) {
        Role::Passed(passed) => passed,
        Role::Orphan => leave(0),
        Role::Stranger => return,
    };
    entry::entered();
    let newborn = match settle(passed, by_test) {
        Ok(newborn) => newborn,
        Err(error) => {
            let _ = writeln!(
                io::stderr(),
                "forkful: the process that starts workers can't do so: {error}"
            );
            leave(1)
        }
    };
    become_worker(newborn, work)
}

/// Puts this process in order. A zygote's loop is run here, so that what is returned is a worker.
fn settle(passed: Passed, by_test: bool) -> io::Result<Newborn> {
    shrug_interrupts();
    if !passed.interrupt_blocked {
        unblock_interrupt();
    }
    launch::remember_mask();
    await_children();
    ignore_signal(dump_signal());
    // What lies in the buffer was printed by an earlier run of these lines.
    let _ = io::stdout().flush();
    if let Some(output) = &passed.output {
        put_at(output, 1)?;
    }
    let mut fds = passed.fds;
    match passed.kind {
        Kind::Worker { seat, generation } => {
            if !die_with(passed.launcher) {
                leave(0);
            }
            Newborn::of(seat, generation, fds)
        }
        Kind::Zygote => {
            let (Some(parent), Some(control)) = (fds.pop(), fds.pop()) else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            if let Ok(spec) = std::env::var(CRASH) {
                arm_crash(&spec);
            }
            tasks::settle();
            let forks = threads_here() == 1 || by_test && harness_sleeps();
            let execute = (!forks).then_some(launch::execute as zygote::Execute);
            zygote::serve(control, parent, execute)
        }
    }
}

/// Whether the other threads are a test harness's first one alone, which waits for this test to end, and so without an end: it holds
/// no lock that a forked child would want.
fn harness_sleeps() -> bool {
    (0..LOOKS).any(|_| {
        let sleeps = threads_here() == 2 && only_sleepers();
        if !sleeps {
            std::thread::sleep(BETWEEN);
        }
        sleeps
    })
}

fn become_worker(newborn: Newborn, work: Work) -> ! {
    forkful_core::fork::after_in_child();
    // A task that forks has a child that may return from it: it must be known for no worker.
    forkful_core::fork::watch();
    WORKER.store(true, Ordering::Relaxed);
    let start = match whole(&File::from(newborn.request)) {
        Ok(start) => start,
        Err(error) => {
            let _ = writeln!(
                io::stderr(),
                "forkful: a worker can't read what it was sent: {error}"
            );
            leave(1)
        }
    };
    work(Berth {
        seat: newborn.seat,
        generation: newborn.generation,
        link: newborn.link,
        bell: newborn.bell,
        dump: newborn.dump,
        start,
    })
}

/// A file's bytes, wherever its offset stands: all workers share it.
fn whole(file: &File) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Lets the tests of this crate or test program use process pools under the ordinary test harness.
///
/// Under the harness `main` is not yours, so [`init`](crate::init()) has no place. This declares a test function by which the program is
/// entered when it is run once more: the pool starts it with the arguments that run this test alone, and nothing of what the harness
/// says there is heard. In an ordinary run of the tests it passes and does nothing.
///
/// Put it once into each program: into the unit tests of a crate, and into each file of `tests/`. It works with `cargo test`, whatever
/// filters and number of threads it is given, and with `cargo nextest`. A test program with a `main` of its own (`harness = false`)
/// calls [`init`](crate::init()) instead.
///
/// # Examples
/// ```
/// #[cfg(test)]
/// mod tests {
///     use forkful::ProcessPoolExecutor;
///
///     forkful::test_support!();
///
///     #[forkful::task]
///     fn add(a: i32, b: i32) -> i32 {
///         a + b
///     }
///
///     #[test]
///     fn it_adds() {
///         let pool = ProcessPoolExecutor::new(1).unwrap();
///         assert_eq!(pool.submit(add, (1, 2)).result().unwrap(), 3);
///     }
/// }
/// ```
#[expect(
    clippy::test_attr_in_doctest,
    reason = "it shows where a test stands; tests/harness.rs is one that runs"
)]
#[macro_export]
macro_rules! test_support {
    () => {
        #[cfg(test)]
        $crate::__private::submit! {
            $crate::__private::TestEntry(::core::module_path!())
        }

        #[test]
        fn forkful_test_support() {
            $crate::__private::serve_test();
        }
    };
}
