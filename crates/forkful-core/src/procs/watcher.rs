//! The thread that sees deaths and deadlines: one per process, asleep in epoll, never in anybody's interpreter.

use crate::deadline::Deadline;
use crate::sys::{Epoll, EventFd, Lock, Stamp};
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
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
    pools: Lock<Vec<(u64, Arc<dyn Supervised>)>>,
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
    /// This process's; started when it is first asked for, and again in a forked child.
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
            pools: Lock::new(Vec::new()),
        };
        inner.epoll.add(&inner.wake, WAKE)?;
        let watcher = Watcher(Arc::new(inner));
        let inner = watcher.0.clone();
        std::thread::Builder::new()
            .name("forkful-watcher".into())
            .spawn(move || watch(&inner))?;
        let inherited = current.lock().replace((generation, watcher.clone(), 0));
        // Its thread is not here, and its descriptors are shared with the parent, whose epoll must not change.
        std::mem::forget(inherited);
        Ok(watcher)
    }

    /// In a forked child, whose parent may have held the lock.
    pub fn after_in_child() {
        if let Some(current) = CURRENT.get() {
            std::mem::forget(current.reset(None));
        }
    }

    /// Watches a pool until it is over, and keeps it alive so long: its workers are to be waited for.
    pub fn register(&self, pool: Arc<dyn Supervised>) -> Watch {
        static NUMBERS: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
        let number = NUMBERS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        self.0.pools.lock().push((number, pool));
        Watch {
            inner: self.0.clone(),
            pool: number,
        }
    }

    /// Has it look at all limits.
    pub fn wake(&self) {
        self.0.wake.ring();
    }
}

fn watch(inner: &Arc<Inner>) {
    let mut tokens = Vec::new();
    let mut next: Option<u64> = None;
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
            let pools = inner.pools.lock();
            pools
                .iter()
                .map(|(number, pool)| (*number, pool.clone()))
                .collect()
        };
        for &token in &tokens {
            if token == WAKE {
                inner.wake.clear();
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
            .min();
        let over: Vec<u64> = pools
            .iter()
            .filter(|(_, pool)| pool.is_over())
            .map(|(number, _)| *number)
            .collect();
        if !over.is_empty() {
            inner
                .pools
                .lock()
                .retain(|(number, _)| !over.contains(number));
        }
        drop(pools);
    }
}
