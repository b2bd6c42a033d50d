//! What this process holds of shared objects: their memory, the values that were made of it, and who was given them.
//!
//! An object is a sealed memfd with a token, of which a process has one [`Hold`] at most. Whoever gives one to its workers notes that it
//! holds it, in memory that they see ([`Holds`]), and lays the descriptors out for them; a worker keeps what it was given as long as that
//! note stands, so that a task which brings it again costs a look into a table. So the end of the first holder's hold travels from each
//! process to its workers, and a process that is killed takes its workers along.

use crate::codec::{Error, Incoming, Message, Parts, lay_out};
use forkful_core::fork;
use forkful_core::procs::parcels::Standing;
use forkful_core::shm::{Bulk, Sealed};
use forkful_core::sys::errno::ENOENT;
use forkful_core::sys::{Lock, code_of, file_identity, seal, sealable_memfd};
use forkful_core::wire::{Holds, HoldsView, Label, Link, Mark, Token};
use forkful_core::worker::parcel::{self, Undelivered};
use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

/// How often it is looked whether an object's token is free again, and how long is waited between two looks.
const LOOKS: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(1);

/// This process's note for its workers, and what they fetch.
struct Given {
    generation: u32,
    standing: Standing,
    holds: Arc<Holds>,
    mark: Mark,
}

type Made = Weak<dyn Any + Send + Sync>;

/// This process's hold of an object.
pub(super) struct Hold {
    pub(super) token: Token,
    sealed: Arc<Sealed>,
    /// The memory's own, and those of the value.
    fds: Vec<Arc<OwnedFd>>,
    /// A task may close all descriptors, and then the number is another file's.
    identity: (u64, u64),
    /// By type; there is one, but for a program that reads an object as something else.
    values: Lock<Vec<(TypeId, Made)>>,
    given: Lock<Option<Given>>,
}

impl Hold {
    /// Writes a value's parts into memory of its own, which nobody can change from then on.
    pub(super) fn place((stream, buffers, fds): Parts) -> io::Result<Arc<Hold>> {
        let fd = sealable_memfd("forkful-shared")?;
        let mut file = File::from(fd.try_clone()?);
        let (head, offsets) = lay_out(&stream, &buffers)?;
        file.write_all(&head)?;
        let mut end = head.len() as u64;
        for (bulk, offset) in buffers.iter().zip(offsets) {
            // Fewer than a page.
            file.write_all(&vec![0; (offset - end) as usize])?;
            file.write_all(bulk.bytes())?;
            end = offset + bulk.bytes().len() as u64;
        }
        drop((file, buffers));
        seal(&fd)?;
        let mut all = vec![fd];
        all.extend(fds);
        Hold::of(Token::random()?, all)
    }

    /// Of an object's descriptors: its memory's, and those of its value. What comes from another process may be anything; only what
    /// can't change any more is mapped.
    pub(super) fn of(token: Token, fds: Vec<OwnedFd>) -> io::Result<Arc<Hold>> {
        let data = fds.first().ok_or(io::ErrorKind::InvalidData)?;
        let hold = Arc::new(Hold {
            token,
            sealed: Arc::new(Sealed::of(data.as_fd())?),
            identity: file_identity(data)?,
            fds: fds.into_iter().map(Arc::new).collect(),
            values: Lock::default(),
            given: Lock::default(),
        });
        let mut list = list().lock();
        let known = list.known.get(&token).and_then(Weak::upgrade);
        if known.is_none() {
            list.known.insert(token, Arc::downgrade(&hold));
        }
        drop(list);
        Ok(known.unwrap_or(hold))
    }

    /// The one of this token, if this process has it.
    pub(super) fn known(token: Token) -> Option<Arc<Hold>> {
        list().lock().known.get(&token)?.upgrade()
    }

