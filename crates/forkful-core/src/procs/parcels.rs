//! The descriptors that this process holds for its pools: those that tasks wait with, and those that outcomes have brought.
//!
//! One register per process, by token. A task's parcel is let go when a worker has fetched it, if no other attempt may need it, and
//! with the task at the latest; an outcome's when its owner collects it, and with its worker at the latest.

use super::watcher::Watcher;
use crate::sys::{Lock, close_inherited, duplicate, stands_for};
use crate::wire::{Label, MOST_PER_MESSAGE, MOST_PER_PARCEL, Token};
use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

/// A task's.
#[derive(Debug, Default)]
struct Sent {
    fds: Vec<Arc<OwnedFd>>,
    /// Let go when it was fetched.
    once: bool,
    /// They are no task's: see [`Standing`].
    stands: bool,
    owner: u64,
}

/// An outcome's.
#[derive(Debug)]
struct Arrived {
    delivery: u64,
    seat: u32,
    fds: Vec<OwnedFd>,
}

#[derive(Debug, Default)]
struct Register {
    sent: HashMap<Token, Sent>,
    owners: HashMap<u64, Token>,
    /// Copies by the number that they were made of, so that a thousand tasks with one queue take two descriptors, not two thousand.
    copies: HashMap<RawFd, Weak<OwnedFd>>,
    deliveries: HashMap<Token, u64>,
    arrived: HashMap<Token, Arrived>,
}

fn register() -> &'static Lock<Register> {
    static REGISTER: OnceLock<Lock<Register>> = OnceLock::new();
    REGISTER.get_or_init(Lock::default)
}

/// The descriptors of one task, as long as somebody may want them.
#[derive(Debug, Default)]
pub struct Parcel {
    label: Option<Label>,
    len: u32,
    /// What must live as long, besides.
    pub kept: Option<Box<dyn Any + Send + Sync>>,
}

impl Parcel {
    /// One without descriptors, for what must live as long as a task.
    pub fn keeping(kept: Box<dyn Any + Send + Sync>) -> Box<Parcel> {
        Box::new(Parcel {
            kept: Some(kept),
            ..Parcel::default()
        })
    }

    /// Opens the hatch, if it is not open; what workers find the parcel by then.
    pub fn open(&mut self) -> io::Result<Label> {
        if let Some(label) = self.label {
            return Ok(label);
        }
        let parcel = Token::random()?;
        // Before the hatch is opened, which then stays open for it.
        register().lock().sent.insert(parcel, Sent::default());
        let opened = Watcher::current().and_then(|watcher| watcher.open_hatch());
        match opened {
            Ok(hatch) => Ok(*self.label.insert(Label { hatch, parcel })),
            Err(error) => {
                let gone = release(&mut register().lock(), parcel);
                drop(gone);
                Err(error)
            }
        }
    }

    /// Takes a copy of a descriptor, and returns its place.
    pub fn add(&mut self, number: RawFd) -> io::Result<u32> {
        if self.len >= MOST_PER_PARCEL {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let label = self.open()?;
        let fd = copy_of(number)?;
        let mut register = register().lock();
        let Some(sent) = register.sent.get_mut(&label.parcel) else {
            // The process has been forked since.
            drop(register);
            return Err(io::ErrorKind::NotFound.into());
        };
        sent.fds.push(fd);
        self.len += 1;
        Ok(self.len - 1)
    }

    /// Nobody adds to it any more. `once`: one attempt is all there may be. `owner` is for [`withdraw`].
    pub fn close(&self, owner: u64, once: bool) {
        let Some(label) = self.label else { return };
        let mut register = register().lock();
        if let Some(sent) = register.sent.get_mut(&label.parcel) {
            (sent.owner, sent.once) = (owner, once);
            register.owners.insert(owner, label.parcel);
        }
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        if let Some(label) = self.label {
            let gone = release(&mut register().lock(), label.parcel);
            drop(gone);
        }
    }
}

/// Descriptors that any number of tasks may want, by a token that their owner has chosen, until this is dropped.
#[derive(Debug)]
pub struct Standing {
    token: Token,
}

impl Standing {
    /// Lays them out; `None` if something lies there by this token.
    pub fn new(token: Token, fds: Vec<Arc<OwnedFd>>) -> Option<Standing> {
        let mut register = register().lock();
        if register.sent.contains_key(&token) {
            return None;
        }
        let sent = Sent {
            fds,
            stands: true,
            ..Sent::default()
        };
        register.sent.insert(token, sent);
        Some(Standing { token })
    }

