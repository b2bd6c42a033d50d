//! The pool itself: what is accepted, how many workers there should be, what a shutdown and a fork mean.

use super::blocked::Blocked;
use super::queue::Queue;
use super::sleep::{MOST_SLEEPERS, Sleep};
use super::worker::{Berth, WorkerRecord};
use crate::deadline::Deadline;
use crate::error::{Refusal, SubmitError};
use crate::fork::Inherited;
use crate::stats::{Counter, WorkerSnapshot};
use crate::sys::{Lock, Slept, Spin, Word, spin_until};
use crossbeam_utils::CachePadded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Work is accepted.
const OPEN: u8 = 0;
/// Shut down: what was accepted still runs.
const CLOSED: u8 = 1;
/// Declared broken: what was accepted does not run.
const BROKEN: u8 = 2;
/// Inherited through a fork: nothing runs here.
const INHERITED: u8 = 3;

/// Nobody waits for room.
const ROOMY: u32 = 0;
/// Somebody sleeps until fewer jobs wait.
const CROWDED: u32 = 1;

/// How a submission wants to be treated.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// Smaller runs first.
    pub priority: i32,
    /// It is counted as pending already: [`Pool::claim_room`] said so.
    pub counted: bool,
}

/// What has come in.
#[derive(Debug, Default)]
pub(super) struct Intake {
    /// Jobs counted as pending until they are begun. Wraps.
    counted: AtomicU32,
    pub(super) submitted: Counter,
}

/// Who has nothing to do.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Workers without a job.
    pub(super) idle: AtomicU32,
    /// Idle workers that will see a new job by themselves.
    spinning: AtomicU32,
}

/// A pool of threads for jobs of any kind.
#[derive(Debug)]
pub struct Pool<J> {
    pub(super) queue: Queue<J>,
    pub(super) crew: Sleep,
    gate: AtomicU8,
    /// Workers at most, those that block in a wait for this pool not counted.
    limit: u32,
    /// Jobs that may wait before a submitter should; 0 means any number.
    max_pending: u32,
    room: Word,
    /// What submitters write. Each of these has its own cache lines: with all counts on one, every job moved it to and fro between the
    /// CPUs of submitter and worker, several times.
    pub(super) intake: CachePadded<Intake>,
    /// Jobs begun, those included that were counted and never queued.
    begun: CachePadded<AtomicU32>,
    /// Workers, from the moment that their thread is asked for.
    pub(super) alive: Word,
    /// Workers that wait for a job of this pool.
    pub(super) blocked: AtomicU32,
    pub(super) rest: CachePadded<Rest>,
    /// Entries in the queue whose job somebody else has taken.
    stale: AtomicU32,
    pub(super) cancelled: Counter,
    /// Finished by somebody else than a worker: with a value, with an error.
    pub(super) elsewhere: [Counter; 2],
    pub(super) workers: Lock<Vec<Arc<WorkerRecord>>>,
    pub(super) retired: Lock<WorkerSnapshot>,
    next_index: AtomicU32,
}

impl<J: Send> Pool<J> {
    /// A pool without threads yet. `max_pending` 0 means no bound.
    pub fn new(limit: u32, max_pending: u32) -> Pool<J> {
        Spin::recount_cpus();
        Pool {
            queue: Queue::default(),
            crew: Sleep::default(),
            gate: AtomicU8::new(OPEN),
            limit: limit.clamp(1, MOST_SLEEPERS / 2),
            max_pending,
            room: Word::new(ROOMY),
            intake: CachePadded::default(),
            begun: CachePadded::default(),
            alive: Word::new(0),
            blocked: AtomicU32::new(0),
            rest: CachePadded::default(),
            stale: AtomicU32::new(0),
            cancelled: Counter::default(),
            elsewhere: [Counter::default(), Counter::default()],
            workers: Lock::new(Vec::new()),
            retired: Lock::new(WorkerSnapshot::default()),
            next_index: AtomicU32::new(0),
        }
    }

