//! A map over a pool of threads as Python sees it: the iterator that reads it, and the turns that run it.

use crate::board::{Board, Found, Next, Outcome};
use crate::crew::Shared;
use crate::home::Home;
use crate::{detach, errors, ffi, runner};
use forkful_core::deadline::Deadline;
use forkful_core::error::{Refusal, WaitError};
use forkful_core::sys::{Cover, Lock, Stamp};
use pyo3::exceptions::{PyRuntimeError, PyStopIteration, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyRange, PyTuple, PyWeakrefMethods, PyWeakrefReference};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// After so long a turn gives way to what is to run before it: smaller priorities.
const TURN_NANOS: u64 = 1_000_000;
/// Items between two looks at the clock, where they are quick: a look costs as much as half of such an item.
const STRIDE: u32 = 16;
/// Items that took longer than this since the last look are looked at one by one.
const QUICK_NANOS: u64 = 20_000;
/// Items taken, or results read, between two looks at signals and at other threads.
const BREATH: usize = 1024;

/// One map, and the pool whose threads run it.
pub struct Work {
    board: Board,
    shared: Arc<Shared>,
    spread: bool,
    /// What the pool has counted of calls to cancel everything; see [`Shared::cancels`].
    cancels: u32,
}

thread_local! {
    /// The maps whose items the calling thread is in.
    static INSIDE: RefCell<Vec<Arc<Work>>> = const { RefCell::new(Vec::new()) };
}

/// Says that the calling thread is in an item, until dropped.
struct Inside;

impl Inside {
    fn of(work: &Arc<Work>) -> Inside {
        INSIDE.with_borrow_mut(|inside| inside.push(work.clone()));
        Inside
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        drop(INSIDE.with_borrow_mut(Vec::pop));
    }
}

/// A thread of this pool is about to block in an item: what is left of its map needs a turn that another thread can take.
pub fn stand_in(py: Python<'_>, number: u32) {
    let works = INSIDE.with_borrow(|inside| {
        let own = inside.iter().filter(|work| work.shared.number == number);
        own.cloned().collect::<Vec<_>>()
    });
    for work in works {
        if !work.is_stopped() && work.board.add_turn_beside() {
            work.queue_again(py, true);
        }
    }
}

impl Work {
    /// Whether nothing more is to begin: cancelled, broken, or the parent's.
    #[inline]
    fn is_stopped(&self) -> bool {
        let refusal = self.shared.pool.refusal();
        matches!(refusal, Some(Refusal::Broken | Refusal::Inherited))
            || self.shared.cancels() != self.cancels
    }

    /// Takes items in, and has as many threads at it as there may be.
    fn push(
        self: &Arc<Self>,
        py: Python<'_>,
        items: impl ExactSizeIterator<Item = Py<PyAny>>,
    ) -> PyResult<()> {
        self.shared.check_open(py)?;
        self.board.push(items);
        while self.board.add_turn() {
            // Dropped where it is refused, it says so itself.
            let turn = Bound::new(py, Turn::new(self.clone()))?;
            self.shared.submit_turn(&turn)?;
        }
        Ok(())
    }

    /// Queues a turn that was counted, before what was submitted later, for this thread or `for_another`; the pool may be closed, as
    /// the items were accepted before.
    fn queue_again(self: &Arc<Self>, py: Python<'_>, for_another: bool) {
        let queued = Bound::new(py, Turn::new(self.clone()))
            .and_then(|turn| self.shared.queue_turn_again(&turn, for_another));
        if let Err(error) = queued {
            error.write_unraisable(py, None);
        }
    }

    #[inline]
    fn call(&self, py: Python<'_>, func: &Py<PyAny>, item: Py<PyAny>) -> Outcome {
        let func = func.bind(py);
        let called = if self.spread {
            let item = item.into_bound(py).cast_into::<PyTuple>();
            item.map_err(PyErr::from)
                .and_then(|item| ffi::call(func, &item, None))
        } else {
            func.call1((item,))
        };
        match called {
            Ok(value) => Ok(value.unbind()),
            Err(error) => Err(error.into_value(py).into_any()),
        }
    }

    /// Runs items for about a millisecond; whether one of them raised.
    fn run(self: &Arc<Self>, py: Python<'_>) -> bool {
        let (func, mut next, ring) = self.board.begin_turn(py, self.is_stopped());
        if ring {
            self.board.ring();
        }
        let Some(func) = func else {
            return false;
        };
        let _inside = Inside::of(self);
        let begun = Stamp::now();
        let (mut last, mut stride, mut since, mut failed) = (begun, 1, 0, false);
        while let Next::Item(place, item) = next {
            let outcome = self.call(py, &func, item);
            failed |= outcome.is_err();
            let mut due = false;
            since += 1;
            if since >= stride {
                let now = Stamp::now();
                stride = if now.since(last) < QUICK_NANOS {
                    (stride * 2).min(STRIDE)
                } else {
                    1
                };
                (last, since) = (now, 0);
                due = now.since(begun) > TURN_NANOS;
            }
            let stop = self.is_stopped();
            if stop && self.shared.pool.is_inherited() {
                // The item has forked, and this is the child: the board's lock may be another thread's.
                return failed;
            }
            let (then, left) = self.board.finish(place, outcome, due, stop);
            if left.ring {
                if matches!(then, Next::Item(..)) {
                    self.board.ring();
                } else {
                    runner::ring_late(self.board.bell());
                }
            }
            next = then;
        }
        if matches!(next, Next::Again) {
            self.queue_again(py, false);
        }
        failed
    }

