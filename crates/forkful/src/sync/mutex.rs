//! A lock between processes that is handed on when its holder dies.

use super::place::{Identity, Words};
use super::{go_on, pid_of};
use forkful_core::deadline::Deadline;
use forkful_core::sync::{LockCell, Owner, Taken};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

/// A mutual exclusion between processes, and between the threads of each, that outlives its holders.
///
/// It guards no value of its own, as values of one process are not seen by another: what it guards is a file, a row of a database, a
/// device, a place on the screen. Handles are clones of each other, in this process and, as arguments of tasks, in others.
///
/// A process that is killed while it holds the mutex is followed by the next one that asks, which gets its guard inside of an
/// [`OwnerDied`], once: what is guarded may be half changed. That is found out within about 10 ms. A panic that unwinds through
/// a guard gives the mutex back like any other end of it, and is not reported; a guard that is forgotten
/// ([`std::mem::forget`]) is held until its process ends.
///
/// A thread that locks a mutex which it holds already waits for ever. Nobody is promised a turn before others who came later.
///
/// # Examples
/// ```
/// use forkful::sync::{Mutex, OwnerDied};
///
/// let mutex = Mutex::new()?;
/// let guard = mutex.lock().unwrap_or_else(|died| {
///     eprintln!("{died}");
///     // Look after what is guarded here, then go on.
///     died.into_guard()
/// });
/// assert!(mutex.try_lock().is_err());
/// drop(guard);
/// assert!(mutex.try_lock().is_ok());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct Mutex {
    words: Words<LockCell>,
}

/// Holds a [`Mutex`] until it is dropped.
///
/// It stays in its thread, as std's does:
///
/// ```compile_fail,E0277
/// # let mutex = forkful::sync::Mutex::new().unwrap();
/// let guard = mutex.lock().unwrap();
/// std::thread::scope(|scope| {
///     scope.spawn(move || drop(guard));
/// });
/// ```
///
/// # Examples
/// ```
/// # let mutex = forkful::sync::Mutex::new()?;
/// {
///     let _guard = mutex.lock().unwrap();
///     // One process at a time is here.
/// }
/// assert!(!mutex.is_locked());
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "the mutex is given back when the guard is dropped"]
pub struct MutexGuard<'a> {
    mutex: &'a Mutex,
    /// Who has taken it: a forked child has a copy, and may have taken the mutex itself since.
    owner: Owner,
    /// Given back by the thread that took it, as std's is.
    thread: PhantomData<std::sync::MutexGuard<'static, ()>>,
}

/// A guard, or one that a dead process has left.
///
/// # Examples
/// ```
/// use forkful::sync::{LockResult, Mutex, MutexGuard};
///
/// fn whatever_happened(locked: LockResult<MutexGuard<'_>>) -> MutexGuard<'_> {
///     locked.unwrap_or_else(|died| died.into_guard())
/// }
///
/// let mutex = Mutex::new()?;
/// let _guard = whatever_happened(mutex.lock());
/// # Ok::<(), std::io::Error>(())
/// ```
pub type LockResult<G> = Result<G, OwnerDied<G>>;

/// The same of an attempt that may end without a guard.
///
/// # Examples
/// ```
/// use forkful::sync::{MutexGuard, TryLockError, TryLockResult};
///
/// fn in_words(tried: &TryLockResult<MutexGuard<'_>>) -> &'static str {
///     match tried {
///         Ok(_) => "got",
///         Err(TryLockError::OwnerDied(_)) => "got from a dead one",
///         Err(_) => "not got",
///     }
/// }
/// ```
pub type TryLockResult<G> = Result<G, TryLockError<G>>;

