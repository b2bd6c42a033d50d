//! What a pool of threads is for its executor, its views, its workers and its tasks.
//!
//! Knows: the engine's pool, the tasks in its queue. Does not know: the executor, which lives shorter than its tasks may.

use super::crew;
use super::work::{PoolNumber, Queued, Work};
use crate::error::{Refusal, SubmitError};
use crate::future::Future;
use crate::stats::{Histogram, Stats, TaskStats, WorkerStats};
use forkful_core::error as engine;
use forkful_core::fork::{self, Inherited};
use forkful_core::stats::Meter;
use forkful_core::sys::Lock;
use forkful_core::threads::{Berth, Blocked, Pool, Terms};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, JoinHandle};

/// What every new worker runs first.
pub(super) type Initializer = Box<dyn Fn() + Send + Sync>;

/// What its tasks are told of each.
#[derive(Clone, Default)]
pub(super) struct Manner {
    pub(super) priority: i32,
    pub(super) meter: Option<Arc<Meter>>,
}

/// The pool.
pub(crate) struct Shared {
    pub(super) pool: Arc<Pool<Queued>>,
    pub(super) initializer: Option<Initializer>,
    pub(super) name: String,
    pub(super) stack_size: Option<usize>,
    pub(super) number: PoolNumber,
    /// Why it is broken.
    broken: Lock<String>,
    meters: Lock<BTreeMap<String, Arc<Meter>>>,
    threads: Lock<Vec<JoinHandle<()>>>,
}

impl Shared {
    /// A pool without threads yet.
    pub(super) fn new(
        pool: Pool<Queued>,
        name: String,
        initializer: Option<Initializer>,
        stack_size: Option<usize>,
    ) -> Arc<Shared> {
        let pool = Arc::new(pool);
        fork::watch();
        fork::register(&pool);
        let shared = Arc::new(Shared {
            pool,
            initializer,
            name,
            stack_size,
            number: PoolNumber::new(),
            broken: Lock::default(),
            meters: Lock::default(),
            threads: Lock::default(),
        });
        let number = shared.number.get();
        let mut known = pools().0.lock();
        known.insert(number, Arc::downgrade(&shared));
        drop(known);
        shared
    }