    /// Runs an item in the reader's thread, one of the pool's own, if what it waits for can only come of that.
    fn run_here(self: &Arc<Self>, py: Python<'_>) -> bool {
        if self.is_stopped() {
            return false;
        }
        let mut ran = false;
        let run = || {
            if let Some((func, place, item)) = self.board.claim_here(py) {
                let _inside = Inside::of(self);
                self.board.finish_here(place, self.call(py, &func, item));
                ran = true;
            }
        };
        if let Err(error) = runner::nested(py, self.shared.number, run) {
            error.write_unraisable(py, None);
        }
        ran
    }

    fn traverse(self: &Arc<Self>, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        // What others hold as well lives as long as they do.
        if Arc::strong_count(self) == 1 {
            self.board.traverse(visit)?;
        }
        Ok(())
    }
}

/// The task of a thread that takes its turn at a map.
#[pyclass(frozen, module = "forkful._engine")]
pub struct Turn {
    work: Arc<Work>,
    begun: AtomicBool,
}

impl Turn {
    fn new(work: Arc<Work>) -> Turn {
        Turn {
            work,
            begun: AtomicBool::new(false),
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // In a forked child the lock may be another thread's.
        if !self.begun.load(Ordering::Relaxed) && !self.work.shared.pool.is_inherited() {
            self.work.board.lose_turn();
        }
    }
}

#[pymethods]
impl Turn {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        if !self.begun.swap(true, Ordering::Relaxed) && self.work.run(py) {
            // Counted, and seen by nobody: each item's own error is raised by the iterator.
            return Err(PyRuntimeError::new_err("an item of a map raised"));
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.work.traverse(&visit)
    }
}

/// Where more of a lazy map's input comes from.
struct Source {
    items: Py<PyIterator>,
    /// A forgotten executor is not kept alive by an iterator that nobody finishes.
    executor: Py<PyWeakrefReference>,
}

/// The results of a map, for one reader at a time.
#[pyclass(frozen, module = "forkful._engine")]
pub struct ThreadMap {
    work: Arc<Work>,
    deadline: Deadline,
    source: Lock<Option<Source>>,
    lazy: bool,
    started: AtomicBool,
    over: AtomicBool,
    reading: AtomicBool,
}

/// How a map is wanted.
pub struct Wish<'py> {
    pub executor: Bound<'py, PyAny>,
    pub func: Bound<'py, PyAny>,
    pub items: Bound<'py, PyAny>,
    /// Each item is a tuple of arguments.
    pub spread: bool,
    pub ordered: bool,
    pub deadline: Deadline,
    pub buffersize: Option<usize>,
}

impl ThreadMap {
    /// Begins a map: takes the input, or as much as there may be of it, while its first items run.
    pub fn begin<'py>(shared: &Arc<Shared>, wish: Wish<'py>) -> PyResult<Bound<'py, ThreadMap>> {
        let py = wish.func.py();
        let work = Arc::new(Work {
            board: Board::new(wish.func.unbind(), wish.ordered, shared.pool.limit()),
            shared: shared.clone(),
            spread: wish.spread,
            cancels: shared.cancels(),
        });
        let taken = match wish.buffersize {
            None => take_all(&work, &wish.items).map(|()| None),
            Some(most) => take_some(&work, &wish.items, most, &wish.executor).map(Some),
        };
        // What was taken before an input failed runs, as with any other executor; nobody will read it.
        let source = taken.inspect_err(|_| work.board.leave(false))?;
        Bound::new(
            py,
            ThreadMap {
                work,
                deadline: wish.deadline,
                lazy: source.is_some(),
                source: Lock::new(source),
                started: AtomicBool::new(false),
                over: AtomicBool::new(false),
                reading: AtomicBool::new(false),
            },
        )
    }

    /// Takes one more item of a lazy map's input.
    fn refill(&self, py: Python<'_>) -> PyResult<()> {
        let found = self
            .source
            .lock()
            .as_ref()
            .map(|source| (source.items.clone_ref(py), source.executor.clone_ref(py)));
        let Some((items, executor)) = found else {
            return Ok(());
        };
        let Some(_alive) = executor.bind(py).upgrade() else {
            return Ok(());
        };
        if let Some(item) = items.into_bound(py).next() {
            self.work.push(py, std::iter::once(item?.unbind()))?;
        }
        Ok(())
    }

    fn advance(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        let work = &self.work;
        if self.over.load(Ordering::Acquire) {
            return Ok(None);
        }
        self.started.store(true, Ordering::Release);
        if self.lazy && work.board.is_owing() {
            self.refill(py)?;
        }
        loop {
            let (seen, here) = match work.board.take() {
                Found::Outcome(place, Ok(value)) => {
                    if place % BREATH == BREATH - 1 {
                        // Who reads may be a loop that is not Python's own, and as endless as the input.
                        runner::breathe(py)?;
                    }
                    return Ok(Some(value));
                }
                Found::Outcome(place, Err(error)) => {
                    let error = error.into_bound(py);
                    add_note(&error, place);
                    return Err(as_raised(error));
                }
                Found::Over => return Ok(None),
                Found::Stranded => return Err(work.shared.why_cancelled(py)),
                Found::Later(seen, here) => (seen, here),
            };
            if self.deadline.passed() {
                return Err(errors::timed_out(py));
            }
            if here && self.deadline.is_never() && work.run_here(py) {
                continue;
            }
            let _aside = work.shared.step_aside(py);
            let waited = py.detach(|| work.board.wait(seen, self.deadline, detach::check_signals));
            match waited {
                Ok(()) | Err(WaitError::TimedOut) => {}
                Err(WaitError::Interrupted(error)) => return Err(error),
            }
        }
    }

    /// Nobody reads any more; what has not begun is not run if somebody had begun to read.
    fn end(&self) {
        if self.over.swap(true, Ordering::AcqRel) || self.work.shared.pool.is_inherited() {
            return;
        }
        self.work.board.leave(self.started.load(Ordering::Acquire));
        let source = self.source.lock().take();
        drop(source);
    }
}

