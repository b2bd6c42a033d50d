//! Waiting for many descriptors at once, and a descriptor to be woken by.

use super::lack::named;
use crate::deadline::Deadline;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A set of descriptors, each with a token that says what it is.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Epoll {
    /// An empty set.
    pub fn new() -> io::Result<Epoll> {
        epoll::create(epoll::CreateFlags::CLOEXEC)
            .map(Epoll)
            .map_err(named("epoll_create1"))
    }

    /// Watches `fd` for something to read, or for its end, again at each wait until it is removed.
    pub fn add(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        epoll::add(&self.0, fd, data, epoll::EventFlags::IN).map_err(named("epoll_ctl"))
    }

    /// Watches one that is in the set already, for something to read and, if `room`, for room to write.
    pub fn expect(&self, fd: impl AsFd, token: u64, room: bool) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        let both = epoll::EventFlags::IN | epoll::EventFlags::OUT;
        let flags = if room { both } else { epoll::EventFlags::IN };
        Ok(epoll::modify(&self.0, fd, data, flags)?)
    }

    /// Forgets `fd`. Necessary before it is closed if a copy of it lives elsewhere: a set holds the file, not the number.
    pub fn remove(&self, fd: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.0, fd)?)
    }

    /// Waits for at least one, or for the deadline, and replaces `tokens` by those that are ready.
    pub fn wait(&self, tokens: &mut Vec<u64>, deadline: Deadline) -> io::Result<()> {
        tokens.clear();
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); 64];
        loop {
            let left = deadline.left().map(|left| Timespec {
                // An hour at most, as for futexes; the loop goes on afterwards.
                tv_sec: left.as_secs().min(3600) as i64,
                tv_nsec: i64::from(left.subsec_nanos()),
            });
            match epoll::wait(&self.0, &mut events, left.as_ref()) {
                Ok((ready, _)) if ready.is_empty() && !deadline.passed() => {}
                Ok((ready, _)) => {
                    tokens.extend(ready.iter().map(|event| event.data.u64()));
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// A descriptor that is readable once it was rung.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// One that is silent.
    pub fn new() -> io::Result<EventFd> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        eventfd(0, flags).map(EventFd).map_err(named("eventfd"))
    }

    /// Makes it readable; ringing twice is ringing once.
    pub fn ring(&self) {
        // A full counter refuses, and is readable already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Silences it.
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl From<OwnedFd> for EventFd {
    /// One that another process has made; what is none is never right, and no more.
    fn from(fd: OwnedFd) -> EventFd {
        EventFd(fd)
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_rung_one_is_ready_until_it_is_cleared() {
        let (set, bell) = (Epoll::new().unwrap(), EventFd::new().unwrap());
        set.add(&bell, 42).unwrap();
        let mut tokens = vec![1];
        set.wait(&mut tokens, Deadline::after(Duration::ZERO))
            .unwrap();
        assert_eq!(tokens, []);
        bell.ring();
        bell.ring();
        set.wait(&mut tokens, Deadline::NEVER).unwrap();
        assert_eq!(tokens, [42]);
        bell.clear();
        set.wait(&mut tokens, Deadline::after(Duration::from_millis(2)))
            .unwrap();
        assert_eq!(tokens, []);
        bell.ring();
        set.remove(&bell).unwrap();
        set.wait(&mut tokens, Deadline::after(Duration::ZERO))
            .unwrap();
        assert_eq!(tokens, []);
    }
}
