//! What this process holds of shared objects: their memory, the objects that were made of it, and who was given them.
//!
//! An object is a sealed memfd with a token. A process has one [`Hold`] of it at most, however often it arrives; handles, tasks that
//! wait and, in a worker, the list below keep it. Whoever gives one to its workers notes that it holds it, in memory that they see
//! ([`Holds`]), and lays the memfd out for them; a worker keeps what it was given as long as that note stands, so that a task which
//! brings it again costs a look into the list. So the end of the first holder's hold travels from each process to its workers, and a
//! process that is killed takes its workers along.

use crate::buffers::placed::Placed;
use crate::sealed::{File, checked, fetch, unfetched};
use crate::{detach, errands, kernel, labour};
use forkful_core::fork;
use forkful_core::procs::parcels::{Parcel, Standing};
use forkful_core::sys::{Lock, Mapping};
use forkful_core::wire::{Holds, HoldsView, Label, Mark, Token};
use forkful_core::worker::parcel;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// What a task names a shared object by: where to ask for it, and the giver's note.
pub const TICKET: usize = 32 + Mark::LEN;

/// This process's note for its workers, and what they fetch.
struct Given {
    generation: u32,
    standing: Standing,
    holds: Arc<Holds>,
    mark: Mark,
}

/// This process's hold of an object.
pub struct Hold {
    pub token: Token,
    /// It needs names of the main module, which a pickler sends along.
    pub names: bool,
    /// None in a forked worker that has let it go and can have it again.
    file: Lock<Option<File>>,
    value: Lock<Option<Py<PyAny>>>,
    given: Lock<Option<Given>>,
}

impl Hold {
    fn new(token: Token, file: File, names: bool) -> Arc<Hold> {
        Arc::new(Hold {
            token,
            names,
            file: Lock::new(Some(file)),
            value: Lock::new(None),
            given: Lock::new(None),
        })
    }

    /// The object, made by `read` when it is first asked for.
    pub fn value(
        &self,
        py: Python<'_>,
        read: impl FnOnce(Bound<'_, Placed>) -> PyResult<Py<PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        if let Some(value) = &*self.value.lock() {
            return Ok(value.clone_ref(py));
        }
        let mapping = self.mapping(py)?;
        let placed = Bound::new(py, Placed { mapping })?;
        let made = read(placed)?;
        let mut value = self.value.lock();
        let first = value
            .get_or_insert_with(|| made.clone_ref(py))
            .clone_ref(py);
        drop(value);
        Ok(first)
    }

    /// Its memory; fetched if it was let go.
    pub fn mapping(&self, py: Python<'_>) -> PyResult<Arc<Mapping>> {
        if let Some(file) = &*self.file.lock() {
            return Ok(file.mapping.clone());
        }
        let desk = labour::present_desk()
            .ok_or_else(|| PyRuntimeError::new_err("this process has let the shared object go"))?;
        let hatch = py.detach(|| parcel::find_hatch(&desk, &mut detach::check_signals));
        let (hatch, _) = hatch.map_err(unfetched)?;
        let (data, _) = fetch(
            py,
            Label {
                hatch,
                parcel: self.token,
            },
        )?;
        let file = checked(data)?;
        let mapping = file.mapping.clone();
        let before = self.file.lock().replace(file);
        drop(before);
        Ok(mapping)
    }

    /// Its descriptor, for others.
    pub fn fd(&self) -> io::Result<Arc<OwnedFd>> {
        match &*self.file.lock() {
            Some(file) if file.is_open() => Ok(file.fd.clone()),
            _ => Err(io::Error::other(
                "the descriptor of a shared object was closed by somebody else",
            )),
        }
    }

    /// Notes that this process holds it, and lays it out for its workers.
    fn give(&self) -> io::Result<Mark> {
        let generation = fork::generation();
        let mut given = self.given.lock();
        match &*given {
            Some(given) if given.generation == generation => return Ok(given.mark),
            // The parent's, whose workers are none of ours.
            _ => std::mem::forget(given.take()),
        }
        let fd = self.fd()?;
        let (holds, mark) = note()?;
        let Some(standing) = Standing::new(self.token, vec![fd, holds.fd().clone()]) else {
            holds.strike(mark);
            return Err(io::ErrorKind::AlreadyExists.into());
        };
        *given = Some(Given {
            generation,
            standing,
            holds,
            mark,
        });
        Ok(mark)
    }

