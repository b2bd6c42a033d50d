//! What stands beside a message while that is written or read in this thread.
//!
//! A value that is written puts there what does not belong into the bytes, and writes its number; the one that is read takes it by the
//! number. Outside of a task there is no context, and each of these says so. One inside of another (a `Serialize` that submits a task) is
//! its own, and the outer one is there again afterwards, also after a panic.

use super::{CARRIES, Error};
use forkful_core::procs::parcels::Parcel;
use forkful_core::procs::record::{Call, Payload};
use forkful_core::shm::Bulk;
use forkful_core::wire::Label;
use forkful_core::worker::parcel;
use std::any::Any;
use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// How what is no bytes gets to the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Way {
    /// To one of this process's workers, which can ask for it.
    #[default]
    ToWorker,
    /// To a process that can't: by descriptors alone.
    ByDescriptor,
    /// Not at all.
    Nothing,
}

/// What stands beside a message that is written.
#[derive(Default)]
pub(crate) struct Beside {
    buffers: Vec<Arc<Bulk>>,
    fds: Vec<Put>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
}

/// A file that many messages name, as its user has it.
pub(crate) trait File: Send + Sync {
    /// Its descriptor, if it has one still.
    fn fd(&self) -> Option<BorrowedFd<'_>>;
}

/// A descriptor on its way out.
pub(super) enum Put {
    /// A copy.
    Own(OwnedFd),
    /// That of a file; by which it is known.
    Of((u64, u64), Arc<dyn File>),
}

impl Put {
    /// A descriptor of its own, at any rate.
    pub(super) fn own(self) -> io::Result<OwnedFd> {
        match self {
            Put::Own(fd) => Ok(fd),
            Put::Of(..) => self.fd()?.try_clone_to_owned(),
        }
    }

    /// The descriptor, which a file may have lost meanwhile: some programs close all that they find.
    pub(super) fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        match self {
            Put::Own(fd) => Ok(fd.as_fd()),
            Put::Of(_, file) => file.fd().ok_or_else(|| io::ErrorKind::NotFound.into()),
        }
    }
}

/// What stands beside a message that is read.
#[derive(Default)]
pub(crate) struct Arrived {
    pub(super) buffers: Vec<Option<Bulk>>,
    fds: Vec<Option<OwnedFd>>,
    /// Where they are to be fetched, when the first is wanted.
    label: Option<Label>,
}

struct Context<T> {
    way: Way,
    content: Option<Box<T>>,
}

impl<T> Context<T> {
    const NONE: Context<T> = Context {
        way: Way::Nothing,
        content: None,
    };
}

thread_local! {
    static WRITING: RefCell<Context<Beside>> = const { RefCell::new(Context::NONE) };
    static READING: RefCell<Context<Arrived>> = const { RefCell::new(Context::NONE) };
    /// Why a value is refused, as postcard's errors keep no words.
    static WORDS: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A context of this thread, until this is dropped.
pub(super) struct Within<T: 'static> {
    place: &'static std::thread::LocalKey<RefCell<Context<T>>>,
    outer: Context<T>,
}

impl<T> Within<T> {
    fn enter(
        place: &'static std::thread::LocalKey<RefCell<Context<T>>>,
        content: Option<Box<T>>,
        way: Way,
    ) -> Within<T> {
        let outer = place.replace(Context { way, content });
        Within { place, outer }
    }

    /// What stands there at the end.
    pub(super) fn leave(self) -> Option<Box<T>> {
        self.place.with_borrow_mut(|context| context.content.take())
    }
}

impl<T> Drop for Within<T> {
    fn drop(&mut self) {
        let outer = std::mem::replace(&mut self.outer, Context::NONE);
        // Dropped when it is out of the cell.
        let inner = self.place.replace(outer);
        drop(inner);
    }
}

/// A message is written from here on.
pub(super) fn write(beside: Option<Box<Beside>>, way: Way) -> Within<Beside> {
    Within::enter(&WRITING, beside, way)
}

/// A message is read from here on.
pub(super) fn read(arrived: Option<Box<Arrived>>) -> Within<Arrived> {
    Within::enter(&READING, arrived, Way::default())
}

fn put<R>(change: impl FnOnce(&mut Beside) -> R) -> Option<R> {
    WRITING.with_borrow_mut(|context| {
        let may = context.way != Way::Nothing;
        may.then(|| change(context.content.get_or_insert_default()))
    })
}

/// How what is no bytes gets to the reader of the message that is being written; none: not at all.
pub(crate) fn way() -> Way {
    WRITING.with_borrow(|context| context.way)
}

fn take<R>(change: impl FnOnce(&mut Arrived) -> Option<R>) -> Option<R> {
    READING.with_borrow_mut(|context| change(context.content.as_mut()?))
}

/// Puts bytes beside the message; their number. `None`: no task's message is being written.
pub(crate) fn put_buffer(bulk: Arc<Bulk>) -> Option<u32> {
    put(|beside| {
        beside.buffers.push(bulk);
        beside.buffers.len() as u32 - 1
    })
}

/// The bytes of this number, which only the first who asks gets.
pub(crate) fn take_buffer(number: u32) -> Option<Bulk> {
    take(|arrived| arrived.buffers.get_mut(number as usize)?.take())
}

/// Puts a copy of a descriptor beside the message; its number. `None`: no task's message is being written.
pub(crate) fn put_fd(fd: BorrowedFd<'_>) -> Option<io::Result<u32>> {
    put(|beside| {
        beside.fds.push(Put::Own(fd.try_clone_to_owned()?));
        Ok(beside.fds.len() as u32 - 1)
    })
}

