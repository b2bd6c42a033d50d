//! How much of the time the interpreter's lock is held: a thread that asks for it at random moments.
//!
//! Asking disturbs: a holder that computes in Python lets go of the lock after the switch interval when somebody asks. With
//! gaps of a millisecond on average that costs it one or two percent.

use forkful_core::fork;
use forkful_core::stats::{Asks, Gaps};
use forkful_core::sys::{self, RunDelay, Stamp};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Shared {
    asks: Asks,
    stop: AtomicBool,
    /// Since when the present ask has waited, as a stamp; 0 while there is none.
    waits_since: AtomicU64,
}

struct Running {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
    generation: u32,
}

impl Running {
    /// Has the thread end; in a forked child it is not there, and there is nothing to wait for.
    fn end(self) {
        // SYNC(gil.stop): release; what the thread has asked before is in the sums, which are atomics of their own
        self.shared.stop.store(true, Ordering::Release);
        if self.generation == fork::generation() {
            self.thread.thread().unpark();
            let _ = self.thread.join();
        } else {
            std::mem::forget(self.thread);
        }
    }
}

/// A thread that asks for the interpreter's lock at random moments and writes down what it finds.
#[pyclass(module = "forkful._engine", frozen)]
pub struct GilSampler {
    mean: Duration,
    running: Mutex<Option<Running>>,
    /// Of the run that goes on, or of the last one.
    shared: Mutex<Arc<Shared>>,
}

#[pymethods]
impl GilSampler {
    #[new]
    fn new(interval: f64) -> PyResult<GilSampler> {
        if !(1e-5..=60.0).contains(&interval) {
            return Err(PyValueError::new_err(
                "interval must be a number of seconds from 0.00001 to 60",
            ));
        }
        Ok(GilSampler {
            mean: Duration::from_secs_f64(interval),
            running: Mutex::new(None),
            shared: Mutex::default(),
        })
    }

    /// Begins a new run.
    fn start(&self) -> PyResult<()> {
        let mut running = lock(&self.running);
        if running
            .as_ref()
            .is_some_and(|run| run.generation == fork::generation())
        {
            return Err(PyRuntimeError::new_err("this sampler runs already"));
        }
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let seed = sys::random_token().map_or(0, |token| {
            u64::from_le_bytes(token[..8].try_into().unwrap_or_default())
        });
        let gaps = Gaps::new(self.mean, seed);
        let thread = thread::Builder::new()
            .name("forkful-gil".to_owned())
            .spawn(move || sample(&theirs, gaps))?;
        if let Some(stale) = running.take() {
            stale.end();
        }
        *lock(&self.shared) = Arc::clone(&shared);
        *running = Some(Running {
            thread,
            shared,
            generation: fork::generation(),
        });
        Ok(())
    }

    /// Ends the run, if there is one, when the thread is gone.
    fn stop(&self, py: Python<'_>) {
        let run = lock(&self.running).take();
        py.detach(|| run.map(Running::end));
    }

    /// Seconds that the ask which is under way has waited for the lock; 0 if none is.
    fn waiting(&self) -> f64 {
        match lock(&self.shared).waits_since.load(Ordering::Relaxed) {
            0 => 0.0,
            since => Stamp::now().since(Stamp::from_nanos(since)) as f64 * 1e-9,
        }
    }

    /// (seconds looked at, seconds of them spent waiting, asks, asks that found the lock held) of the current or last run.
    fn read(&self) -> (f64, f64, u64, u64) {
        let read = lock(&self.shared).asks.read();
        (
            read.elapsed.as_secs_f64(),
            read.waited.as_secs_f64(),
            read.asks,
            read.held,
        )
    }
}

impl Drop for GilSampler {
    fn drop(&mut self) {
        // Not joined: the thread may wait for the very lock that whoever drops this has.
        if let Some(run) = lock(&self.running).take() {
            // SYNC(gil.stop): release
            run.shared.stop.store(true, Ordering::Release);
            if run.generation == fork::generation() {
                run.thread.thread().unpark();
            } else {
                std::mem::forget(run.thread);
            }
        }
    }
}

/// Guards a few instructions, in which nobody can fail.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A moment that was chosen, just before the lock is asked for in it.
struct Ask {
    gap: Duration,
    asked: Instant,
    switches: u64,
    delay: Duration,
}

impl Ask {
    /// Waits for the next moment, without the lock.
    fn wait(shared: &Shared, gaps: &mut Gaps, delay: &RunDelay) -> Ask {
        let begun = Instant::now();
        let until = begun + gaps.next_gap();
        // SYNC(gil.stop): acquire
        while !shared.stop.load(Ordering::Acquire) {
            let now = Instant::now();
            if now >= until {
                break;
            }
            thread::park_timeout(until - now);
        }
        if Gaps::is_late(until.elapsed()) {
            sys::leave_cpu();
        }
        let switches = sys::voluntary_switches();
        let delay = delay.read();
        let asked = Instant::now();
        let since = Stamp::now().nanos();
        shared.waits_since.store(since, Ordering::Relaxed);
        Ask {
            gap: asked - begun,
            asked,
            switches,
            delay,
        }
    }

    /// Writes down how long the lock took, once it is there. Whether to go on.
    fn done(self, shared: &Shared, delay: &RunDelay) -> bool {
        let mut wait = self.asked.elapsed();
        shared.waits_since.store(0, Ordering::Relaxed);
        // Whoever found the lock held has slept, and a thread that was merely put aside meanwhile has not.
        let held = sys::voluntary_switches() > self.switches;
        // SYNC(gil.stop): acquire
        if shared.stop.load(Ordering::Acquire) {
            return false;
        }
        if held {
            // On a busy machine it may have been free for as long as this thread, told of it, stood in the queue for a CPU.
            wait = wait.saturating_sub(delay.read().saturating_sub(self.delay));
        }
        shared.asks.record(self.gap, wait, held);
        true
    }
}

fn sample(shared: &Shared, mut gaps: Gaps) {
    // The first ask is the one that attaches this thread: of a call of 5 ms in Python, the wait for that would be all there is.
    let delay = RunDelay::open();
    let first = Ask::wait(shared, &mut gaps, &delay);
    // None at the interpreter's end, when there is nothing left to find out.
    let _ = Python::try_attach(|py| {
        let mut asked = first;
        while asked.done(shared, &delay) {
            asked = py.detach(|| Ask::wait(shared, &mut gaps, &delay));
        }
    });
}
