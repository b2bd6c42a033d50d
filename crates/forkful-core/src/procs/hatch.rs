//! The hatch: a socket without a name in any file system, at which workers fetch descriptors of tasks and leave those of outcomes.
//!
//! Served by the watcher's thread, which must never wait for anybody: nothing here blocks, and whoever is silent, slow or talks
//! nonsense loses his own connection. Opened for the first parcel, closed with the process's last pool.

use super::parcels;
use crate::sys::errno::{EACCES, EINVAL, EIO, EMFILE, ENOENT};
use crate::sys::{
    Epoll, EventFd, Lock, Stamp, accept, close_inherited, hang_up, is_same_user, listen_abstract,
    receive_with_fds, send_with_fds,
};
use crate::wire::{Answer, MESSAGE, MOST_PER_PARCEL, Request, Token, hatch_name};
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// The token of the listening socket.
pub(super) const LISTENER: u64 = u64::MAX - 1;
/// The first of the tokens of connections.
pub(super) const CLIENTS: u64 = 1 << 63;

/// Connections at a time. Workers ask at once and leave; one that comes while so many are silent makes the longest silent go.
const MOST_CLIENTS: usize = 64;
/// Connections taken in one go, so that a crowd does not keep the watcher from its deaths.
const AT_ONCE: usize = 16;
/// How long nobody is let in when this process has no descriptor left, not even for a refusal.
const PAUSE_NANOS: u64 = 20_000_000;

/// The hatch of one watcher.
#[derive(Debug, Default)]
pub(super) struct Hatch {
    name: Lock<Option<Token>>,
    /// The listener's number, for a forked child.
    number: AtomicI32,
    desk: Lock<Option<Desk>>,
}

#[derive(Debug)]
struct Desk {
    listener: OwnedFd,
    /// In the order in which they spoke last.
    clients: VecDeque<Client>,
    next: u64,
    /// Given up to let in, and send away, somebody for whom there is no descriptor.
    spare: Option<EventFd>,
    paused_until: Option<u64>,
}

#[derive(Debug)]
struct Client {
    token: u64,
    socket: OwnedFd,
    /// What it is bringing, and what has come of that.
    push: Option<Push>,
}

#[derive(Debug)]
struct Push {
    request: Request,
    fds: Vec<OwnedFd>,
}

impl Hatch {
    /// Opens it, if it is not open; its name.
    pub fn open(&self, epoll: &Epoll) -> io::Result<Token> {
        let mut name = self.name.lock();
        if let Some(name) = *name {
            return Ok(name);
        }
        let fresh = Token::random()?;
        let listener = listen_abstract(&hatch_name(fresh))?;
        let spare = EventFd::new()?;
        epoll.add(&listener, LISTENER)?;
        self.number.store(listener.as_raw_fd(), Ordering::SeqCst);
        *self.desk.lock() = Some(Desk {
            listener,
            clients: VecDeque::new(),
            next: CLIENTS,
            spare: Some(spare),
            paused_until: None,
        });
        *name = Some(fresh);
        Ok(fresh)
    }

    /// Closes it, as there is no pool any more whose workers might come; unless one that is being made has a parcel here already.
    pub fn close(&self, epoll: &Epoll) {
        let mut name = self.name.lock();
        if parcels::is_any_waiting() {
            return;
        }
        let Some(desk) = self.desk.lock().take() else {
            return;
        };
        *name = None;
        self.number.store(-1, Ordering::SeqCst);
        let _ = epoll.remove(&desk.listener);
        hang_up(&desk.listener);
        for client in &desk.clients {
            let _ = epoll.remove(&client.socket);
            hang_up(&client.socket);
        }
    }

    /// Something has come for it.
    pub fn event(&self, epoll: &Epoll, token: u64) {
        let mut desk = self.desk.lock();
        let Some(desk) = &mut *desk else { return };
        if token == LISTENER {
            desk.let_in(epoll);
        } else if let Some(at) = desk.clients.iter().position(|one| one.token == token) {
            desk.attend(epoll, at);
        }
    }

    /// Answers whoever is there now, without waiting for events.
    pub fn serve(&self, epoll: &Epoll) {
        let mut desk = self.desk.lock();
        let Some(desk) = &mut *desk else { return };
        desk.let_in(epoll);
        for _ in 0..desk.clients.len() {
            desk.attend(epoll, 0);
        }
    }

    /// Looks whether a pause is over; when it will be, in nanoseconds of [`Stamp`].
    pub fn tick(&self, epoll: &Epoll) -> Option<u64> {
        let mut desk = self.desk.lock();
        let desk = desk.as_mut()?;
        let until = desk.paused_until?;
        if Stamp::now().nanos() < until {
            return Some(until);
        }
        desk.paused_until = None;
        desk.spare = EventFd::new().ok();
        let _ = epoll.add(&desk.listener, LISTENER);
        None
    }

    /// In a forked child, which must not answer in its parent's place.
    pub fn disown(&self) {
        let number = self.number.swap(-1, Ordering::SeqCst);
        if self.name.reset(None).is_some() && number >= 0 {
            close_inherited(number);
        }
        let whole = self.desk.try_lock().is_some();
        let desk = self.desk.reset(None);
        if whole && let Some(desk) = &desk {
            for client in &desk.clients {
                close_inherited(client.socket.as_raw_fd());
            }
            if let Some(spare) = &desk.spare {
                close_inherited(spare.as_fd().as_raw_fd());
            }
        }
        std::mem::forget(desk);
    }
}

