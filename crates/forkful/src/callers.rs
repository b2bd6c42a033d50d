//! Who makes a process pool's callbacks: one thread per pool, started when there is something to call.
//!
//! So callbacks of one pool run one after the other, and one that blocks, or that waits for another pool, keeps nobody else waiting,
//! least of all the completer, who starts workers. The thread leaves when there was nothing for a while, or with its pool.
//!
//! Knows: the engine's pools. Does not know: what a callback does, the completer.

use crate::home::{Callback, Status};
use crate::remote::RemoteJob;
use crossbeam_queue::SegQueue;
use forkful_core::deadline::Deadline;
use forkful_core::procs::{Kept, Pool};
use forkful_core::sys::{Lock, Slept, Word, spin_until};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a caller without work stays: long enough for a program that hands out a task whenever one is done.
const LINGER: Duration = Duration::from_millis(100);

/// Callbacks of one future, whose pool is kept so long.
struct Wanted {
    status: Status,
    calls: Vec<Callback>,
    kept: Kept<RemoteJob>,
}

/// What is to be called for a pool, and whether somebody does.
pub(crate) struct Caller {
    wanted: SegQueue<Wanted>,
    /// Rises with everything that is wanted.
    word: Word,
    asleep: AtomicBool,
    /// Whether a thread is here, or is being started.
    here: AtomicBool,
    /// Whether it shall leave as soon as there is nothing to do.
    let_go: AtomicBool,
    thread: Lock<Option<JoinHandle<()>>>,
}

thread_local! {
    /// In a caller: its pool.
    static ON_DUTY: Cell<*const Pool<RemoteJob>> = const { Cell::new(ptr::null()) };
}

/// Whether the calling thread is running a callback of this pool, and so can't wait for its end.
pub(crate) fn is_inside(pool: &Arc<Pool<RemoteJob>>) -> bool {
    ptr::eq(ON_DUTY.get(), Arc::as_ptr(pool))
}

impl Caller {
    /// For a new pool.
    pub(crate) fn new() -> Arc<Caller> {
        Arc::new(Caller {
            wanted: SegQueue::new(),
            word: Word::new(0),
            asleep: AtomicBool::new(false),
            here: AtomicBool::new(false),
            let_go: AtomicBool::new(false),
            thread: Lock::new(None),
        })
    }

    /// Has these callbacks called. With no lock held: where there can be no thread for them, they are called here.
    pub(crate) fn call(
        self: &Arc<Self>,
        status: Status,
        calls: Vec<Callback>,
        kept: Kept<RemoteJob>,
    ) {
        if calls.is_empty() {
            return;
        }
        let pool = kept.pool().clone();
        self.wanted.push(Wanted {
            status,
            calls,
            kept,
        });
        self.wake();
        if self.here.swap(true, Ordering::SeqCst) {
            return;
        }
        let caller = self.clone();
        let here = pool.clone();
        let builder = std::thread::Builder::new().name("forkful-callbacks".into());
        match builder.spawn(move || caller.serve(&here, LINGER)) {
            Ok(handle) => {
                // The one before it is about to end, or has.
                let before = self.thread.lock().replace(handle);
                drop(before);
            }
            Err(_) => self.serve(&pool, Duration::ZERO),
        }
    }

    fn wake(&self) {
        self.word.fetch_add(1, Ordering::SeqCst);
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.word.wake(1);
        }
    }

    fn serve(&self, pool: &Arc<Pool<RemoteJob>>, linger: Duration) {
        let before = ON_DUTY.replace(Arc::as_ptr(pool));
        let generation = forkful_core::fork::generation();
        loop {
            let seen = self.word.load(Ordering::SeqCst);
            // What a callback's forked child finds here is its parent's.
            while generation == forkful_core::fork::generation()
                && let Some(wanted) = self.wanted.pop()
            {
                run(wanted);
            }
            if generation != forkful_core::fork::generation() {
                break;
            }
            if !self.let_go.load(Ordering::SeqCst) && self.rest(seen, linger) {
                continue;
            }
            self.here.store(false, Ordering::SeqCst);
            if self.wanted.is_empty() || self.here.swap(true, Ordering::SeqCst) {
                break;
            }
        }
        ON_DUTY.set(before);
    }

    /// Waits until more is wanted; `false`: nothing was, for so long.
    fn rest(&self, seen: u32, linger: Duration) -> bool {
        let changed = || self.word.load(Ordering::SeqCst) != seen;
        if linger.is_zero() || spin_until(changed) {
            return changed();
        }
        let deadline = Deadline::after(linger);
        loop {
            self.asleep.store(true, Ordering::SeqCst);
            if changed() || self.word.sleep(seen, deadline) == Slept::TimedOut {
                break;
            }
        }
        self.asleep.store(false, Ordering::SeqCst);
        changed()
    }

    /// Has it leave without lingering, as its pool is finished.
    pub(crate) fn release(&self) {
        if !self.let_go.swap(true, Ordering::SeqCst) {
            self.wake();
        }
    }

    /// The same, and waits for its end. Not for the caller itself.
    pub(crate) fn leave(&self) {
        self.release();
        while self.here.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_micros(100));
        }
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

fn run(
    Wanted {
        status,
        calls,
        kept,
    }: Wanted,
) {
    for call in calls {
        // They catch their own panics; this is for what they drop.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| call(status))) {
            std::mem::forget(payload);
        }
    }
    drop(kept);
}
