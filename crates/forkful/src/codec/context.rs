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
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// What stands beside a message that is written.
#[derive(Default)]
pub(crate) struct Beside {
    buffers: Vec<Arc<Bulk>>,
    fds: Vec<OwnedFd>,
    kept: Vec<Box<dyn Any + Send + Sync>>,
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
    active: bool,
    content: Option<Box<T>>,
}

impl<T> Context<T> {
    const NONE: Context<T> = Context {
        active: false,
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
    ) -> Within<T> {
        let active = true;
        let outer = place.replace(Context { active, content });
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
pub(super) fn write(beside: Option<Box<Beside>>) -> Within<Beside> {
    Within::enter(&WRITING, beside)
}

/// A message is read from here on.
pub(super) fn read(arrived: Option<Box<Arrived>>) -> Within<Arrived> {
    Within::enter(&READING, arrived)
}

fn put<R>(change: impl FnOnce(&mut Beside) -> R) -> Option<R> {
    WRITING.with_borrow_mut(|context| {
        let content = context
            .active
            .then(|| context.content.get_or_insert_default())?;
        Some(change(content))
    })
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
        beside.fds.push(fd.try_clone_to_owned()?);
        Ok(beside.fds.len() as u32 - 1)
    })
}

/// The descriptor of this number, which only the first who asks gets. Fetched from the parent when the first is wanted.
pub(crate) fn take_fd(number: u32) -> Option<io::Result<OwnedFd>> {
    let label = take(|arrived| arrived.label.take());
    if let Some(label) = label {
        // Without the cell's borrow.
        let fetched = parcel::fetch::<Infallible>(&label, &mut || Ok(()));
        match fetched {
            Ok(fds) => take(|arrived| {
                arrived.fds = fds.into_iter().map(Some).collect();
                Some(())
            }),
            Err(parcel::Undelivered::Failed(error)) => return Some(Err(error)),
            Err(parcel::Undelivered::Interrupted(never)) => match never {},
        };
    }
    take(|arrived| arrived.fds.get_mut(number as usize)?.take()).map(Ok)
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
pub(super) fn words(error: postcard::Error) -> String {
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
            parcel.add(fd.as_raw_fd()).map_err(unsent)?;
        }
        if !self.kept.is_empty() {
            parcel.kept = Some(Box::new(std::mem::take(&mut self.kept)));
        }
        call.parcel = Some(parcel);
        Ok(front)
    }

    /// The descriptors, for an outcome.
    pub(super) fn take_fds(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.fds)
    }
}

impl Arrived {
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