    /// For a task.
    pub fn ticket(&self) -> io::Result<[u8; TICKET]> {
        let mark = self.give()?;
        let label = match &*self.given.lock() {
            Some(given) => given.standing.label()?,
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        let mut ticket = [0; TICKET];
        ticket[..32].copy_from_slice(&label.to_bytes());
        ticket[32..].copy_from_slice(&mark.to_bytes());
        Ok(ticket)
    }

    /// Lets the memory go, as far as nothing looks at it.
    fn release(&self) {
        let value = self.value.lock().take();
        let file = self.file.lock().take();
        drop((value, file));
    }

    /// Tells this process's workers that it holds this no more.
    fn take_back(&self) {
        let given = self.given.lock().take();
        match given {
            Some(given) if given.generation == fork::generation() => {
                given.holds.strike(given.mark);
                drop(given);
                // They let go of it when they rest next, and those that sleep rest anew.
                for pool in errands::pools() {
                    pool.link().bells().wake_all();
                }
            }
            given => std::mem::forget(given),
        }
    }
}

impl Hold {
    /// The object, if somebody has asked for it; for the collector, who runs while nobody has it locked.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.value.try_lock() {
            Some(value) => value.as_ref().map_or(Ok(()), |value| visit.call(value)),
            None => Ok(()),
        }
    }

    /// Bytes, if they are mapped.
    pub fn mapped(&self) -> Option<usize> {
        self.file.lock().as_ref().map(|file| file.mapping.len())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.take_back();
        let mut list = list().lock();
        let known = list.known.get(&self.token);
        let gone = if known.is_some_and(|known| known.hold.strong_count() == 0) {
            list.known.remove(&self.token)
        } else {
            None
        };
        drop(list);
        drop(gone);
    }
}

/// Of a task that waits or runs: dropped with it, wherever that is.
struct KeptByTask(Vec<Arc<Hold>>);

impl Drop for KeptByTask {
    fn drop(&mut self) {
        for hold in self.0.drain(..) {
            if let Some(hold) = Arc::into_inner(hold) {
                // Perhaps without the interpreter's lock, or with a pool's.
                errands::bury_hold(hold);
            }
        }
    }
}

/// What keeps them as long as a task.
pub fn kept(holds: Vec<Arc<Hold>>) -> Option<Box<Parcel>> {
    (!holds.is_empty()).then(|| Parcel::keeping(Box::new(KeptByTask(holds))))
}

// --- what the process knows of ---

/// Why a hold is kept that nobody may have a handle of.
enum Keeps {
    /// The giver holds it.
    Given { _hold: Arc<Hold>, mark: Mark },
    /// It was inherited with the parent's memory, in which somebody has a handle for ever: the memory is let go instead.
    Inherited(Arc<Holds>, Mark),
}

struct Known {
    hold: Weak<Hold>,
    keeps: Option<Keeps>,
}

struct View {
    view: HoldsView,
    seen: u64,
}

#[derive(Default)]
struct List {
    known: HashMap<Token, Known>,
    /// Of those who have given something.
    views: HashMap<Token, View>,
    /// Of the parent whose memory this process was forked with, and how often it had struck something out.
    inherited: Vec<(Arc<Holds>, u64)>,
}

fn list() -> &'static Lock<List> {
    static LIST: OnceLock<Lock<List>> = OnceLock::new();
    LIST.get_or_init(Lock::default)
}

/// How many of the list are kept: looking is for nothing where there is none.
static KEPT: AtomicUsize = AtomicUsize::new(0);

fn notes() -> &'static Lock<Vec<Arc<Holds>>> {
    static NOTES: OnceLock<Lock<Vec<Arc<Holds>>>> = OnceLock::new();
    NOTES.get_or_init(Lock::default)
}

fn note() -> io::Result<(Arc<Holds>, Mark)> {
    let mut notes = notes().lock();
    for holds in &*notes {
        if let Some(mark) = holds.enter() {
            return Ok((holds.clone(), mark));
        }
    }
    let fresh = Arc::new(Holds::create()?);
    notes.push(fresh.clone());
    drop(notes);
    let mark = fresh.enter().ok_or(io::ErrorKind::StorageFull)?;
    Ok((fresh, mark))
}

/// The hold of what has this token: the one that is here, or else a new one of this memfd.
pub fn hold_of(token: Token, file: File, names: bool) -> Arc<Hold> {
    let mut list = list().lock();
    if let Some(here) = list
        .known
        .get(&token)
        .and_then(|known| known.hold.upgrade())
    {
        drop(list);
        return here;
    }
    let hold = Hold::new(token, file, names);
    let known = Known {
        hold: Arc::downgrade(&hold),
        keeps: None,
    };
    let gone = list.known.insert(token, known);
    drop(list);
    drop(gone);
    hold
}

/// In a worker: what a task has named.
pub fn received(py: Python<'_>, ticket: &[u8], names: bool) -> PyResult<Arc<Hold>> {
    let parts = ticket
        .split_at_checked(32)
        .and_then(|(label, mark)| Some((Label::of_bytes(label)?, Mark::of_bytes(mark)?)));
    let (label, mark) = parts.ok_or_else(|| PyValueError::new_err("this is no shared object"))?;
    let here = {
        let list = list().lock();
        let known = list.known.get(&label.parcel);
        known.and_then(|known| known.hold.upgrade())
    };
    let hold = if let Some(hold) = here {
        hold
    } else {
        let (data, notes) = fetch(py, label)?;
        let hold = hold_of(label.parcel, checked(data)?, names);
        if let Some(notes) = notes
            && !list().lock().views.contains_key(&mark.owner)
        {
            let view = HoldsView::open(notes.as_fd())
                .map_err(|error| kernel::refused("a shared object can't be had", &error))?;
            let seen = view.strikes();
            let view = View { view, seen };
            list().lock().views.insert(mark.owner, view);
        }
        hold
    };
    keep(&hold, mark);
    Ok(hold)
}

