//! What a pool of processes, its futures and the completer share; a call on its way in.
//!
//! Knows: the engine's pool, the codec, the completer and the callers. Does not know: the executor's face.

use crate::callers::{self, Caller};
use crate::codec::Outgoing;
use crate::completer;
use crate::death;
use crate::error::{Refusal, TaskError};
use crate::home::{self, Callback, Status};
use crate::launch;
use crate::remote::{RemoteJob, RemoteTask, Terms, is_panic};
use crate::share;
use crate::tasks::{self, METERED, Portable};
use crossbeam_queue::SegQueue;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::fork::{self, Inherited};
use forkful_core::procs::parcels::Parcel;
use forkful_core::procs::pool::{NOTE, UP};
use forkful_core::procs::record::{Breakage, Call};
use forkful_core::procs::watcher::{Watch, Watcher};
use forkful_core::procs::{End, Kept, Pool, Settings, Spare};
use forkful_core::stats::Meter;
use forkful_core::sys::{Lock, Spin, in_words};
use forkful_core::wire::Bell;
use std::any::TypeId;
use std::cell::Cell;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// What is put off until no lock is held.
pub(crate) enum Due {
    /// To fire the hooks of a task that is done.
    Hooks(Arc<RemoteTask>),
    /// To say whether a task is tried again.
    Decide(Arc<RemoteTask>, Box<(End, Spare)>),
}

/// What became of a call that was not refused.
pub(crate) enum Taken {
    /// A task.
    Task(Arc<RemoteTask>),
    /// Nothing: its arguments can't be sent.
    Unsent(TaskError),
}

/// A function as the workers know it.
#[derive(Clone, Copy)]
struct Known {
    number: u32,
    name: &'static str,
}

/// The shared part.
pub(crate) struct Shared {
    pub(crate) pool: Arc<Pool<RemoteJob>>,
    pub(crate) number: u64,
    pub(crate) caller: Arc<Caller>,
    bell: Arc<Bell>,
    watcher: Watcher,
    watch: OnceLock<Watch>,
    /// One launch at a time.
    launching: Mutex<()>,
    /// What each worker begins with, and what must live as long.
    start: Vec<u8>,
    _parcel: Option<Box<Parcel>>,
    known: Lock<HashMap<TypeId, Known>>,
    meters: Lock<BTreeMap<String, Arc<Meter>>>,
    max_pending: usize,
    due: SegQueue<(Due, Kept<RemoteJob>)>,
}

thread_local! {
    /// The function that this thread has called last, as it mostly calls one: its pool, its type, how it is known.
    static LAST: Cell<Option<(u64, TypeId, Known)>> = const { Cell::new(None) };
}

impl Shared {
    /// A pool, and its zygote.
    pub(crate) fn new(
        settings: Settings,
        max_pending: usize,
        (start, parcel): (Vec<u8>, Option<Box<Parcel>>),
    ) -> io::Result<Arc<Shared>> {
        register_heirs();
        Spin::recount_cpus();
        let bell = completer::bell()?;
        let watcher = Watcher::current()?;
        let waker = watcher.clone();
        let pool = Pool::new(
            settings,
            bell.clone(),
            Box::new(|kind, words| hear(kind, &words)),
            Box::new(move || waker.wake()),
        )?;
        share::rests_at(pool.link());
        let shared = Arc::new(Shared {
            pool,
            number: home::next_number(),
            caller: Caller::new(),
            bell,
            watcher,
            watch: OnceLock::new(),
            launching: Mutex::new(()),
            start,
            _parcel: parcel,
            known: Lock::new(HashMap::new()),
            meters: Lock::new(BTreeMap::new()),
            max_pending,
            due: SegQueue::new(),
        });
        fork::register(&shared.pool);
        if let Err(error) = shared.launch() {
            // It may be watched by now, and has nobody else to end it.
            shared.pool.close();
            completer::rest();
            return Err(error);
        }
        Ok(shared)
    }

    /// Makes the process that starts workers, if the pool has none.
    fn launch(self: &Arc<Self>) -> io::Result<()> {
        let launching = self.launching.lock();
        let _one = launching.unwrap_or_else(PoisonError::into_inner);
        if !self.pool.needs_launch() {
            return Ok(());
        }
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let link = self.pool.link().fd().ok_or_else(gone)?;
        let bell = self.bell.fd().ok_or_else(gone)?;
        let nursery = launch::launch(link, bell, &self.start)?;
        let watch = match self.watch.get() {
            Some(watch) => watch,
            None => {
                let watch = self.watcher.register(self.pool.clone())?;
                if let Err(error) = completer::register(self) {
                    nursery.quit();
                    nursery.reap();
                    return Err(error);
                }
                self.watch.get_or_init(|| watch)
            }
        };
        self.pool.set_nursery(nursery, watch)
    }