    /// Queues a closure, and has a thread started if one is missing.
    #[inline]
    pub(super) fn submit<F, T>(
        self: &Arc<Self>,
        function: F,
        manner: &Manner,
    ) -> Result<Future<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let terms = Terms {
            priority: manner.priority,
            counted: self.pool.is_bounded() && self.claim_room(),
        };
        let work = Arc::new(Work::new(self.number, function, manner.meter.clone()));
        let refusal = match self.pool.submit(work.clone(), terms) {
            Ok(None) => return Ok(Future::of(work)),
            Ok(Some(berth)) => match self.start_for_queue(berth) {
                Ok(()) => return Ok(Future::of(work)),
                Err(why) => return self.unqueue(work, why),
            },
            Err(refused) => self.in_words(refused.refusal),
        };
        // It was in no queue, so nobody else can have it.
        match work.take_back() {
            Some(work) => Err(SubmitError { work, refusal }),
            None => Ok(Future::of(work)),
        }
    }

    /// Takes everything out of the queue that no thread can be started for: this task goes back to its submitter, the others fail.
    #[cold]
    fn unqueue<F, T>(&self, work: Arc<Work<F, T>>, why: String) -> Result<Future<T>, SubmitError<F>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let own = work.take_back();
        if own.is_some() {
            let _ = self.pool.took_queued(true);
        }
        while let Some(job) = self.pool.drain() {
            job.fail(self, &why);
        }
        match own {
            Some(work) => Err(SubmitError {
                work,
                refusal: Refusal::Broken(why),
            }),
            // Somebody has run it, or failed it, meanwhile.
            None => Ok(Future::of(work)),
        }
    }

    fn in_words(&self, refusal: engine::Refusal) -> Refusal {
        match refusal {
            engine::Refusal::Closed => Refusal::ShutDown,
            engine::Refusal::Broken => Refusal::Broken(self.broken.lock().clone()),
            engine::Refusal::Inherited => Refusal::Inherited,
        }
    }

    /// Waits until there is room for one more task, and claims it. The pool's own threads never wait: they are who makes room.
    #[cold]
    fn claim_room(&self) -> bool {
        while !self.pool.claim_room() {
            if crew::is_worker_of(self.number) || self.pool.refusal().is_some() {
                return false;
            }
            let _ = self.pool.wait_for_room(|| Ok::<(), Infallible>(()));
        }
        true
    }

    /// Starts a thread for what is queued. `Err`, with the words, if none can be started and there is no other that would run it.
    #[cold]
    fn start_for_queue(self: &Arc<Self>, berth: Berth<Queued>) -> Result<(), String> {
        match self.start(berth) {
            Err(error) if !self.pool.has_workers() => {
                Err(format!("no thread can be started: {error}"))
            }
            _ => Ok(()),
        }
    }

    /// Starts a thread.
    fn start(self: &Arc<Self>, berth: Berth<Queued>) -> std::io::Result<()> {
        let mut builder = thread::Builder::new().name(self.thread_name(berth.index()));
        if let Some(bytes) = self.stack_size {
            builder = builder.stack_size(bytes);
        }
        let shared = self.clone();
        let handle = builder.spawn(move || crew::work(shared, berth))?;
        let mut threads = self.threads.lock();
        threads.retain(|thread| !thread.is_finished());
        threads.push(handle);
        Ok(())
    }

    fn thread_name(&self, index: u32) -> String {
        format!("{}_{index}", self.name)
    }

    /// A task was cancelled, which is in the queue still or was taken out of it.
    pub(super) fn cancelled(&self, queued: bool) {
        if self.pool.is_inherited() {
            // The queue may hold an entry that is half written: it is not touched here.
            return;
        }
        let many = self.pool.took_queued(true);
        if !queued {
            self.pool.popped_stale();
        } else if many {
            self.purge();
        }
    }

    /// A task was begun whose entry is in the queue still.
    pub(super) fn left_in_queue(&self) {
        if self.pool.took_queued(false) {
            self.purge();
        }
    }

    fn purge(&self) {
        // Dropped outside of the queue's locks: with the last reference goes a result.
        let gone = self.pool.purge(|job| job.is_taken());
        gone.into_iter().for_each(|job| {
            crate::quiet::quietly(|| drop(job));
        });
    }

    /// The calling worker waits until the guard is dropped; somebody takes its place.
    pub(super) fn block(self: &Arc<Self>) -> Blocked<Queued> {
        let (blocked, berth) = self.pool.block();
        if let Some(berth) = berth {
            // Without a thread the others go on with one less.
            let _ = self.start(berth);
        }
        blocked
    }

    /// Accepts no more work.
    pub(super) fn close(&self) {
        self.pool.close();
    }

    /// Cancels everything that nobody has begun.
    pub(super) fn cancel_pending(&self) {
        while !self.pool.is_inherited() && self.pool.pending() > 0 {
            match self.pool.drain() {
                Some(job) => job.cancel_drained(self),
                // Between being counted and being queued, or in the hands of a purge.
                None => thread::yield_now(),
            }
        }
    }

    /// Waits for the last worker, unless the caller is one.
    pub(super) fn join(&self) {
        if crew::is_worker_of(self.number) {
            return;
        }
        let _ = self.pool.wait_for_end(|| Ok::<(), Infallible>(()));
        let threads = std::mem::take(&mut *self.threads.lock());
        for handle in threads {
            if self.pool.is_inherited() {
                // The thread does not exist here.
                std::mem::forget(handle);
            } else if handle.thread().id() != thread::current().id() {
                // What comes after a worker's loop are the destructors of its thread's values.
                let _ = handle.join().map_err(std::mem::forget);
            }
        }
    }

    /// An initializer failed: nothing that waits will run, nothing more is accepted.
    pub(super) fn break_down(&self, why: &str) {
        *self.broken.lock() = why.to_owned();
        self.pool.break_down();
        while self.pool.pending() > 0 && !self.pool.is_inherited() {
            match self.pool.drain() {
                Some(job) => job.fail(self, why),
                // As in `cancel_pending`. Left behind, it might be left to nobody.
                None => thread::yield_now(),
            }
        }
    }

    /// The meter of a name.
    pub(super) fn meter(&self, name: &str) -> Arc<Meter> {
        let mut meters = self.meters.lock();
        meters.entry(name.to_owned()).or_default().clone()
    }

    /// Everything that is counted.
    pub(super) fn stats(&self) -> Stats {
        let snapshot = self.pool.snapshot();
        let (done, failed) = (snapshot.total.done, snapshot.total.failed);
        let known = done + failed + snapshot.cancelled + snapshot.pending;
        let meters = self.meters.lock().clone();
        let named = |(name, meter): (String, Arc<Meter>)| (name, TaskStats::of(meter.snapshot()));
        let worker = |(index, snapshot)| WorkerStats::of_thread(self.thread_name(index), &snapshot);
        Stats {
            submitted: snapshot.submitted,
            pending: snapshot.pending,
            running: snapshot.submitted.saturating_sub(known),
            done,
            failed,
            cancelled: snapshot.cancelled,
            workers: snapshot.workers.into_iter().map(worker).collect(),
            queue_wait: Histogram::of(snapshot.total.queue_wait),
            run_time: Histogram::of(snapshot.total.run_time),
            tasks: meters.into_iter().map(named).collect(),
            ..Stats::default()
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        pools().0.lock().remove(&self.number.get());
    }
}

/// The pools of this process, by their numbers.
#[derive(Default)]
struct Pools(Lock<BTreeMap<u32, Weak<Shared>>>);

impl Inherited for Pools {
    fn disown(&self) {
        // It may have been cut in half by the fork, so it is not looked at.
        std::mem::forget(self.0.reset(BTreeMap::new()));
    }
}

fn pools() -> &'static Pools {
    static POOLS: OnceLock<Arc<Pools>> = OnceLock::new();
    POOLS.get_or_init(|| {
        let pools = Arc::default();
        fork::register(&pools);
        pools
    })
}

/// The pool of this number, as long as it has an executor or a thread.
pub(super) fn find(number: PoolNumber) -> Option<Arc<Shared>> {
    let known = pools().0.lock().get(&number.get()).cloned();
    known.and_then(|known| known.upgrade())
}