impl Desk {
    /// Serves one, who is the last in the row then.
    fn attend(&mut self, epoll: &Epoll, at: usize) {
        let Some(mut client) = self.clients.remove(at) else {
            return;
        };
        if client.serve() {
            self.clients.push_back(client);
        } else {
            client.leave(epoll);
        }
    }

    fn let_in(&mut self, epoll: &Epoll) {
        for _ in 0..AT_ONCE {
            let socket = match accept(&self.listener) {
                Ok(socket) => socket,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // It left before it came in.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                Err(_) => {
                    self.send_away(epoll);
                    return;
                }
            };
            if !is_same_user(&socket) {
                continue;
            }
            self.next += 1;
            let mut client = Client {
                token: self.next,
                socket,
                push: None,
            };
            // Its first message is mostly here already.
            if !client.serve() || epoll.add(&client.socket, client.token).is_err() {
                hang_up(&client.socket);
                continue;
            }
            if self.clients.len() >= MOST_CLIENTS
                && let Some(silent) = self.clients.pop_front()
            {
                silent.leave(epoll);
            }
            self.clients.push_back(client);
        }
    }

    /// There is no descriptor for the one who knocks: he is told so, or has to wait.
    fn send_away(&mut self, epoll: &Epoll) {
        self.spare = None;
        let accepted = accept(&self.listener);
        let stuck = accepted
            .as_ref()
            .is_err_and(|error| error.kind() != io::ErrorKind::WouldBlock);
        if let Ok(socket) = accepted {
            let mut lost = Vec::new();
            // Left unread, the request would make the kernel tell of the end before the answer.
            let _ = receive_with_fds(&socket, &mut [0; MESSAGE], &mut lost);
            drop(lost);
            let _ = send_with_fds(&socket, &refusal(EMFILE).to_bytes(), &[]);
            hang_up(&socket);
        }
        self.spare = EventFd::new().ok();
        if self.spare.is_none() || stuck {
            let _ = epoll.remove(&self.listener);
            self.paused_until = Some(Stamp::now().nanos() + PAUSE_NANOS);
        }
    }
}

fn refusal(errno: i32) -> Answer {
    let errno = errno.unsigned_abs().max(1);
    Answer { errno, total: 0 }
}

impl Client {
    /// Answers what it has asked; whether it may stay.
    fn serve(&mut self) -> bool {
        // A few at a time, so that nobody talks without end.
        for _ in 0..4 {
            let (mut bytes, mut fds) = ([0; MESSAGE], Vec::new());
            let answered = match receive_with_fds(&self.socket, &mut bytes, &mut fds) {
                Ok(received) if received.lost => {
                    self.push = None;
                    drop(fds);
                    self.answer(refusal(EMFILE))
                }
                Ok(received) if received.len == 0 => return false,
                Ok(received) => match Request::of_bytes(&bytes[..received.len]) {
                    Some(Request::Fetch { token, first }) if fds.is_empty() => {
                        self.give(token, first)
                    }
                    Some(push @ Request::Push { .. }) => self.take(push, fds),
                    _ => return false,
                },
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            };
            if !answered {
                return false;
            }
        }
        true
    }

    fn answer(&self, answer: Answer) -> bool {
        send_with_fds(&self.socket, &answer.to_bytes(), &[]).is_ok()
    }

    fn give(&self, token: Token, first: u32) -> bool {
        let Some((part, total)) = parcels::fetched(token, first) else {
            return self.answer(refusal(ENOENT));
        };
        let fds: Vec<_> = part.iter().map(|fd| fd.as_fd()).collect();
        let answer = Answer { errno: 0, total };
        match send_with_fds(&self.socket, &answer.to_bytes(), &fds) {
            Ok(()) => {
                if first as usize + fds.len() == total as usize {
                    parcels::served(token);
                }
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            // Too many on their way, for one.
            Err(error) => self.answer(refusal(error.raw_os_error().unwrap_or(EIO))),
        }
    }

    fn take(&mut self, request: Request, fds: Vec<OwnedFd>) -> bool {
        let Request::Push {
            key,
            token,
            seat,
            total,
        } = request
        else {
            return false;
        };
        if !parcels::is_key(key) {
            let _ = self.answer(refusal(EACCES));
            return false;
        }
        let push = self.push.get_or_insert_with(|| Push {
            request,
            fds: Vec::new(),
        });
        let come = push.fds.len() + fds.len();
        if push.request != request
            || fds.is_empty()
            || come > total as usize
            || total > MOST_PER_PARCEL
        {
            let _ = self.answer(refusal(EINVAL));
            return false;
        }
        push.fds.extend(fds);
        if come == total as usize
            && let Some(push) = self.push.take()
            && parcels::arrive(key, token, seat, push.fds).is_err()
        {
            let _ = self.answer(refusal(EINVAL));
            return false;
        }
        self.answer(Answer { errno: 0, total })
    }

    fn leave(self, epoll: &Epoll) {
        let _ = epoll.remove(&self.socket);
        hang_up(&self.socket);
    }
}
