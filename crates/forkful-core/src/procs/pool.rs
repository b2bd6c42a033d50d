//! The pool itself: what it is made of, and the table that its one lock guards.

use super::arena::Arena;
use super::backlog::Backlog;
use super::births::Order;
use super::flow::Flow;
use super::hands::Hands;
use super::helm::Helm;
use super::nursery::Nursery;
use super::parcels::Delivery;
use super::policy::OnCrash;
use super::record::{Breakage, Job, Record};
use super::roster::Roster;
use super::starts::Vigil;
use super::watcher::Watcher;
use crate::error::Refusal;
use crate::shm::Area;
use crate::stats::Counter;
use crate::sys::{Lock, MemoryGroups, Stamp, code_of};
use crate::wire::{Bell, Cursor, Library, Link, Look, OutcomeReader, PageSnapshot, Shape};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// What a pool is made with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Seats.
    pub workers: u32,
    /// What a crash means.
    pub on_crash: OnCrash,
    /// Resident bytes at which a worker is killed.
    pub memory_limit: Option<u64>,
    /// How often that is looked at.
    pub sampling: Duration,
    /// How long a worker that leaves before the pool ends may keep its seat from tasks that wait; `None` if none does.
    pub patience: Option<Duration>,
    /// Bytes that segments may take at a time; `None`: as this machine's memory allows.
    pub arena: Option<u64>,
}

/// Where an outcome goes that is no task's: what a runner wants to say.
pub type Said = Box<dyn Fn(u16, Vec<u8>) + Send + Sync>;

/// The table: everything that the one lock guards.
pub(super) struct Table<J> {
    pub backlog: Backlog<Record<J>>,
    /// By slot.
    pub inflight: Vec<Option<Record<J>>>,
    pub count: usize,
    /// Those of them that came with a segment.
    pub heavy: u32,
    /// Somebody copies a task's cargo: nothing else enters the ring meanwhile, as the order counts.
    pub stowing: bool,
    /// How many have left the ring.
    pub ends: u64,
    /// That number, and how often a segment had become free, when there was no memory for a cargo; and when that was.
    pub starved: Option<(u64, u64, Stamp)>,
    pub cursor: Cursor,
    pub area: Area,
    pub flow: Flow,
    pub roster: Roster,
    /// Cancelled entries that the backlog still holds.
    pub dead: usize,
    pub broken: Option<Arc<Breakage>>,
    /// Since when.
    pub broken_at: Option<Stamp>,
    pub closed: bool,
    /// Whether its owner has ended it by force: nothing is run again.
    pub ended: bool,
    /// What every worker was sent then, those included whose birth has not been heard of.
    pub strike: Option<i32>,
    /// Since when.
    pub struck_at: Option<Stamp>,
    pub finished: bool,
    /// Since when the nursery has been asked to leave.
    pub quitting: Option<Stamp>,
    /// Where new workers are made.
    pub nursery: Option<Arc<Nursery>>,
    /// That one, and those that have retired and wait for their last workers.
    pub nurseries: Vec<Arc<Nursery>>,
    /// What was seen of the first, while it does not answer.
    pub vigil: Vigil,
    /// Nobody is asked for before this moment, if it is not 0.
    pub paused_until: u64,
    /// Of the tasks in the ring.
    pub timeouts: Timeouts,
    /// A task whose slot names a worker that, at the last look, did not say that it runs it.
    pub doubtful: Option<(u64, u32)>,
}

impl<J> Table<J> {
    fn new(slots: u32, area: u64, workers: u32) -> Table<J> {
        Table {
            backlog: Backlog::default(),
            inflight: Vec::new(),
            count: 0,
            heavy: 0,
            stowing: false,
            ends: 0,
            starved: None,
            cursor: Cursor::new(slots),
            area: Area::new(area),
            flow: Flow::default(),
            roster: Roster::new(workers),
            dead: 0,
            broken: None,
            broken_at: None,
            closed: false,
            ended: false,
            strike: None,
            struck_at: None,
            finished: false,
            quitting: None,
            nursery: None,
            nurseries: Vec::new(),
            vigil: Vigil::default(),
            paused_until: 0,
            timeouts: Timeouts::default(),
            doubtful: None,
        }
    }
}