    /// Why work is refused, if it is.
    #[inline]
    pub fn refusal(&self) -> Option<Refusal> {
        match self.gate.load(Ordering::Acquire) {
            OPEN => None,
            CLOSED => Some(Refusal::Closed),
            BROKEN => Some(Refusal::Broken),
            _ => Some(Refusal::Inherited),
        }
    }

    /// Queues a job. Where the answer holds a berth, the caller starts a thread for it.
    #[inline]
    pub fn submit(
        self: &Arc<Self>,
        job: J,
        terms: Terms,
    ) -> Result<Option<Berth<J>>, SubmitError<J>> {
        if let Some(refusal) = self.refusal() {
            if terms.counted {
                self.began();
            }
            return Err(SubmitError { job, refusal });
        }
        if terms.counted {
            self.intake.submitted.add(1);
        } else {
            self.count();
        }
        // SYNC(pool.job): release
        self.queue.push(job, terms.priority);
        // What waits is counted where somebody sleeps only: looking at what the workers have begun costs as much as all the rest.
        if self.crew.anybody() && self.waiting() > self.rest.spinning.load(Ordering::SeqCst) {
            self.crew.wake_one();
        }
        Ok(self.missing_worker())
    }

    /// Counts a job as submitted and pending.
    #[inline]
    pub(super) fn count(&self) {
        self.intake.submitted.add(1);
        self.intake.counted.fetch_add(1, Ordering::SeqCst);
    }

    /// Jobs that nobody has begun; too many rather than too few, if some are begun meanwhile: the other way a sleeper might not be
    /// woken for the one that is left.
    #[inline]
    fn waiting(&self) -> u32 {
        let begun = self.begun.load(Ordering::SeqCst);
        let counted = self.intake.counted.load(Ordering::SeqCst);
        pending_of(counted, begun)
    }

    /// Workers at most, those that block in a wait for this pool not counted.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// A berth, if more jobs wait than workers are idle and there may be one more.
    #[inline]
    pub(super) fn missing_worker(self: &Arc<Self>) -> Option<Berth<J>> {
        let may_be_more = self.alive.load(Ordering::SeqCst) < self.crew_limit();
        if may_be_more && self.waiting() > self.rest.idle.load(Ordering::SeqCst) {
            return self.reserve();
        }
        None
    }

    fn reserve(self: &Arc<Self>) -> Option<Berth<J>> {
        let mut alive = self.alive.load(Ordering::SeqCst);
        while alive < self.crew_limit() {
            match self.alive.compare_exchange_weak(
                alive,
                alive + 1,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => {
                    return Some(Berth::new(
                        self.clone(),
                        self.next_index.fetch_add(1, Ordering::Relaxed),
                    ));
                }
                Err(now) => alive = now,
            }
        }
        None
    }

    fn crew_limit(&self) -> u32 {
        (self.limit + self.blocked.load(Ordering::SeqCst)).min(MOST_SLEEPERS)
    }

    /// Whether a resting worker has something to get up for.
    pub(super) fn has_news(&self) -> bool {
        !self.queue.is_empty() || self.refusal().is_some()
    }

    /// Looks for news for about 20 us, on behalf of a worker that rests and without any lock in hand; says whether there is some.
    pub fn spin(&self) -> bool {
        self.rest.spinning.fetch_add(1, Ordering::SeqCst);
        let seen = spin_until(|| self.has_news());
        self.rest.spinning.fetch_sub(1, Ordering::SeqCst);
        seen
    }

    /// Sleeps until there is news, after a spin that saw none.
    pub fn sleep(&self) {
        self.crew.enrol();
        if self.has_news() || self.has_surplus() {
            self.crew.withdraw();
        } else {
            self.crew.sleep();
        }
    }

    /// Whether any worker is there, or on its way.
    pub fn has_workers(&self) -> bool {
        self.alive.load(Ordering::SeqCst) > 0
    }

    /// Whether no worker is needed any more.
    pub(super) fn is_over(&self) -> bool {
        self.is_inherited() || (self.refusal().is_some() && self.queue.is_empty())
    }