/// The same of a file that is known by this identity. It stands there once, and is not copied: so a parcel knows it again, and a thousand
/// tasks that wait with it take one descriptor.
pub(crate) fn put_file(identity: (u64, u64), file: &Arc<dyn File>) -> Option<io::Result<u32>> {
    put(|beside| {
        let is_it = |put: &Put| matches!(put, Put::Of(known, _) if *known == identity);
        if let Some(there) = beside.fds.iter().position(is_it) {
            return Ok(there as u32);
        }
        file.fd().ok_or(io::ErrorKind::NotFound)?;
        beside.fds.push(Put::Of(identity, file.clone()));
        Ok(beside.fds.len() as u32 - 1)
    })
}

/// The descriptor of this number, which only the first who asks gets. Fetched from the parent when the first is wanted.
pub(crate) fn take_fd(number: u32) -> Option<io::Result<OwnedFd>> {
    if let Err(error) = fetch() {
        return Some(Err(error));
    }
    take(|arrived| arrived.fds.get_mut(number as usize)?.take()).map(Ok)
}

/// Looks at the descriptor of this number, for what it is there several times. `None`: there is none.
pub(crate) fn with_fd<R>(
    number: u32,
    look: impl FnOnce(BorrowedFd<'_>) -> io::Result<R>,
) -> Option<io::Result<R>> {
    if let Err(error) = fetch() {
        return Some(Err(error));
    }
    take(|arrived| Some(look(arrived.fds.get(number as usize)?.as_ref()?.as_fd())))
}

/// Fetches the descriptors, if they are not here.
fn fetch() -> io::Result<()> {
    let Some(label) = take(|arrived| arrived.label.take()) else {
        return Ok(());
    };
    // Without the cell's borrow.
    match parcel::fetch::<Infallible>(&label, &mut || Ok(())) {
        Ok(fds) => {
            take(|arrived| {
                arrived.fds = fds.into_iter().map(Some).collect();
                Some(())
            });
            Ok(())
        }
        Err(parcel::Undelivered::Failed(error)) => Err(error),
        Err(parcel::Undelivered::Interrupted(never)) => match never {},
    }
}

/// Has something live until the task is over. `false`: no task's message is being written.
pub(crate) fn keep(kept: Box<dyn Any + Send + Sync>) -> bool {
    put(|beside| beside.kept.push(kept)).is_some()
}

/// An error with these words, whatever the format keeps of them.
pub(crate) fn refuse<E: serde::ser::Error>(words: &str) -> E {
    WORDS.set(Some(words.to_owned()));
    E::custom(words)
}

/// The same where something is read.
pub(crate) fn reject<E: serde::de::Error>(words: &str) -> E {
    WORDS.set(Some(words.to_owned()));
    E::custom(words)
}

/// What an error says.
pub(crate) fn words(error: postcard::Error) -> String {
    let said = WORDS.take();
    match error {
        postcard::Error::SerdeSerCustom | postcard::Error::SerdeDeCustom => {
            said.unwrap_or_else(|| "its own code for serde refuses it".to_owned())
        }
        error => error.to_string(),
    }
}

/// The buffers alone.
pub(super) fn buffers_of(beside: Box<Beside>) -> Vec<Arc<Bulk>> {
    beside.buffers
}

impl Beside {
    /// Makes the descriptors, and what is kept, a call's parcel; what its payload begins with.
    pub(super) fn pack(&mut self, call: &mut Call) -> Result<Payload, Error> {
        let mut front = Payload::new();
        if self.fds.is_empty() && self.kept.is_empty() {
            return Ok(front);
        }
        let mut parcel = Box::new(Parcel::default());
        let unsent = |error: io::Error| {
            let what = "a file descriptor among the arguments can't be sent to a worker";
            Error(format!("{what}: {error}"))
        };
        if !self.fds.is_empty() {
            let label = parcel.open().map_err(unsent)?;
            front.extend_from_slice(&label.to_bytes());
            call.flags |= CARRIES;
        }
        for fd in self.fds.drain(..) {
            let number = fd.fd().map_err(unsent)?.as_raw_fd();
            parcel.add(number).map_err(unsent)?;
        }
        if !self.kept.is_empty() {
            parcel.kept = Some(Box::new(std::mem::take(&mut self.kept)));
        }
        call.parcel = Some(parcel);
        Ok(front)
    }

    /// The descriptors, for an outcome.
    pub(super) fn take_fds(&mut self) -> Vec<Put> {
        std::mem::take(&mut self.fds)
    }
}

impl Arrived {
    /// These.
    pub(super) fn of(buffers: Vec<Option<Bulk>>, fds: Vec<OwnedFd>) -> Arrived {
        Arrived {
            buffers,
            fds: fds.into_iter().map(Some).collect(),
            label: None,
        }
    }

    /// A payload that begins with a parcel's label; the rest of it.
    pub(super) fn expect_parcel<'a>(&mut self, payload: &'a [u8]) -> Option<&'a [u8]> {
        let (label, rest) = payload.split_at_checked(32)?;
        self.label = Some(Label::of_bytes(label)?);
        Some(rest)
    }

    /// These descriptors have come with it.
    pub(super) fn bring(&mut self, fds: Vec<OwnedFd>) {
        self.fds = fds.into_iter().map(Some).collect();
    }
}

#[cfg(test)]
impl Beside {
    pub(super) fn descriptors(&self) -> usize {
        self.fds.len()
    }

    /// As if it had travelled.
    pub(super) fn arrive(self) -> Box<Arrived> {
        let fd = |put: &Put| put.fd().and_then(|fd| fd.try_clone_to_owned()).ok();
        Box::new(Arrived {
            fds: self.fds.iter().map(fd).collect(),
            ..Arrived::default()
        })
    }
}
