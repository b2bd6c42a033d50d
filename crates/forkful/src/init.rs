//! The first line of `main`: where a program that is run once more becomes a zygote or a worker.
//!
//! Knows: what it was passed, what a worker does first. Does not know: pools.

use crate::launch::{self, VARIABLE};
use crate::passed::{self, Kind, Passed, Role};
use crate::worker::{self, Berth};
use crate::{entry, tasks};
use forkful_core::sys::{
    await_children, die_with, dump_signal, ignore_signal, is_main_thread, leave, only_sleepers,
    put_at, remove_variable, shrug_interrupts, threads_here, unblock_interrupt,
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

/// What a worker does.
type Work = fn(Berth) -> !;

/// Lets worker processes start in this program: call it first of all in `main`.
///
/// A process pool starts its workers by running the program once more, with the same arguments. There this call does not return: the
/// process forks workers, and these run tasks. So nothing that stands before it in `main` should do more than
/// [`register`](crate::register) functions, and it would be done once more for every pool. In an ordinary run it only notes that it was
/// called, and once is as good as twice.
///
/// It counts in the program's first thread only: under a test harness, whose threads are others, use
/// [`test_support!`](crate::test_support). Where threads run already when it is called, workers can't be forked; each is then a run
/// of the program of its own, which takes some milliseconds. A runtime like tokio's is best built after it, in a `main` that is not
/// `async`.
///
/// # Examples
/// ```
/// fn main() {
///     forkful::init();
///     assert!(!forkful::is_worker());
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
/// assert!(!forkful::is_worker());
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
/// Under the harness `main` is not yours, so [`init`] has no place. This declares a test function by which the program is entered when
/// it is run once more: the pool starts it with the arguments that run this test alone. In an ordinary run of the tests it passes and
/// does nothing. Put it once into each program: beside the unit tests of a crate, and into each file of `tests/`. It works with
/// `cargo test`, whatever filters and number of threads it is given, and with `cargo nextest`.
///
/// # Examples
/// ```
/// #[cfg(test)]
/// mod tests {
///     forkful::test_support!();
/// }
/// # fn main() {}
/// ```
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