    /// Takes one worker out of the count, if he may go: the pool is over, or has one too many. He must call this once only.
    pub(super) fn release_place(&self) -> bool {
        let may_go = |alive: u32| {
            (self.is_over() || alive > self.crew_limit()).then(|| alive.saturating_sub(1))
        };
        if self
            .alive
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, may_go)
            .is_err()
        {
            return false;
        }
        // Whoever submitted or blocked a moment ago counted on this worker: look again, and stay if there is still a place.
        if !self.queue.is_empty() && self.pending() > self.idle() {
            let stay = |alive: u32| (alive < self.crew_limit()).then(|| alive + 1);
            if self
                .alive
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, stay)
                .is_ok()
            {
                return false;
            }
        }
        self.tell_end();
        true
    }

    /// A worker is gone, or never came: whoever waits for the end of the pool looks.
    pub(super) fn tell_end(&self) {
        if self.refusal().is_some() && self.alive.load(Ordering::SeqCst) == 0 {
            self.alive.wake(u32::MAX);
        }
    }

    /// Blocks until the last worker of a closed pool has left, those that are only on their way included.
    pub fn wait_for_end<E>(&self, mut interrupt: impl FnMut() -> Result<(), E>) -> Result<(), E> {
        interrupt()?;
        loop {
            let alive = self.alive.load(Ordering::SeqCst);
            if alive == 0 || self.is_inherited() {
                return Ok(());
            }
            if let Slept::Interrupted = self.alive.sleep(alive, Deadline::NEVER) {
                interrupt()?;
            }
        }
    }

    /// Whether there are more workers than there should be: a compensating one is needed no longer.
    #[inline]
    pub(super) fn has_surplus(&self) -> bool {
        self.alive.load(Ordering::SeqCst) > self.crew_limit()
    }

    /// Whether the number of jobs that may wait is bounded.
    #[inline]
    pub fn is_bounded(&self) -> bool {
        self.max_pending != 0
    }

    /// Counts a job that is about to be submitted, if there is room for it; see [`Terms::counted`].
    ///
    /// Looking first and counting later would let several submitters through the same gap.
    pub fn claim_room(&self) -> bool {
        let room = |counted: u32| {
            let pending = pending_of(counted, self.begun.load(Ordering::SeqCst));
            (pending < self.max_pending).then(|| counted.wrapping_add(1))
        };
        self.intake
            .counted
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, room)
            .is_ok()
    }

    /// Gives the place back: the job was not submitted after all.
    pub fn return_room(&self) {
        self.began();
    }

    fn is_full(&self) -> bool {
        self.is_bounded() && self.pending() >= self.max_pending
    }

    /// Blocks until there is room, the pool accepts no more, or `interrupt` says so.
    pub fn wait_for_room<E>(&self, mut interrupt: impl FnMut() -> Result<(), E>) -> Result<(), E> {
        while self.is_full() && self.refusal().is_none() {
            // SYNC(pool.room): acquire
            self.room.store(CROWDED, Ordering::SeqCst);
            if self.is_full()
                && self.refusal().is_none()
                && let Slept::Interrupted = self.room.sleep(CROWDED, Deadline::NEVER)
            {
                interrupt()?;
            }
        }
        Ok(())
    }

    /// A job was begun by whoever popped it.
    #[inline]
    pub fn began(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
        if self.max_pending != 0 {
            self.make_room();
        }
    }

    /// A job was taken while its entry is still queued: begun by a waiter, or `cancelled`.
    ///
    /// True when so many such entries lie there that [`Pool::purge`] is worth its while.
    #[must_use]
    pub fn took_queued(&self, cancelled: bool) -> bool {
        if cancelled {
            self.cancelled.add(1);
        }
        self.began();
        let stale = self.stale.fetch_add(1, Ordering::Relaxed) as usize + 1;
        // A purge looks at every entry: with half of them gone each time, that is two looks for each job.
        stale * 2 >= self.queue.length()
    }

    /// A job was finished by somebody else than a worker.
    pub fn finished_elsewhere(&self, raised: bool) {
        self.elsewhere[usize::from(raised)].add(1);
    }

    /// A worker has counted a job that somebody else had finished.
    pub fn counted_twice(&self, raised: bool) {
        self.elsewhere[usize::from(raised)].take_back(1);
    }

    /// A popped entry turned out to be of a job that somebody else had taken.
    pub fn popped_stale(&self) {
        let _ = self
            .stale
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |stale| {
                stale.checked_sub(1)
            });
    }

    /// Takes the entries of taken jobs out of the queue, to be dropped by the caller.
    pub fn purge(&self, stale: impl Fn(&J) -> bool) -> Vec<J> {
        self.stale.store(0, Ordering::Relaxed);
        let gone = self.queue.purge(stale);
        // A worker that looked meanwhile saw a queue that seemed to hold something, and looks again; a submitter that counted on
        // one to look may have been wrong.
        if !self.queue.is_empty() && self.crew.anybody() {
            self.crew.wake_one();
        }
        gone
    }

    fn make_room(&self) {
        // SYNC(pool.room): release
        if self.room.load(Ordering::SeqCst) == CROWDED
            && self.room.swap(ROOMY, Ordering::SeqCst) == CROWDED
        {
            self.room.wake(u32::MAX);
        }
    }

    /// The calling worker waits for a job of this pool from now on, until the guard is dropped. It may need a replacement.
    pub fn block(self: &Arc<Self>) -> (Blocked<J>, Option<Berth<J>>) {
        self.blocked.fetch_add(1, Ordering::SeqCst);
        (Blocked(self.clone()), self.missing_worker())
    }

    /// Accepts no more; what was accepted runs.
    pub fn close(&self) {
        self.shut(CLOSED);
    }

    /// Accepts no more and runs no more: the caller fails what [`Pool::drain`] hands him.
    pub fn break_down(&self) {
        self.shut(BROKEN);
    }

    fn shut(&self, gate: u8) {
        self.gate.fetch_max(gate, Ordering::SeqCst);
        self.crew.wake_all();
        self.room.store(ROOMY, Ordering::SeqCst);
        self.room.wake(u32::MAX);
    }

    /// Takes one entry out of the queue without beginning its job.
    pub fn drain(&self) -> Option<J> {
        self.queue.pop()
    }

    /// Whether this pool came here through a fork.
    pub fn is_inherited(&self) -> bool {
        self.gate.load(Ordering::Acquire) == INHERITED
    }

    /// Jobs that nobody has begun.
    pub fn pending(&self) -> u32 {
        self.waiting()
    }

    /// Workers without a job.
    pub fn idle(&self) -> u32 {
        self.rest.idle.load(Ordering::SeqCst)
    }
}