    /// What workers find them by now. Opens the hatch, if it is not open.
    pub fn label(&self) -> io::Result<Label> {
        let hatch = Watcher::current()?.open_hatch()?;
        Ok(Label {
            hatch,
            parcel: self.token,
        })
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let gone = release(&mut register().lock(), self.token);
        drop(gone);
    }
}

/// A copy of a descriptor: the one that is there already, if the number still means the same file.
fn copy_of(number: RawFd) -> io::Result<Arc<OwnedFd>> {
    let known = register()
        .lock()
        .copies
        .get(&number)
        .and_then(Weak::upgrade);
    if let Some(known) = known
        && stands_for(number, known.as_fd())
    {
        return Ok(known);
    }
    let copy = Arc::new(duplicate(number)?);
    let mut register = register().lock();
    if register.copies.len() >= 64 && register.copies.len() >= 2 * register.sent.len() {
        register.copies.retain(|_, copy| copy.strong_count() > 0);
    }
    register.copies.insert(number, Arc::downgrade(&copy));
    Ok(copy)
}

/// Takes a parcel out; to be dropped when the lock is free, as a close may take its time.
#[must_use]
fn release(register: &mut Register, token: Token) -> Option<Sent> {
    let sent = register.sent.remove(&token)?;
    if register.owners.get(&sent.owner) == Some(&token) {
        register.owners.remove(&sent.owner);
    }
    Some(sent)
}

/// Its owner has cancelled: nobody will fetch it.
pub fn withdraw(owner: u64) {
    let mut register = register().lock();
    let token = register.owners.get(&owner).copied();
    let gone = token.and_then(|token| release(&mut register, token));
    drop(register);
    drop(gone);
}

/// Whether the hatch is to stay open, whatever else there is.
pub(super) fn is_any_waiting() -> bool {
    !register().lock().sent.is_empty()
}

/// What a worker is given that has `first` of them: the next ones, and how many there are in all.
pub(super) fn fetched(token: Token, first: u32) -> Option<(Vec<Arc<OwnedFd>>, u32)> {
    let register = register().lock();
    let sent = register.sent.get(&token)?;
    let rest = sent.fds.get(first as usize..)?;
    let part = rest.iter().take(MOST_PER_MESSAGE).cloned().collect();
    Some((part, sent.fds.len() as u32))
}

/// It has all of them: they are its own now, unless another attempt may need them. A socket that the task closes is closed then.
pub(super) fn served(token: Token) {
    let mut register = register().lock();
    let once = register.sent.get(&token).is_some_and(|sent| sent.once);
    let gone = once.then(|| release(&mut register, token));
    drop(register);
    drop(gone);
}

/// What gives a pool's workers the right to bring something.
#[derive(Debug)]
pub struct Delivery {
    number: u64,
    /// What they say at the hatch.
    pub key: Token,
}

impl Delivery {
    /// For a pool.
    pub fn new() -> io::Result<Delivery> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let key = Token::random()?;
        register().lock().deliveries.insert(key, number);
        Ok(Delivery { number, key })
    }

    /// The worker of this seat is gone and its outcomes are read: what it has brought besides is nobody's.
    pub fn bury(&self, seat: u32) {
        let gone = forget(|arrived| arrived.delivery == self.number && arrived.seat == seat);
        drop(gone);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        register().lock().deliveries.remove(&self.key);
        let gone = forget(|arrived| arrived.delivery == self.number);
        drop(gone);
    }
}

#[must_use]
fn forget(is_gone: impl Fn(&Arrived) -> bool) -> Vec<Arrived> {
    let mut register = register().lock();
    let tokens = register.arrived.iter().filter(|(_, one)| is_gone(one));
    let tokens: Vec<Token> = tokens.map(|(token, _)| *token).collect();
    let gone = tokens.iter().map(|token| register.arrived.remove(token));
    gone.flatten().collect()
}

/// Whether this is some pool's key.
pub(super) fn is_key(key: Token) -> bool {
    register().lock().deliveries.contains_key(&key)
}

/// A worker has brought all that it announced. They are given back if its pool is gone or the token is taken.
pub(super) fn arrive(
    key: Token,
    token: Token,
    seat: u32,
    fds: Vec<OwnedFd>,
) -> Result<(), Vec<OwnedFd>> {
    let mut register = register().lock();
    match register.deliveries.get(&key).copied() {
        Some(delivery) if !register.arrived.contains_key(&token) => {
            let arrived = Arrived {
                delivery,
                seat,
                fds,
            };
            register.arrived.insert(token, arrived);
            Ok(())
        }
        _ => Err(fds),
    }
}

/// Hands over what an outcome has named.
pub fn collect(token: Token) -> Option<Vec<OwnedFd>> {
    let arrived = register().lock().arrived.remove(&token)?;
    Some(arrived.fds)
}

/// In a forked child: all of it is the parent's, whose peers wait for the end of these very descriptors; the copies are closed.
pub(super) fn after_in_child() {
    // Somebody was changing it at the fork: what can't be read can't be closed.
    let whole = register().try_lock().is_some();
    let mut inherited = register().reset(Register::default());
    if whole {
        // Of these the child may have a use of its own, and they have no peer.
        inherited.sent.retain(|_, sent| !sent.stands);
        let sent = inherited.sent.values().flat_map(|sent| &sent.fds);
        let arrived = inherited.arrived.values().flat_map(|one| &one.fds);
        let numbers: HashSet<RawFd> = sent
            .map(|fd| fd.as_raw_fd())
            .chain(arrived.map(AsRawFd::as_raw_fd))
            .collect();
        // By their numbers, as threads that are not here may have held references.
        numbers.into_iter().for_each(close_inherited);
    }
    std::mem::forget(inherited);
}