/// All of an input, at once. What can't block is taken before the first turn; of the rest each item may begin before the next.
fn take_all(work: &Arc<Work>, items: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = items.py();
    let ready = items.is_exact_instance_of::<PyList>()
        || items.is_exact_instance_of::<PyTuple>()
        || items.is_exact_instance_of::<PyRange>();
    if ready {
        let items = items
            .try_iter()?
            .map(|item| item.map(Bound::unbind))
            .collect::<PyResult<Vec<_>>>()?;
        if !items.is_empty() {
            work.push(py, items.into_iter())?;
        }
        return Ok(());
    }
    for (taken, item) in items.try_iter()?.enumerate() {
        work.push(py, std::iter::once(item?.unbind()))?;
        if taken % BREATH == BREATH - 1 {
            runner::breathe(py)?;
        }
    }
    Ok(())
}

/// The first items of an input that is read as results are taken.
fn take_some(
    work: &Arc<Work>,
    items: &Bound<'_, PyAny>,
    most: usize,
    executor: &Bound<'_, PyAny>,
) -> PyResult<Source> {
    let mut items = items.try_iter()?;
    for _ in 0..most {
        let Some(item) = items.next() else {
            break;
        };
        work.push(items.py(), std::iter::once(item?.unbind()))?;
    }
    Ok(Source {
        items: items.unbind(),
        executor: PyWeakrefReference::new(executor)?.unbind(),
    })
}

/// What a generator would raise: StopIteration would end the iterator as if this had been the last item.
fn as_raised(error: Bound<'_, PyAny>) -> PyErr {
    let py = error.py();
    if !error.is_instance_of::<PyStopIteration>() {
        return PyErr::from_value(error);
    }
    let raised = PyRuntimeError::new_err("an item of map raised StopIteration");
    raised.set_cause(py, Some(PyErr::from_value(error)));
    raised
}

/// `error.add_note`, on every version; an exception that takes no attributes goes without.
fn add_note(error: &Bound<'_, PyAny>, place: usize) {
    let name = crate::once::interned!(error.py(), "__notes__");
    let text = format!("item {place} of map");
    let notes = match error.getattr(name) {
        Ok(notes) => match notes.cast_into::<PyList>() {
            Ok(notes) => notes.iter().collect(),
            Err(_) => Vec::new(),
        },
        Err(_) => Vec::new(),
    };
    let noted = PyList::new(error.py(), notes).and_then(|notes| {
        notes.append(text)?;
        error.setattr(name, notes)
    });
    // The error itself is what its reader needs.
    drop(noted);
}

impl Drop for ThreadMap {
    fn drop(&mut self) {
        self.end();
    }
}

#[pymethods]
impl ThreadMap {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        // Asked first, as in a forked child nothing else can be relied on.
        if self.work.shared.pool.is_inherited() && !self.over.swap(true, Ordering::AcqRel) {
            return Err(errors::inherited_map(py));
        }
        if self.reading.swap(true, Ordering::Acquire) {
            return Err(PyValueError::new_err(
                "this map is being read by another thread just now",
            ));
        }
        let _cover = Cover::enter();
        let found = self.advance(py);
        if !matches!(found, Ok(Some(_))) {
            self.end();
        }
        self.reading.store(false, Ordering::Release);
        found
    }

    /// Ends the iterator; what has not begun is not run, if anything was read.
    fn close(&self) {
        self.end();
    }

    /// The same, whether or not anything was read here.
    fn give_up(&self) {
        self.started.store(true, Ordering::Release);
        self.end();
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Some(source) = self.source.try_lock()
            && let Some(source) = &*source
        {
            visit.call(&source.items)?;
            visit.call(&source.executor)?;
        }
        self.work.traverse(&visit)
    }

    fn __clear__(&self) {
        self.end();
    }
}