/// Keeps what was given as long as its giver holds it.
fn keep(hold: &Arc<Hold>, mark: Mark) {
    let mut list = list().lock();
    let lasts = list
        .views
        .get(&mark.owner)
        .is_some_and(|from| from.view.lasts(mark));
    let Some(known) = list.known.get_mut(&hold.token).filter(|_| lasts) else {
        return;
    };
    match &mut known.keeps {
        None => {
            known.keeps = Some(Keeps::Given {
                _hold: hold.clone(),
                mark,
            });
            KEPT.fetch_add(1, Ordering::Relaxed);
        }
        Some(Keeps::Given { mark: before, .. }) => *before = mark,
        Some(Keeps::Inherited(..)) => {}
    }
}

/// In a worker that has nothing to do: lets go of what its givers hold no more. With the interpreter's lock.
pub fn sweep(_py: Python<'_>) {
    if KEPT.load(Ordering::Relaxed) == 0 {
        return;
    }
    let mut gone = Vec::new();
    let mut released = Vec::new();
    {
        let mut list = list().lock();
        let List {
            known,
            views,
            inherited,
        } = &mut *list;
        let mut is_news = false;
        for from in views.values_mut() {
            let strikes = from.view.strikes();
            is_news |= strikes != from.seen;
            from.seen = strikes;
        }
        for (holds, seen) in inherited {
            let strikes = holds.strikes();
            is_news |= strikes != *seen;
            *seen = strikes;
        }
        if !is_news {
            return;
        }
        for known in known.values_mut() {
            match &known.keeps {
                Some(Keeps::Given { mark, .. })
                    if !views
                        .get(&mark.owner)
                        .is_some_and(|from| from.view.lasts(*mark)) =>
                {
                    gone.extend(known.keeps.take());
                    KEPT.fetch_sub(1, Ordering::Relaxed);
                }
                Some(Keeps::Inherited(holds, mark)) if !holds.lasts(*mark) => {
                    released.extend(known.hold.upgrade());
                }
                _ => {}
            }
        }
    }
    for hold in &released {
        hold.release();
        hold.take_back();
    }
    drop((gone, released));
}

// --- forks ---

fn holds_here() -> Vec<Arc<Hold>> {
    let list = list().lock();
    let holds = list.known.values().filter_map(|known| known.hold.upgrade());
    holds.collect()
}

/// Before a template is forked: notes that all objects are held which it inherits. What can't be laid out is inherited for good.
#[pyfunction]
pub fn offer_shared(py: Python<'_>) {
    for hold in holds_here() {
        if hold.mapping(py).is_ok() {
            let _ = hold.give();
        }
    }
}

/// In the template: lets go of what its workers can fetch, so that their parent's last hold is the last one.
#[pyfunction]
pub fn disinherit_shared(_py: Python<'_>) {
    for hold in holds_here() {
        let Some(given) = hold.given.lock().take() else {
            continue;
        };
        let holds = given.holds.clone();
        let keeps = Keeps::Inherited(holds.clone(), given.mark);
        std::mem::forget(given);
        let mut list = list().lock();
        if !list
            .inherited
            .iter()
            .any(|(one, _)| Arc::ptr_eq(one, &holds))
        {
            let seen = holds.strikes();
            list.inherited.push((holds, seen));
        }
        if let Some(known) = list.known.get_mut(&hold.token)
            && known.keeps.replace(keeps).is_none()
        {
            KEPT.fetch_add(1, Ordering::Relaxed);
        }
        drop(list);
        hold.release();
    }
}

/// In a forked child: what this process has noted is the parent's, and so is whatever was given to that.
pub fn after_in_child() {
    std::mem::forget(notes().reset(Vec::new()));
    // Threads change the list under the interpreter's lock, which the forking one had; those that end tasks do without.
    let whole = list().try_lock().is_some();
    let before = list().reset(List::default());
    KEPT.store(0, Ordering::Relaxed);
    if !whole {
        std::mem::forget(before);
        return;
    }
    let mut gone = Vec::new();
    let known = before.known.into_iter().map(|(token, known)| {
        let keeps = match known.keeps {
            given @ Some(Keeps::Given { .. }) => {
                gone.extend(given);
                None
            }
            keeps => keeps,
        };
        KEPT.fetch_add(usize::from(keeps.is_some()), Ordering::Relaxed);
        let hold = known.hold;
        (token, Known { hold, keeps })
    });
    let known = known.collect();
    {
        let mut list = list().lock();
        (list.known, list.inherited) = (known, before.inherited);
    }
    drop(gone);
}