/// The mutex was got from a process that died while it held it.
///
/// As with the poison of a [`std::sync::Mutex`] the guard is inside, and whoever knows what to do about the half-done work goes on
/// with [`into_guard`](OwnerDied::into_guard). Unlike that it is told once, and the mutex is whole afterwards.
///
/// # Examples
/// ```
/// use forkful::sync::{LockResult, MutexGuard};
///
/// fn repaired(locked: LockResult<MutexGuard<'_>>) -> MutexGuard<'_> {
///     locked.unwrap_or_else(|died| {
///         println!("process {} has left work half done", died.pid());
///         died.into_guard()
///     })
/// }
/// ```
pub struct OwnerDied<G> {
    guard: G,
    pid: i32,
}

/// Why an attempt has brought no guard, or one that a dead process has left.
///
/// # Examples
/// ```
/// use forkful::sync::{Mutex, TryLockError};
///
/// let mutex = Mutex::new()?;
/// let _held = mutex.lock();
/// assert!(matches!(mutex.try_lock(), Err(TryLockError::WouldBlock)));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum TryLockError<G> {
    /// Somebody holds it, or did until the time was over.
    WouldBlock,
    /// It was got from a process that died while it held it; the guard is inside.
    OwnerDied(OwnerDied<G>),
}

impl Mutex {
    /// A new one, that nobody holds.
    ///
    /// # Errors
    /// What the system says if it gives no shared memory: there is no descriptor left, or no memory.
    ///
    /// # Examples
    /// ```
    /// let mutex = forkful::sync::Mutex::new()?;
    /// assert!(!mutex.is_locked());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new() -> io::Result<Mutex> {
        Words::new().map(|words| Mutex { words })
    }

    /// Takes it, and waits as long as another process or thread holds it and lives.
    ///
    /// # Errors
    /// [`OwnerDied`], with the guard inside, if its holder has died.
    ///
    /// # Examples
    /// ```
    /// # let mutex = forkful::sync::Mutex::new()?;
    /// let guard = mutex.lock().expect("nobody has died");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lock(&self) -> LockResult<MutexGuard<'_>> {
        match self.acquire(Deadline::NEVER) {
            Ok(guard) => Ok(guard),
            Err(TryLockError::OwnerDied(died)) => Err(died),
            Err(TryLockError::WouldBlock) => unreachable!("there was no deadline"),
        }
    }

    /// Takes it if nobody holds it, or its holder is dead.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody holds it. [`TryLockError::OwnerDied`], with the guard inside, if its holder has died;
    /// of one that died in the last 5 ms this may take a second attempt.
    ///
    /// # Examples
    /// ```
    /// # let mutex = forkful::sync::Mutex::new()?;
    /// if let Ok(_guard) = mutex.try_lock() {
    ///     println!("it was free");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_>> {
        let me = Owner::me();
        match self.cell().try_recover(me) {
            Some(taken) => self.got(taken, me),
            None => Err(TryLockError::WouldBlock),
        }
    }

    /// Takes it, and waits for `timeout` at most.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if somebody has held it until then. [`TryLockError::OwnerDied`], with the guard inside, if its holder
    /// has died.
    ///
    /// # Examples
    /// ```
    /// # let mutex = forkful::sync::Mutex::new()?;
    /// let guard = mutex.lock_timeout(std::time::Duration::from_secs(1)).unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn lock_timeout(&self, timeout: Duration) -> TryLockResult<MutexGuard<'_>> {
        self.acquire(Deadline::after(timeout))
    }

    /// Whether anybody holds it at this moment, the dead included.
    ///
    /// # Examples
    /// ```
    /// # let mutex = forkful::sync::Mutex::new()?;
    /// let guard = mutex.lock();
    /// assert!(mutex.is_locked());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_locked(&self) -> bool {
        self.cell().owner().is_some()
    }

    /// The process that died last with the mutex in its hand, as far as somebody has found out.
    ///
    /// # Examples
    /// ```
    /// # let mutex = forkful::sync::Mutex::new()?;
    /// assert_eq!(mutex.owner_died(), None);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn owner_died(&self) -> Option<i32> {
        self.cell().last_death().map(pid_of)
    }

    pub(super) fn cell(&self) -> &LockCell {
        self.words.get()
    }

    pub(super) fn identity(&self) -> Identity {
        self.words.identity()
    }

    fn acquire(&self, deadline: Deadline) -> TryLockResult<MutexGuard<'_>> {
        let me = Owner::me();
        match self.cell().acquire(me, deadline, go_on) {
            Ok(taken) => self.got(taken, me),
            Err(_) => Err(TryLockError::WouldBlock),
        }
    }

    fn got(&self, taken: Taken, owner: Owner) -> TryLockResult<MutexGuard<'_>> {
        let guard = MutexGuard {
            mutex: self,
            owner,
            thread: PhantomData,
        };
        match taken {
            Taken::Clean => Ok(guard),
            Taken::Recovered(owner) => Err(TryLockError::OwnerDied(OwnerDied::new(guard, owner))),
        }
    }
}