/// How many tasks have which timeout.
#[derive(Debug, Default)]
pub(super) struct Timeouts(BTreeMap<Duration, u32>);

impl Timeouts {
    /// One more has it.
    pub fn add(&mut self, timeout: Option<Duration>) {
        if let Some(timeout) = timeout {
            *self.0.entry(timeout).or_insert(0) += 1;
        }
    }

    /// One less.
    pub fn remove(&mut self, timeout: Option<Duration>) {
        if let Some(timeout) = timeout
            && let Entry::Occupied(mut count) = self.0.entry(timeout)
        {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// The smallest.
    pub fn least(&self) -> Option<Duration> {
        self.0.keys().next().copied()
    }
}

/// What is said that no worker said: words for the user.
pub const NOTE: u16 = u16::MAX;
/// The same: the nursery is up, and what was put off until then may be done.
pub const UP: u16 = u16::MAX - 1;

/// A pool of processes.
pub struct Pool<J: Job> {
    pub(super) link: Arc<Link>,
    pub(super) bell: Arc<Bell>,
    pub(super) settings: Settings,
    pub(super) memory: MemoryGroups,
    pub(super) table: Lock<Table<J>>,
    pub(super) readers: Lock<Vec<OutcomeReader>>,
    pub(super) library: Lock<Library>,
    pub(super) dumps: Lock<Vec<Option<Arc<OwnedFd>>>>,
    pub(super) arena: Arc<Arena>,
    pub(super) again: AtomicBool,
    pub(super) helm: Helm,
    /// Waiters that somebody else must drain for, and futures with callbacks.
    pub(super) interest: AtomicU32,
    pub(super) inherited: AtomicBool,
    /// What is out of the table and not settled.
    pub(super) hands: Hands,
    /// A nursery is wanted, and only the bindings can make one.
    pub(super) orphaned: AtomicBool,
    pub(super) nurseries_made: AtomicU32,
    /// Workers that only the bindings can send for.
    pub(super) asked: Lock<Vec<Order>>,
    pub(super) has_asked: AtomicBool,
    /// When the slots were last looked at for tasks that are nobody's, and whether the watcher has to settle some.
    pub(super) looked: AtomicU64,
    pub(super) strays: AtomicBool,
    /// Workers that gave garbage, to be killed outside of the drain.
    pub(super) suspects: Lock<Vec<u32>>,
    /// Numbers of workers that are gone.
    pub(super) past: Lock<PageSnapshot>,
    pub(super) submitted: Counter,
    /// Those of them whose arguments are no burden when they lie there for a while; and how many there were when the background
    /// last looked.
    pub(super) light: Counter,
    pub(super) looked_at: AtomicU64,
    /// Until when it leaves them to whoever submits, by [`Stamp`].
    pub(super) fed_until: AtomicU64,
    pub(super) done: Counter,
    pub(super) failed: Counter,
    pub(super) cancelled: Counter,
    pub(super) deaths: Counter,
    pub(super) retried: Counter,
    /// The right of its workers to bring descriptors, once one has asked for it.
    pub(super) delivery: Lock<Option<Arc<Delivery>>>,
    /// What a worker said that could not begin.
    pub(super) failure: Lock<Option<(Vec<u8>, Stamp)>>,
    pub(super) oom_seen: AtomicU64,
    pub(super) said: Said,
    pub(super) wake_watcher: Arc<dyn Fn() + Send + Sync>,
    /// Until when the watcher sleeps at most, for this pool.
    pub(super) armed_until: AtomicU64,
}

impl<J: Job> std::fmt::Debug for Pool<J> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// What segments may take: half of what is free now, and half of what this program may have.
fn cap(memory: &MemoryGroups) -> u64 {
    let total = crate::sys::total_memory();
    let available = crate::sys::available_memory().unwrap_or(total / 2);
    let limited = memory.limit().map(|limit| limit / 2);
    (available / 2).min(limited.unwrap_or(u64::MAX))
}

/// Bytes that the library and the area have at least.
const LEAST_PART: u64 = 64 << 10;

/// What the ring and the area of one pool measure, as far as this process may share so much. With `memory` bytes for the whole
/// program, what lies ready for workers must not take all of them.
pub fn shape(workers: u32, memory: Option<u64>) -> Shape {
    let total = crate::sys::total_memory().max(1 << 30);
    // Sparse: only what is used costs memory.
    let mut area = total.min(64 << 30) & !0xffff;
    let mut library = 1 << 30;
    let mut arena = area;
    let limits = [
        memory,
        crate::sys::file_size_limit(),
        crate::sys::address_space_limit().map(|limit| limit / 4),
    ];
    let least = Shape {
        workers,
        slots: 4096,
        ring: 256 << 10,
        library: LEAST_PART,
        area: LEAST_PART,
        arena: LEAST_PART,
    };
    for limit in limits.into_iter().flatten() {
        let rest = limit.saturating_sub(least.total().unwrap_or(0));
        area = area.min((rest / 2) & !0xffff).max(LEAST_PART);
        arena = arena.min((rest / 4) & !0xffff).max(LEAST_PART);
        library = library.min((rest / 8) & !0xffff).max(LEAST_PART);
    }
    Shape {
        library,
        area,
        arena,
        ..least
    }
}

impl<J: Job> Pool<J> {
    /// A pool without workers, and without a nursery to make them.
    pub fn new(
        settings: Settings,
        bell: Arc<Bell>,
        said: Said,
        wake_watcher: Box<dyn Fn() + Send + Sync>,
    ) -> io::Result<Arc<Pool<J>>> {
        let memory = MemoryGroups::find();
        let shape = shape(settings.workers, memory.limit());
        let link = Arc::new(Link::create(shape)?);
        let wake_watcher: Arc<dyn Fn() + Send + Sync> = wake_watcher.into();
        let arena = Arena::new(
            link.clone(),
            settings.arena.unwrap_or_else(|| cap(&memory)),
            {
                let bell = bell.clone();
                Box::new(move || bell.kick())
            },
            {
                let wake_watcher = wake_watcher.clone();
                Box::new(move || wake_watcher())
            },
        );
        let readers = (0..settings.workers)
            .map(|worker| link.reader(worker))
            .collect();
        Ok(Arc::new(Pool {
            table: Lock::new({
                let mut table = Table::new(shape.slots, shape.area, settings.workers);
                if let Some(limit) = memory.limit() {
                    table.area.keep_warm(limit / 16);
                }
                table
            }),
            readers: Lock::new(readers),
            library: Lock::new(link.library()),
            arena,
            memory,
            dumps: Lock::new((0..settings.workers).map(|_| None).collect()),
            again: AtomicBool::new(false),
            helm: Helm::default(),
            interest: AtomicU32::new(0),
            inherited: AtomicBool::new(false),
            hands: Hands::default(),
            orphaned: AtomicBool::new(true),
            nurseries_made: AtomicU32::new(0),
            asked: Lock::new(Vec::new()),
            has_asked: AtomicBool::new(false),
            looked: AtomicU64::new(0),
            strays: AtomicBool::new(false),
            suspects: Lock::new(Vec::new()),
            past: Lock::new(PageSnapshot::default()),
            submitted: Counter::default(),
            light: Counter::default(),
            looked_at: AtomicU64::new(0),
            fed_until: AtomicU64::new(0),
            done: Counter::default(),
            failed: Counter::default(),
            cancelled: Counter::default(),
            deaths: Counter::default(),
            retried: Counter::default(),
            delivery: Lock::new(None),
            failure: Lock::new(None),
            oom_seen: AtomicU64::new(crate::sys::oom_kills().unwrap_or(0)),
            said,
            wake_watcher,
            armed_until: AtomicU64::new(u64::MAX),
            link,
            bell,
            settings,
        }))
    }

    /// What it shares with its workers.
    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Tells the workers something once; its number in the library.
    pub fn define(&self, bytes: &[u8]) -> Option<u32> {
        self.library.lock().append(bytes)
    }

    /// How many entries the library has.
    pub fn definitions(&self) -> u32 {
        self.library.lock().count()
    }

    /// Why a submission would be refused now.
    pub fn refusal(&self) -> Option<Refusal> {
        let table = self.table.lock();
        match () {
            () if self.inherited.load(Ordering::Relaxed) => Some(Refusal::Inherited),
            () if table.broken.is_some() => Some(Refusal::Broken),
            () if table.closed => Some(Refusal::Closed),
            () => None,
        }
    }

    /// Why it is broken.
    pub fn breakage(&self) -> Option<Arc<Breakage>> {
        self.table.lock().broken.clone()
    }

    /// Whether its last worker has gone after `close`, and every task's owner knows of its end: nothing comes from it any more.
    pub fn is_finished(&self) -> bool {
        self.table.lock().finished
    }

    /// Whether this process was forked since it was made.
    pub fn is_inherited(&self) -> bool {
        self.inherited.load(Ordering::Relaxed)
    }

    /// Whether a worker has this task. `place` is what [`Job::placed`] was told.
    pub fn is_taken(&self, place: u64) -> bool {
        let table = self.table.lock();
        match place.checked_sub(1) {
            Some(position) if self.is_inflight(&table, position) => {
                matches!(self.link.tasks().look(position), Look::Taken(_))
            }
            _ => false,
        }
    }

    pub(super) fn index(&self, position: u64) -> usize {
        (position & u64::from(self.link.shape().slots - 1)) as usize
    }

    pub(super) fn is_inflight(&self, table: &Table<J>, position: u64) -> bool {
        let record = table
            .inflight
            .get(self.index(position))
            .and_then(Option::as_ref);
        record.is_some_and(|record| record.position == position)
    }

    /// Takes a record out of the ring for good, and gives back what it held there.
    pub(super) fn take(&self, table: &mut Table<J>, position: u64) -> Option<Record<J>> {
        let mut record = self.take_stowed(table, position)?;
        if let Some(large) = &mut record.large
            && let Some(offset) = large.loan.take()
        {
            self.arena.withdraw(offset, Some(position));
        }
        Some(record)
    }

    /// The same, but its segment stays with it.
    pub(super) fn take_stowed(&self, table: &mut Table<J>, position: u64) -> Option<Record<J>> {
        if !self.is_inflight(table, position) {
            return None;
        }
        let index = self.index(position);
        let mut record = table.inflight[index].take()?;
        table.count -= 1;
        table.ends += 1;
        table.heavy -= u32::from(record.loan().is_some());
        table.timeouts.remove(record.timeout());
        self.link.tasks().free(position);
        if let Some(large) = &mut record.large
            && let Some(extent) = large.extent.take()
            && let Some(cold) = table.area.free(extent)
        {
            self.link.discard(cold.offset, cold.len);
        }
        Some(record)
    }

    /// The segments.
    pub fn arena(&self) -> &Arc<Arena> {
        &self.arena
    }

    /// Hands words of the nursery on.
    pub(super) fn say(&self, text: String) {
        (self.said)(NOTE, text.into_bytes());
    }

    /// Says where descriptors are taken, as a worker has some to bring.
    pub(super) fn open_hatch(&self) {
        let open = || {
            let name = Watcher::current()?.open_hatch()?;
            let mut delivery = self.delivery.lock();
            let known = match &*delivery {
                Some(known) => known.clone(),
                None => delivery.insert(Arc::new(Delivery::new()?)).clone(),
            };
            Ok((name, known.key))
        };
        let opened: io::Result<_> = open();
        self.link
            .answer_hatch(opened.map_err(|error| code_of(&error).unwrap_or(0)));
    }

    /// In a forked child: whatever was locked is free, and what it guarded is left alone, as it may be half written.
    pub(super) fn disown_locks(&self) {
        let slots = self.link.shape().slots;
        std::mem::forget(self.table.reset(Table::new(slots, 0, 0)));
        std::mem::forget(self.readers.reset(Vec::new()));
        std::mem::forget(self.dumps.reset(Vec::new()));
        std::mem::forget(self.asked.reset(Vec::new()));
        self.has_asked.store(false, Ordering::SeqCst);
        std::mem::forget(self.suspects.reset(Vec::new()));
        std::mem::forget(self.delivery.reset(None));
        let library = self.link.library();
        std::mem::forget(self.library.reset(library));
        self.past.reset(PageSnapshot::default());
        self.helm.reset();
    }

    /// Wakes whoever waits for this pool: something has changed that is no outcome.
    pub fn kick(&self) {
        self.link.bells().kick();
        self.bell.kick();
    }

    /// Whether there is no nursery, and a use for one.
    pub fn needs_launch(&self) -> bool {
        self.orphaned.load(Ordering::SeqCst) && {
            let table = self.table.lock();
            table.nursery.is_none() && table.broken.is_none() && !table.finished
        }
    }
}
