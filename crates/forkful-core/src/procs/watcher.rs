//! The thread that sees deaths and deadlines: one per process that has pools, asleep in epoll, never in anybody's interpreter.
//!
//! It ends with the last pool, as an interpreter warns of every fork in a process that has threads. Whoever waits for that pool's
//! end may wait for it too; he relieves it, so that its end does not depend on what comes next.

use super::hatch::{CLIENTS, Hatch};
use super::parcels;
use crate::deadline::Deadline;
use crate::sys::{Epoll, EventFd, Lock, Stamp};
use crate::wire::Token;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Seat numbers from here on stand for nurseries' sockets.
pub const CONTROL: u32 = 0x8000;

/// What is watched.
pub trait Supervised: Send + Sync {
    /// Something can be read: from a seat's process, which has ended, or from the nursery.
    fn event(&self, seat: u32, watch: &Watch);
    /// After all events, and at the time that the last call asked for (nanoseconds of [`Stamp`]).
    fn tick(&self, watch: &Watch) -> Option<u64>;
    /// Whether it needs no watching any more.
    fn is_over(&self) -> bool;
}

/// A pool's access to the epoll.
#[derive(Debug)]
pub struct Watch {
    inner: Arc<Inner>,
    pool: u64,
}

impl Watch {
    /// How a seat is named there.
    pub fn token(&self, seat: u32) -> u64 {
        self.pool << 16 | u64::from(seat)
    }

    /// Watches a descriptor.
    pub fn add(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        self.inner.epoll.add(fd, token)
    }

    /// No more.
    pub fn remove(&self, fd: impl AsFd) {
        let _ = self.inner.epoll.remove(fd);
    }
}

struct Inner {
    epoll: Epoll,
    wake: EventFd,
    hatch: Hatch,
    watched: Lock<Watched>,
}

#[derive(Default)]
struct Watched {
    pools: Vec<(u64, Arc<dyn Supervised>)>,
    /// The number of the thread that watches. It ends when there is nothing to watch, or when it is this one no more.
    thread: Option<u64>,
    threads: u64,
    handle: Option<JoinHandle<()>>,
}