impl fmt::Debug for Mutex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let holder = self.cell().owner().map(pid_of);
        f.debug_struct("Mutex").field("holder", &holder).finish()
    }
}

impl<'a> MutexGuard<'a> {
    /// Of which mutex.
    pub(super) fn mutex(&self) -> &'a Mutex {
        self.mutex
    }

    /// It was given back, and taken again by this process: in a forked child for the first time.
    pub(super) fn taken_again(&mut self, owner: Owner) {
        self.owner = owner;
    }
}

impl Drop for MutexGuard<'_> {
    fn drop(&mut self) {
        // A forked child that drops its copy has not taken it.
        if self.owner.is_me() {
            let _ = self.mutex.cell().release_own(self.owner);
        }
    }
}

impl fmt::Debug for MutexGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutexGuard").finish_non_exhaustive()
    }
}

impl<G> OwnerDied<G> {
    pub(super) fn new(guard: G, owner: Owner) -> OwnerDied<G> {
        OwnerDied {
            guard,
            pid: pid_of(owner),
        }
    }

    /// The guard, to go on with: what is guarded is as the dead process has left it.
    ///
    /// # Examples
    /// ```
    /// # let mutex = forkful::sync::Mutex::new()?;
    /// let guard = mutex.lock().unwrap_or_else(|died| died.into_guard());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn into_guard(self) -> G {
        self.guard
    }

    /// The guard, while this is kept.
    ///
    /// # Examples
    /// ```
    /// use forkful::sync::{MutexGuard, OwnerDied};
    ///
    /// fn look(died: &OwnerDied<MutexGuard<'_>>) {
    ///     let _held: &MutexGuard<'_> = died.guard();
    /// }
    /// ```
    pub fn guard(&self) -> &G {
        &self.guard
    }

    /// The process that has died.
    ///
    /// # Examples
    /// ```
    /// # let mutex = forkful::sync::Mutex::new()?;
    /// if let Err(died) = mutex.lock() {
    ///     println!("process {} has left it half done", died.pid());
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn map<H>(self, change: impl FnOnce(G) -> H) -> OwnerDied<H> {
        OwnerDied {
            guard: change(self.guard),
            pid: self.pid,
        }
    }
}

impl<G> fmt::Debug for OwnerDied<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerDied")
            .field("pid", &self.pid)
            .finish_non_exhaustive()
    }
}

impl<G> fmt::Display for OwnerDied<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "process {} died while it held this mutex; what the mutex guards may be half changed",
            self.pid
        )
    }
}

impl<G> std::error::Error for OwnerDied<G> {}

impl<G> From<OwnerDied<G>> for TryLockError<G> {
    fn from(died: OwnerDied<G>) -> Self {
        TryLockError::OwnerDied(died)
    }
}

impl<G> fmt::Display for TryLockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryLockError::WouldBlock => f.write_str("another thread or process holds the mutex"),
            TryLockError::OwnerDied(died) => died.fmt(f),
        }
    }
}

impl<G: fmt::Debug> std::error::Error for TryLockError<G> {}
