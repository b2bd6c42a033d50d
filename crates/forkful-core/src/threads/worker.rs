//! One worker: a place in the crew, the next job, the time in between.

use super::pool::Pool;
use crate::stats::WorkerMeter;
use crate::sys::Stamp;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What the pool knows of a worker.
#[derive(Debug)]
pub struct WorkerRecord {
    pub(super) index: u32,
    pub(super) meter: WorkerMeter,
}

/// What a worker should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum WorkerState {
    /// Look for the next job.
    Look,
    /// End: the pool is shut down and empty, or has a worker too many.
    Leave,
}

/// The right to be one of a pool's workers; given back if it is dropped.
#[derive(Debug)]
pub struct Berth<J: Send> {
    pool: Option<Arc<Pool<J>>>,
    index: u32,
}

impl<J: Send> Berth<J> {
    pub(super) fn new(pool: Arc<Pool<J>>, index: u32) -> Berth<J> {
        Berth {
            pool: Some(pool),
            index,
        }
    }

    /// The worker's number, counted from 0 in the order in which workers were asked for.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Becomes the worker; called on its own thread.
    pub fn board(mut self) -> Option<Worker<J>> {
        let pool = self.pool.take()?;
        let record = Arc::new(WorkerRecord {
            index: self.index,
            meter: WorkerMeter::default(),
        });
        pool.enlist(record.clone());
        Some(Worker {
            pool,
            record,
            clock: Cell::new(Stamp::now()),
            on_board: Cell::new(true),
        })
    }
}

impl<J: Send> Drop for Berth<J> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.alive.fetch_sub(1, Ordering::SeqCst);
            pool.tell_end();
        }
    }
}

/// A worker, on its own thread; shared by whatever runs there, a nested wait included.
#[derive(Debug)]
pub struct Worker<J: Send> {
    pool: Arc<Pool<J>>,
    record: Arc<WorkerRecord>,
    /// The last time that was taken: the end of one job is the beginning of the next.
    clock: Cell<Stamp>,
    on_board: Cell<bool>,
}

impl<J: Send> Worker<J> {
    /// The pool that it works for.
    pub fn pool(&self) -> &Arc<Pool<J>> {
        &self.pool
    }

    /// The next job, if one waits. The caller begins it and says so with [`Pool::began`].
    #[inline]
    pub fn next_job(&self) -> Option<J> {
        // What a forked child inherits is the parent's to run, also when the thread that forked was a worker.
        if self.pool.is_inherited() {
            return None;
        }
        // SYNC(pool.job): acquire
        self.pool.queue.pop()
    }

    /// The time that was taken last.
    #[inline]
    pub fn now(&self) -> Stamp {
        self.clock.get()
    }

    /// Takes the time: what the thread did since the last job ended belongs to no job.
    pub fn look_at_clock(&self) {
        self.clock.set(Stamp::now());
    }

    /// Whether a worker too many is here, and this one should end between two jobs.
    #[inline]
    pub fn is_surplus(&self) -> bool {
        self.pool.has_surplus()
    }

    /// Notes that a job begins that was submitted at `submitted`.
    #[inline]
    pub fn job_begins(&self, submitted: Stamp) -> Stamp {
        let now = self.clock.get();
        self.record
            .meter
            .queue_wait
            .record_owned(now.since(submitted));
        now
    }

    /// Notes that the job ended that began at `began`, and how; returns now.
    #[inline]
    pub fn job_ends(&self, began: Stamp, raised: bool) -> Stamp {
        let now = Stamp::reckoned();
        self.clock.set(now);
        let meter = &self.record.meter;
        meter.run_time.record_owned(now.since(began));
        if raised { &meter.failed } else { &meter.done }.add_owned(1);
        now
    }

    /// There is no job: from now on a submitter counts on this worker. Then let the waiters go,
    /// [`Pool::spin`], [`Pool::sleep`] if that saw nothing, and [`Worker::rise`].
    pub fn rest(&self) {
        self.record.meter.idle_from(self.clock.get());
        self.pool.rest.idle.fetch_add(1, Ordering::SeqCst);
    }

    /// Ends the rest and says what to do now.
    pub fn rise(&self) -> WorkerState {
        if !self.pool.is_inherited() {
            self.pool.rest.idle.fetch_sub(1, Ordering::SeqCst);
        }
        let now = Stamp::now();
        self.clock.set(now);
        self.record.meter.idle_until(now);
        self.should_stay()
    }

    fn should_stay(&self) -> WorkerState {
        let pool = &*self.pool;
        if pool.is_over() || pool.has_surplus() {
            WorkerState::Leave
        } else {
            WorkerState::Look
        }
    }

    /// Leaves the crew. False: this worker is needed after all, and must go on.
    ///
    /// A job pushed, or another worker blocked, between the decision and the end would otherwise be left to nobody.
    pub fn leave(&self) -> bool {
        let pool = &*self.pool;
        if pool.is_inherited() {
            self.on_board.set(false);
            return true;
        }
        if !pool.release_place() {
            return false;
        }
        self.on_board.set(false);
        pool.retire(&self.record);
        true
    }
}