/// Of two counts that wrap. What is begun between the two halves of its submission may be one ahead for a moment.
#[inline]
fn pending_of(counted: u32, begun: u32) -> u32 {
    let pending = counted.wrapping_sub(begun);
    if pending > i32::MAX as u32 {
        0
    } else {
        pending
    }
}

impl<J: Send> Inherited for Pool<J> {
    fn disown(&self) {
        // The queue is not touched: an entry may be half written. Its objects are forgotten, not dropped: see `Drop`.
        self.gate.store(INHERITED, Ordering::SeqCst);
        self.crew.reset();
        self.room.store(ROOMY, Ordering::Relaxed);
        self.intake.counted.store(0, Ordering::Relaxed);
        self.begun.store(0, Ordering::Relaxed);
        self.rest.idle.store(0, Ordering::Relaxed);
        self.rest.spinning.store(0, Ordering::Relaxed);
        self.blocked.store(0, Ordering::Relaxed);
        std::mem::forget(self.workers.reset(Vec::new()));
        self.retired.reset(WorkerSnapshot::default());
    }
}

impl<J> Drop for Pool<J> {
    fn drop(&mut self) {
        if *self.gate.get_mut() == INHERITED {
            std::mem::forget(std::mem::take(&mut self.queue));
        }
    }
}