    /// In a worker: what is laid out for it there.
    pub(super) fn fetch(label: Label, giver: Token) -> io::Result<Arc<Hold>> {
        let mut fds = match parcel::fetch::<Infallible>(&label, &mut || Ok(())) {
            Ok(fds) => fds,
            Err(Undelivered::Interrupted(never)) => match never {},
            Err(Undelivered::Failed(error)) if code_of(&error) == Some(ENOENT) => {
                let gone = "it is gone, as the process that shared it has no handle of it any more";
                return Err(io::Error::new(io::ErrorKind::NotFound, gone));
            }
            Err(Undelivered::Failed(error)) => return Err(error),
        };
        let notes = fds.pop().ok_or(io::ErrorKind::InvalidData)?;
        let view = HoldsView::open(notes.as_fd())?;
        let seen = view.strikes();
        let mut list = list().lock();
        list.views.entry(giver).or_insert(View { view, seen });
        drop(list);
        Hold::of(label.parcel, fds)
    }

    /// Its memory as what was written there.
    pub(super) fn open<R>(
        &self,
        read: impl FnOnce(&mut Incoming<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let garbage = || Error("what came as a shared object is none".to_owned());
        let message = Message::read(self.sealed.bytes()).ok_or_else(garbage)?;
        let mut buffers = Vec::with_capacity(message.places().len());
        for (offset, len) in message.places() {
            let range = self.sealed.range(offset, len);
            buffers.push(Bulk::Placed(range.ok_or_else(garbage)?));
        }
        let own = self.fds[1..].iter().map(|fd| fd.try_clone());
        let own: io::Result<Vec<OwnedFd>> = own.collect();
        let own = own.map_err(|error| Error(format!("its descriptors can't be had: {error}")))?;
        read(&mut Incoming::of_parts(message.here(), buffers, own))
    }

    /// What was made of it as this type, if it lives.
    pub(super) fn value<V: Any + Send + Sync>(&self) -> Option<Arc<V>> {
        let values = self.values.lock();
        let (_, made) = values.iter().find(|(of, _)| *of == TypeId::of::<V>())?;
        made.upgrade()?.downcast().ok()
    }

    /// Adds what was made of it, unless another was faster, which is the answer then.
    pub(super) fn add_value<V: Any + Send + Sync>(&self, fresh: Arc<V>) -> Arc<V> {
        let mut values = self.values.lock();
        let place = values.iter_mut().find(|(of, _)| *of == TypeId::of::<V>());
        let weak: Made = Arc::downgrade(&(fresh.clone() as Arc<dyn Any + Send + Sync>));
        match place {
            None => values.push((TypeId::of::<V>(), weak)),
            Some((_, made)) => match made.upgrade() {
                // What is let go is dropped when the lock is free.
                Some(other) => {
                    drop(values);
                    return other.downcast().unwrap_or(fresh);
                }
                None => *made = weak,
            },
        }
        drop(values);
        fresh
    }

    /// Its descriptors, for others.
    pub(super) fn fds(&self) -> io::Result<Vec<Arc<OwnedFd>>> {
        if !self.is_open() {
            return Err(io::Error::other(
                "the descriptor of its memory was closed by somebody else",
            ));
        }
        Ok(self.fds.clone())
    }

    fn is_open(&self) -> bool {
        file_identity(&self.fds[0]).is_ok_and(|identity| identity == self.identity)
    }

    /// Notes that this process holds it, and lays it out for its workers: where they find it, and the note.
    pub(super) fn give(&self) -> io::Result<(Label, Mark)> {
        let generation = fork::generation();
        let mut given = self.given.lock();
        match &*given {
            Some(given) if given.generation == generation => {}
            // The parent's, whose workers are none of ours.
            _ => {
                std::mem::forget(given.take());
                let mut fds = self.fds()?;
                let (holds, mark) = note()?;
                fds.push(holds.fd().clone());
                let Some(standing) = stand(self.token, &fds) else {
                    holds.strike(mark);
                    return Err(io::ErrorKind::AlreadyExists.into());
                };
                *given = Some(Given {
                    generation,
                    standing,
                    holds,
                    mark,
                });
            }
        }
        match &*given {
            Some(given) => Ok((given.standing.label()?, given.mark)),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Tells this process's workers that it holds this no more.
    fn take_back(&self) {
        let given = self.given.lock().take();
        match given {
            Some(given) if given.generation == fork::generation() => {
                given.holds.strike(given.mark);
                drop(given);
                // They let go of it when they rest next, and those that sleep rest anew.
                for link in links() {
                    link.bells().wake_all();
                }
            }
            given => std::mem::forget(given),
        }
    }
}

/// Lays the descriptors out. Another thread may be about to take back what it has laid out by this token, for the last handle before.
fn stand(token: Token, fds: &[Arc<OwnedFd>]) -> Option<Standing> {
    for _ in 0..LOOKS {
        if let Some(standing) = Standing::new(token, fds.to_vec()) {
            return Some(standing);
        }
        std::thread::sleep(PAUSE);
    }
    None
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.take_back();
        let mut list = list().lock();
        if list
            .known
            .get(&self.token)
            .is_some_and(|known| known.strong_count() == 0)
        {
            list.known.remove(&self.token);
        }
        drop(list);
        if !self.is_open() {
            // The number is another's by now, and so is its end.
            std::mem::forget(std::mem::take(&mut self.fds));
        }
    }
}

// --- what the process knows of ---

struct View {
    view: HoldsView,
    seen: u64,
}

/// A value that is kept as long as its giver's note stands.
struct Kept {
    mark: Mark,
    value: Arc<dyn Any + Send + Sync>,
}

#[derive(Default)]
struct List {
    known: HashMap<Token, Weak<Hold>>,
    /// Of those who have given something.
    views: HashMap<Token, View>,
    kept: Vec<Kept>,
}

fn list() -> &'static Lock<List> {
    static LIST: OnceLock<Lock<List>> = OnceLock::new();
    LIST.get_or_init(Lock::default)
}

/// How many are kept: looking is for nothing where there is none.
static KEPT: AtomicUsize = AtomicUsize::new(0);

fn note() -> io::Result<(Arc<Holds>, Mark)> {
    static NOTES: OnceLock<Lock<Vec<Arc<Holds>>>> = OnceLock::new();
    let mut notes = NOTES.get_or_init(Lock::default).lock();
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

type Links = Lock<Vec<Weak<Link>>>;

fn resting() -> &'static Links {
    static LINKS: OnceLock<Links> = OnceLock::new();
    LINKS.get_or_init(Lock::default)
}

fn links() -> Vec<Arc<Link>> {
    let links = resting().lock();
    links.iter().filter_map(Weak::upgrade).collect()
}

/// The workers of a pool of this process, which are to look again when something is let go.
pub(crate) fn rests_at(link: &Arc<Link>) {
    let mut links = resting().lock();
    links.retain(|link| link.strong_count() > 0);
    links.push(Arc::downgrade(link));
}

/// In a worker: keeps what was given as long as its giver holds it.
pub(super) fn keep(mark: Mark, value: Arc<dyn Any + Send + Sync>) {
    let mut list = list().lock();
    let from = list.views.get(&mark.owner);
    let lasts = from.is_some_and(|from| from.view.lasts(mark));
    let is_news = |kept: &Kept| kept.mark != mark || !Arc::ptr_eq(&kept.value, &value);
    if lasts && list.kept.iter().all(is_news) {
        list.kept.push(Kept { mark, value });
        KEPT.fetch_add(1, Ordering::Relaxed);
    }
}

/// In a worker that has nothing to do: lets go of what its givers hold no more.
pub(crate) fn sweep() {
    if KEPT.load(Ordering::Relaxed) == 0 {
        return;
    }
    let mut gone = Vec::new();
    {
        let mut list = list().lock();
        let List { views, kept, .. } = &mut *list;
        let mut is_news = false;
        for from in views.values_mut() {
            let strikes = from.view.strikes();
            is_news |= strikes != from.seen;
            from.seen = strikes;
        }
        if is_news {
            let lasts = |kept: &Kept| {
                let from = views.get(&kept.mark.owner);
                from.is_some_and(|from| from.view.lasts(kept.mark))
            };
            gone.extend(kept.extract_if(.., |kept| !lasts(kept)));
            KEPT.store(kept.len(), Ordering::Relaxed);
        }
    }
    // The user's own code may run here, and any lock be wanted.
    drop(gone);
}