impl Inner {
    /// Takes out what is over. To be dropped without the lock.
    fn strike(&self, watched: &mut Watched) -> Vec<(u64, Arc<dyn Supervised>)> {
        let pools = std::mem::take(&mut watched.pools);
        let (over, left) = pools.into_iter().partition(|(_, pool)| pool.is_over());
        watched.pools = left;
        if watched.pools.is_empty() {
            watched.thread = None;
            self.hatch.close(&self.epoll);
        }
        over
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

/// The watcher of this process.
#[derive(Clone, Debug)]
pub struct Watcher(Arc<Inner>);

type Current = Lock<Option<(u32, Watcher, u64)>>;
static CURRENT: std::sync::OnceLock<Current> = std::sync::OnceLock::new();

/// The token of the wake-up itself.
const WAKE: u64 = u64::MAX;

impl Watcher {
    /// This process's; a forked child has one of its own.
    pub fn current() -> io::Result<Watcher> {
        let current = CURRENT.get_or_init(|| Lock::new(None));
        let generation = crate::fork::generation();
        if let Some((born, watcher, _)) = &*current.lock()
            && *born == generation
        {
            return Ok(watcher.clone());
        }
        let inner = Inner {
            epoll: Epoll::new()?,
            wake: EventFd::new()?,
            hatch: Hatch::default(),
            watched: Lock::new(Watched::default()),
        };
        inner.epoll.add(&inner.wake, WAKE)?;
        let watcher = Watcher(Arc::new(inner));
        let inherited = current.lock().replace((generation, watcher.clone(), 0));
        // Its thread is not here, and its descriptors are shared with the parent, whose epoll must not change.
        std::mem::forget(inherited);
        Ok(watcher)
    }

    /// In a forked child, whose parent may have held the lock.
    pub fn after_in_child() {
        if let Some(current) = CURRENT.get() {
            let inherited = current.reset(None);
            if let Some((_, watcher, _)) = &inherited {
                watcher.0.hatch.disown();
            }
            std::mem::forget(inherited);
        }
        parcels::after_in_child();
    }

    /// Watches a pool until it is over, and keeps it alive so long: its workers are to be waited for. An error where there
    /// can be no thread.
    pub fn register(&self, pool: Arc<dyn Supervised>) -> io::Result<Watch> {
        static NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        // Under the lock to the end: whoever comes second must not rely on a thread that then can't be started.
        let mut watched = self.0.watched.lock();
        if watched.thread.is_none() {
            let (inner, thread) = (self.0.clone(), watched.threads + 1);
            let builder = std::thread::Builder::new().name("forkful-watcher".into());
            watched.handle = Some(builder.spawn(move || watch(&inner, thread))?);
            (watched.thread, watched.threads) = (Some(thread), thread);
        }
        watched.pools.push((number, pool));
        drop(watched);
        Ok(Watch {
            inner: self.0.clone(),
            pool: number,
        })
    }

    /// Waits until this process's thread has ended, if nothing is watched. What it is waited for is a few instructions.
    pub fn rest() {
        let generation = crate::fork::generation();
        let current = CURRENT.get().and_then(|current| {
            let current = current.lock();
            let (born, watcher, _) = current.as_ref()?;
            (*born == generation).then(|| watcher.clone())
        });
        let Some(watcher) = current else { return };
        let mut watched = watcher.0.watched.lock();
        let over = watcher.0.strike(&mut watched);
        let handle = watched.thread.is_none().then(|| watched.handle.take());
        drop(watched);
        drop(over);
        if let Some(handle) = handle.flatten() {
            watcher.wake();
            let _ = handle.join();
        }
    }

    /// Opens the hatch for parcels, if it is not open; its name.
    pub fn open_hatch(&self) -> io::Result<Token> {
        self.0.hatch.open(&self.0.epoll)
    }

    /// Answers whoever is at the hatch now.
    pub(super) fn serve_hatch(&self) {
        self.0.hatch.serve(&self.0.epoll);
    }

    /// Has it look at all limits.
    pub fn wake(&self) {
        self.0.wake.ring();
    }
}

fn watch(inner: &Arc<Inner>, thread: u64) {
    let mut tokens = Vec::new();
    // At once, as what it was started for may be over already.
    let mut next: Option<u64> = Some(0);
    loop {
        let now = Stamp::now().nanos();
        let deadline = match next {
            None => Deadline::NEVER,
            Some(at) => Deadline::after(Duration::from_nanos(at.saturating_sub(now))),
        };
        tokens.clear();
        if inner.epoll.wait(&mut tokens, deadline).is_err() {
            // A descriptor that was closed under us: look at everything, but don't spin.
            std::thread::sleep(Duration::from_millis(10));
        }
        let pools: Vec<_> = {
            let watched = inner.watched.lock();
            if watched.thread != Some(thread) {
                // What was meant for the next thread may have woken this one.
                inner.wake.ring();
                return;
            }
            let pools = watched.pools.iter();
            pools
                .map(|(number, pool)| (*number, pool.clone()))
                .collect()
        };
        for &token in &tokens {
            if token == WAKE {
                inner.wake.clear();
            } else if token >= CLIENTS {
                inner.hatch.event(&inner.epoll, token);
            } else if let Some((number, pool)) =
                pools.iter().find(|(number, _)| *number == token >> 16)
            {
                let watch = Watch {
                    inner: inner.clone(),
                    pool: *number,
                };
                pool.event((token & 0xffff) as u32, &watch);
            }
        }
        next = pools
            .iter()
            .filter(|(_, pool)| !pool.is_over())
            .filter_map(|(number, pool)| {
                pool.tick(&Watch {
                    inner: inner.clone(),
                    pool: *number,
                })
            })
            .chain(inner.hatch.tick(&inner.epoll))
            .min();
        let mut watched = inner.watched.lock();
        let over = if watched.thread == Some(thread) {
            inner.strike(&mut watched)
        } else {
            Vec::new()
        };
        let here = watched.thread == Some(thread);
        drop(watched);
        drop((pools, over));
        if !here {
            inner.wake.ring();
            return;
        }
    }
}