impl<J: Send> Drop for Worker<J> {
    fn drop(&mut self) {
        // A thread that ends by a panic gives its place back as well.
        if self.on_board.get() && !self.pool.is_inherited() {
            self.pool.alive.fetch_sub(1, Ordering::SeqCst);
            self.pool.tell_end();
            self.pool.retire(&self.record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::Terms;
    use super::*;
    use crate::error::Refusal;
    use std::sync::atomic::AtomicU64;

    struct Job(Box<dyn FnOnce() + Send>);

    impl std::fmt::Debug for Job {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Job")
        }
    }

    fn nothing() -> Job {
        Job(Box::new(|| ()))
    }

    /// The loop that every user of the pool writes.
    fn work(berth: Berth<Job>) {
        let worker = berth.board().unwrap();
        loop {
            while let Some(job) = worker.next_job() {
                worker.pool().began();
                let began = worker.job_begins(Stamp::now());
                (job.0)();
                let _ = worker.job_ends(began, false);
                if worker.is_surplus() && worker.leave() {
                    return;
                }
            }
            worker.rest();
            if !worker.pool().spin() {
                worker.pool().sleep();
            }
            if worker.rise() == WorkerState::Leave && worker.leave() {
                return;
            }
        }
    }

    fn submit(pool: &Arc<Pool<Job>>, job: impl FnOnce() + Send + 'static) {
        if let Some(berth) = pool.submit(Job(Box::new(job)), Terms::default()).unwrap() {
            std::thread::spawn(move || work(berth));
        }
    }

    fn settle(what: impl Fn() -> bool) {
        while !what() {
            std::thread::yield_now();
        }
    }

    #[test]
    fn everything_runs_and_the_crew_ends() {
        for limit in [1, 2, 4] {
            let (pool, sum) = (
                Arc::new(Pool::<Job>::new(limit, 0)),
                Arc::new(AtomicU64::new(0)),
            );
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    let (pool, sum) = (pool.clone(), sum.clone());
                    scope.spawn(move || {
                        for n in 0..2000 {
                            let sum = sum.clone();
                            submit(&pool, move || {
                                sum.fetch_add(n, Ordering::Relaxed);
                            });
                        }
                    });
                }
            });
            pool.close();
            settle(|| pool.alive.load(Ordering::SeqCst) == 0);
            assert_eq!(sum.load(Ordering::Relaxed), 3 * 1999 * 1000);
            let snapshot = pool.snapshot();
            assert_eq!(
                (snapshot.submitted, snapshot.pending, snapshot.total.done),
                (6000, 0, 6000)
            );
            assert_eq!(snapshot.total.run_time.count(), 6000);
        }
    }

    #[test]
    fn a_closed_pool_hands_the_job_back() {
        let pool = Arc::new(Pool::<Job>::new(1, 0));
        pool.close();
        let refused = pool.submit(nothing(), Terms::default()).unwrap_err();
        assert_eq!(refused.refusal, Refusal::Closed);
    }

    #[test]
    fn an_idle_worker_is_used_again() {
        // A submitter may come between the moment that a worker gets up and the moment that it begins, and ask for one more.
        let pool = Arc::new(Pool::<Job>::new(64, 0));
        for done in 1..=64 {
            submit(&pool, || ());
            settle(|| pool.snapshot().total.done == done && pool.idle() >= 1);
        }
        assert!(pool.alive.load(Ordering::SeqCst) < 32);
        pool.close();
        settle(|| pool.alive.load(Ordering::SeqCst) == 0);
    }

    #[test]
    fn a_blocked_worker_is_compensated_and_the_surplus_leaves() {
        let pool = Arc::new(Pool::<Job>::new(1, 0));
        let (inner, done) = (pool.clone(), Arc::new(AtomicU64::new(0)));
        let seen = done.clone();
        submit(&pool, move || {
            let child = seen.clone();
            submit(&inner, move || {
                child.store(1, Ordering::SeqCst);
            });
            let (_blocked, berth) = inner.block();
            std::thread::spawn(move || work(berth.expect("the only worker blocks")));
            settle(|| seen.load(Ordering::SeqCst) == 1);
        });
        settle(|| done.load(Ordering::SeqCst) == 1 && pool.alive.load(Ordering::SeqCst) == 1);
        pool.close();
        settle(|| pool.alive.load(Ordering::SeqCst) == 0);
    }

    #[test]
    fn a_full_pool_makes_submitters_wait() {
        let pool = Arc::new(Pool::<Job>::new(1, 2));
        let mut berths = Vec::new();
        let counted = Terms {
            counted: true,
            ..Terms::default()
        };
        for _ in 0..2 {
            assert!(pool.claim_room());
            berths.extend(pool.submit(nothing(), counted).unwrap());
        }
        assert!(!pool.claim_room());
        let waiter = {
            let pool = pool.clone();
            std::thread::spawn(move || pool.wait_for_room::<()>(|| Ok(())))
        };
        let worker = berths.pop().unwrap().board().unwrap();
        worker.next_job().unwrap();
        pool.began();
        waiter.join().unwrap().unwrap();
        assert!(pool.claim_room());
    }

    #[test]
    fn an_inherited_pool_refuses() {
        use crate::fork::Inherited;
        let pool = Arc::new(Pool::<Job>::new(1, 0));
        let berth = pool.submit(nothing(), Terms::default()).unwrap();
        pool.disown();
        let refused = pool.submit(nothing(), Terms::default()).unwrap_err();
        assert_eq!(refused.refusal, Refusal::Inherited);
        assert_eq!(pool.pending(), 0);
        let worker = berth.unwrap().board().unwrap();
        assert!(worker.next_job().is_none());
    }
}