    /// The same for the completer, where the last one was lost.
    pub(crate) fn relaunch(self: &Arc<Self>) {
        if let Err(error) = self.launch() {
            let text = format!(
                "the process that starts workers can't be started: {}",
                in_words(&error)
            );
            self.pool.break_down(Breakage {
                text,
                cause: None,
                death: None,
            });
        }
        self.settle_due();
    }

    /// Why it takes no work.
    pub(crate) fn refusal(&self) -> Option<Refusal> {
        Some(self.in_words(self.pool.refusal()?))
    }

    fn in_words(&self, refusal: forkful_core::error::Refusal) -> Refusal {
        match refusal {
            forkful_core::error::Refusal::Closed => Refusal::ShutDown,
            forkful_core::error::Refusal::Inherited => Refusal::Inherited,
            forkful_core::error::Refusal::Broken => {
                let breakage = self.pool.breakage();
                Refusal::Broken(breakage.map_or_else(String::new, |why| death::in_words(&why)))
            }
        }
    }

    /// How the workers know a function; they are told of it the first time.
    fn known<F: 'static>(&self) -> Result<Known, Refusal> {
        let id = TypeId::of::<F>();
        if let Some((pool, last, known)) = LAST.get()
            && pool == self.number
            && last == id
        {
            return Ok(known);
        }
        let known = self.known.lock().get(&id).copied();
        let known = match known {
            Some(known) => known,
            None => self.define::<F>(id)?,
        };
        LAST.set(Some((self.number, id, known)));
        Ok(known)
    }

    fn define<F: 'static>(&self, id: TypeId) -> Result<Known, Refusal> {
        let Some(entry) = tasks::entry::<F>() else {
            return Err(Refusal::NotRegistered(std::any::type_name::<F>()));
        };
        let mut all = self.known.lock();
        if let Some(known) = all.get(&id) {
            return Ok(*known);
        }
        let Some(number) = self.pool.define(entry.sign.as_bytes()) else {
            let text = "its list of functions is full".to_owned();
            return Err(Refusal::Broken(text));
        };
        let known = Known {
            number,
            name: entry.name,
        };
        all.insert(id, known);
        Ok(known)
    }

    /// Takes a call; with the flag for chunks, the calls with each of many arguments.
    pub(crate) fn accept<F: 'static, A: Portable>(
        self: &Arc<Self>,
        args: &A,
        terms: Option<&Arc<Terms>>,
        flags: u32,
    ) -> Result<Taken, Refusal> {
        if self.pool.is_inherited() {
            return Err(Refusal::Inherited);
        }
        if self.pool.needs_launch() {
            if let Some(refusal) = self.refusal() {
                return Err(refusal);
            }
            self.relaunch();
        }
        let known = self.known::<F>()?;
        if self.max_pending > 0 {
            self.wait_for_room();
        }
        let mut call = Call::default();
        let encoded = Outgoing::of(args).and_then(|outgoing| outgoing.into_call(&mut call));
        if let Err(error) = encoded {
            if let Some(refusal) = self.refusal() {
                return Err(refusal);
            }
            let text = format!("the arguments of {}: {error}", known.name);
            return Ok(Taken::Unsent(TaskError::NotSent(text)));
        }
        let task = RemoteTask::new(self, known.name, terms.cloned());
        let metered = terms.is_some_and(|terms| terms.meter.is_some());
        call.function = known.number;
        call.definitions = known.number + 1;
        call.flags |= flags | if metered { METERED } else { 0 };
        call.limits = terms.map(|terms| terms.limits.clone());
        if let Some(parcel) = &call.parcel {
            let again = task.limits().is_some_and(|limits| limits.retries > 0);
            parcel.close(task.owner(), !again);
        }
        let job = RemoteJob(task.clone());
        let submitted = self.pool.submit(job, call, 0);
        self.settle_due();
        match submitted {
            Ok(()) => Ok(Taken::Task(task)),
            Err(refused) => Err(self.in_words(refused.refusal)),
        }
    }

    fn wait_for_room(&self) {
        let over = || self.pool.refusal().is_some() || self.pool.load().0 < self.max_pending;
        while !over() {
            let soon = Deadline::after(Duration::from_millis(100));
            if self.lead(&over, soon).is_none() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Takes in what has come.
    pub(crate) fn poll(&self) {
        if !self.pool.is_inherited() {
            if !self.pool.drain() {
                self.pool.look_for_strays();
            }
            self.settle_due();
        }
    }

    /// Blocks until `ready`, draining for everybody; see [`home::Home::lead`].
    pub(crate) fn lead(&self, ready: &dyn Fn() -> bool, deadline: Deadline) -> Option<bool> {
        if self.pool.is_inherited() {
            return Some(ready());
        }
        // It is asked after each look at the rings, with no lock held.
        let ready = || {
            self.settle_due();
            ready()
        };
        match self.pool.lead(ready, deadline, || Ok::<(), Infallible>(())) {
            Ok(true) => Some(true),
            Ok(false) => None,
            Err(WaitError::TimedOut | WaitError::Interrupted(_)) => Some(false),
        }
    }

    /// Leaves something to whoever looks next with no lock held: the one who has just drained, or the completer.
    pub(crate) fn put_off(&self, due: Due, kept: Kept<RemoteJob>) {
        self.due.push((due, kept));
        self.bell.ring();
    }

    /// Does what was put off; whether there was something.
    pub(crate) fn settle_due(&self) -> bool {
        let mut found = false;
        while !self.due.is_empty()
            && let Some((due, kept)) = self.due.pop()
        {
            found = true;
            match due {
                Due::Hooks(task) => {
                    // Wakers are the runtime's code.
                    let fired = catch_unwind(AssertUnwindSafe(|| task.fire()));
                    if let Ok(calls) = fired {
                        self.call(task.status(), calls, kept);
                    }
                }
                Due::Decide(task, ended) => self.decide(task, *ended, &kept),
            }
        }
        found
    }

    /// Has a task tried again if it has panicked, and nobody has asked to stop it.
    fn decide(&self, task: Arc<RemoteTask>, (end, spare): (End, Spare), kept: &Kept<RemoteJob>) {
        let attempts = spare.attempts;
        if is_panic(&end) && !task.is_given_up() {
            let job = RemoteJob(task.clone());
            if self.pool.submit(job, spare.call, attempts).is_ok() {
                return;
            }
        }
        self.pool.fail();
        task.complete(end, attempts);
        kept.pool().kick();
    }

    /// Has callbacks called, by the thread for them.
    pub(crate) fn call(&self, status: Status, calls: Vec<Callback>, kept: Kept<RemoteJob>) {
        self.caller.call(status, calls, kept);
    }

    /// What counts tasks of this name.
    pub(crate) fn meter(&self, name: &str) -> Arc<Meter> {
        let mut meters = self.meters.lock();
        if let Some(meter) = meters.get(name) {
            return meter.clone();
        }
        let meter = Arc::<Meter>::default();
        meters.insert(name.to_owned(), meter.clone());
        meter
    }

    /// All of them.
    pub(crate) fn meters(&self) -> BTreeMap<String, Arc<Meter>> {
        self.meters.lock().clone()
    }

    /// Takes no more work.
    pub(crate) fn close(&self) {
        if !self.pool.is_inherited() {
            self.pool.close();
            self.settle_due();
        }
    }

    /// Cancels what no worker has.
    pub(crate) fn cancel_pending(&self) {
        if self.pool.is_inherited() {
            return;
        }
        let (jobs, kept) = self.pool.cancel_pending();
        self.withdraw(jobs, &kept);
    }

    /// Ends it by force.
    pub(crate) fn end(&self) {
        if self.pool.is_inherited() {
            return;
        }
        let (jobs, kept) = self.pool.end();
        self.withdraw(jobs, &kept);
        self.pool.strike(forkful_core::sys::SIGKILL);
        self.settle_due();
    }

    fn withdraw(&self, jobs: Vec<RemoteJob>, kept: &Kept<RemoteJob>) {
        for RemoteJob(task) in jobs {
            task.withdraw();
            if let Ok(calls) = catch_unwind(AssertUnwindSafe(|| task.fire())) {
                self.call(task.status(), calls, kept.pool().keep());
            }
        }
        self.pool.kick();
    }

    /// Waits until the last worker is gone and all callbacks have run. The pool must be closed.
    pub(crate) fn join(&self) {
        if self.pool.is_inherited() || callers::is_inside(&self.pool) || completer::is_here() {
            // It would wait for itself, or has nothing to wait for.
            return;
        }
        while self.lead(&|| self.pool.is_finished(), Deadline::NEVER) != Some(true) {
            // Somebody else drains.
            std::thread::sleep(Duration::from_millis(1));
        }
        self.caller.leave();
        completer::rest();
    }
}

/// What workers and zygotes have to say.
fn hear(kind: u16, words: &[u8]) {
    if kind == NOTE {
        log::warn!(target: "forkful", "{}", String::from_utf8_lossy(words));
    } else if kind != UP {
        log::debug!(target: "forkful", "a worker has said something of kind {kind} that this version doesn't know");
    }
}

/// What a forked child must forget that belongs to no single pool.
struct Heirs;

impl Inherited for Heirs {
    fn disown(&self) {
        completer::after_in_child();
        Watcher::after_in_child();
    }
}

/// Once per process: the list is empty in a forked child.
fn register_heirs() {
    static HEIRS: OnceLock<Arc<Heirs>> = OnceLock::new();
    static REGISTERED: AtomicU32 = AtomicU32::new(u32::MAX);
    let generation = fork::generation();
    if REGISTERED.swap(generation, Ordering::SeqCst) != generation {
        fork::register(HEIRS.get_or_init(|| Arc::new(Heirs)));
    }
}
