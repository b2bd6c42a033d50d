//! Waiting under a mutex until another process says that something has changed.

use super::go_on;
use super::mutex::{LockResult, MutexGuard, OwnerDied};
use super::place::{Identity, Words};
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::sync::condition::Left;
use forkful_core::sync::{ConditionCell, Owner, Taken};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Where processes that hold a [`Mutex`](super::Mutex) wait for a change of what it guards.
///
/// As in Python, and unlike std's, who notifies holds the mutex and shows its guard. Those who wait are notified in the order in which
/// they came, up to 64 of them. Of a process that is killed after it was notified, another one that waited then is notified in its place. A
/// wait may also end without a notification, so look again at what you waited for, or leave that to
/// [`wait_while`](Condvar::wait_while).
///
/// All use one mutex with it, in all processes: under several, notifications get lost.
///
/// # Examples
/// ```
/// use forkful::sync::{Condvar, Mutex};
/// use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
///
/// let (mutex, condvar) = (Mutex::new()?, Condvar::new()?);
/// let done = AtomicBool::new(false);
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         let guard = mutex.lock().unwrap();
///         done.store(true, Relaxed);
///         condvar.notify_all(&guard);
///     });
///     let guard = mutex.lock().unwrap();
///     let _guard = condvar.wait_while(guard, || !done.load(Relaxed)).unwrap();
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct Condvar {
    words: Words<ConditionCell>,
    /// The mutex that is used with it, as far as this process knows.
    #[serde(skip)]
    under: Arc<OnceLock<Identity>>,
}

/// Whether a wait with a limit ended by that.
///
/// # Examples
/// ```
/// # use forkful::sync::{Condvar, Mutex};
/// # let (mutex, condvar) = (Mutex::new()?, Condvar::new()?);
/// let soon = std::time::Duration::from_millis(5);
/// let (_guard, ended) = condvar.wait_timeout(mutex.lock().unwrap(), soon).unwrap();
/// assert!(ended.timed_out());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Whether the time was over before a notification came.
    ///
    /// # Examples
    /// ```
    /// # use forkful::sync::{Condvar, Mutex};
    /// # let (mutex, condvar) = (Mutex::new()?, Condvar::new()?);
    /// let guard = mutex.lock().unwrap();
    /// let soon = std::time::Duration::from_millis(5);
    /// let (_guard, ended) = condvar.wait_timeout_while(guard, soon, || false).unwrap();
    /// assert!(!ended.timed_out());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn timed_out(self) -> bool {
        self.0
    }
}

impl Condvar {
    /// A new one, at which nobody waits.
    ///
    /// # Errors
    /// What the system says if it gives no shared memory.
    ///
    /// # Examples
    /// ```
    /// let condvar = forkful::sync::Condvar::new()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new() -> io::Result<Condvar> {
        let words = Words::new()?;
        let under = Arc::default();
        Ok(Condvar { words, under })
    }

    /// Gives the mutex back, waits for a notification, and takes the mutex again.
    ///
    /// # Errors
    /// [`OwnerDied`], with the guard inside, if the mutex was got from a process that died while it held it.
    ///
    /// # Panics
    /// If another mutex was used before with this handle, or with a clone of it in this process.
    ///
    /// # Examples
    /// ```no_run
    /// # use forkful::sync::{Condvar, Mutex};
    /// # let (mutex, condvar) = (Mutex::new()?, Condvar::new()?);
    /// let mut guard = mutex.lock().unwrap();
    /// # let nothing_to_do = || false;
    /// while nothing_to_do() {
    ///     guard = condvar.wait(guard).unwrap();
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait<'a>(&self, guard: MutexGuard<'a>) -> LockResult<MutexGuard<'a>> {
        let (result, _) = self.wait_until(guard, Deadline::NEVER);
        result
    }

    /// The same for `timeout` at most, and the time that the mutex then takes.
    ///
    /// # Errors
    /// As for [`wait`](Condvar::wait).
    ///
    /// # Panics
    /// As for [`wait`](Condvar::wait).
    ///
    /// # Examples
    /// ```
    /// # use forkful::sync::{Condvar, Mutex};
    /// # let (mutex, condvar) = (Mutex::new()?, Condvar::new()?);
    /// let guard = mutex.lock().unwrap();
    /// let (guard, ended) = condvar
    ///     .wait_timeout(guard, std::time::Duration::from_millis(5))
    ///     .unwrap();
    /// assert!(ended.timed_out());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_timeout<'a>(
        &self,
        guard: MutexGuard<'a>,
        timeout: Duration,
    ) -> LockResult<(MutexGuard<'a>, WaitTimeoutResult)> {
        let (result, notified) = self.wait_until(guard, Deadline::after(timeout));
        let ended = WaitTimeoutResult(!notified);
        match result {
            Ok(guard) => Ok((guard, ended)),
            Err(died) => Err(died.map(|guard| (guard, ended))),
        }
    }

    /// Waits as long as `condition` says so, which is asked with the mutex in hand, first of all before any wait.
    ///
    /// # Errors
    /// As for [`wait`](Condvar::wait); then `condition` may still say so.
    ///
    /// # Panics
    /// As for [`wait`](Condvar::wait).
    ///
    /// # Examples
    /// ```
    /// # use forkful::sync::{Condvar, Mutex};
    /// # let (mutex, condvar) = (Mutex::new()?, Condvar::new()?);
    /// let guard = mutex.lock().unwrap();
    /// let guard = condvar.wait_while(guard, || false).unwrap();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_while<'a>(
        &self,
        mut guard: MutexGuard<'a>,
        mut condition: impl FnMut() -> bool,
    ) -> LockResult<MutexGuard<'a>> {
        while condition() {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// The same for `timeout` at most. Timed out, `condition` still says so.
    ///
    /// # Errors
    /// As for [`wait_while`](Condvar::wait_while).
    ///
    /// # Panics
    /// As for [`wait`](Condvar::wait).
    ///
    /// # Examples
    /// ```
    /// # use forkful::sync::{Condvar, Mutex};
    /// # let (mutex, condvar) = (Mutex::new()?, Condvar::new()?);
    /// let soon = std::time::Duration::from_millis(5);
    /// let guard = mutex.lock().unwrap();
    /// let (_guard, ended) = condvar.wait_timeout_while(guard, soon, || true).unwrap();
    /// assert!(ended.timed_out());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_timeout_while<'a>(
        &self,
        mut guard: MutexGuard<'a>,
        timeout: Duration,
        mut condition: impl FnMut() -> bool,
    ) -> LockResult<(MutexGuard<'a>, WaitTimeoutResult)> {
        let deadline = Deadline::after(timeout);
        loop {
            if !condition() {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            if deadline.passed() {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            guard = match self.wait_until(guard, deadline) {
                (Ok(guard), _) => guard,
                (Err(died), notified) => {
                    return Err(died.map(|guard| (guard, WaitTimeoutResult(!notified))));
                }
            };
        }
    }

    /// Notifies the one that has waited longest, if anybody waits. It goes on when the mutex is given back.
    ///
    /// # Panics
    /// If another mutex was used before with this handle, or with a clone of it in this process.
    ///
    /// # Examples
    /// ```
    /// # use forkful::sync::{Condvar, Mutex};
    /// # let (mutex, condvar) = (Mutex::new()?, Condvar::new()?);
    /// let guard = mutex.lock().unwrap();
    /// condvar.notify_one(&guard);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn notify_one(&self, guard: &MutexGuard<'_>) {
        self.check(guard);
        self.words.get().notify(1);
    }

    /// Notifies all that wait.
    ///
    /// # Panics
    /// As for [`notify_one`](Condvar::notify_one).
    ///
    /// # Examples
    /// ```
    /// # use forkful::sync::{Condvar, Mutex};
    /// # let (mutex, condvar) = (Mutex::new()?, Condvar::new()?);
    /// let guard = mutex.lock().unwrap();
    /// condvar.notify_all(&guard);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn notify_all(&self, guard: &MutexGuard<'_>) {
        self.check(guard);
        self.words.get().notify(usize::MAX);
    }

    /// The places of its waiters are safe only under one lock.
    fn check(&self, guard: &MutexGuard<'_>) {
        let mutex = guard.mutex().identity();
        assert!(
            *self.under.get_or_init(|| mutex) == mutex,
            "the condition variable was used with another mutex before: make one for each mutex"
        );
    }

    /// From inside of the mutex to inside of it; whether it was notified.
    fn wait_until<'a>(
        &self,
        mut guard: MutexGuard<'a>,
        deadline: Deadline,
    ) -> (LockResult<MutexGuard<'a>>, bool) {
        self.check(&guard);
        let (words, lock, me) = (self.words.get(), guard.mutex().cell(), Owner::me());
        let waiter = words.enter(me);
        guard.taken_again(me);
        let mut dead = None;
        loop {
            let _ = lock.release_own(me);
            let left = words.sleep(waiter, deadline, go_on);
            match lock.acquire(me, Deadline::NEVER, go_on) {
                Ok(Taken::Recovered(owner)) => dead = Some(owner),
                Ok(Taken::Clean) => {}
                Err(_) => unreachable!("there was no deadline"),
            }
            let over = match left {
                Ok(Left::Roused) => words.is_roused(waiter),
                Ok(Left::TimedOut) | Err(WaitError::TimedOut | WaitError::Interrupted(_)) => true,
            };
            if over {
                let notified = words.leave(waiter);
                let result = match dead {
                    None => Ok(guard),
                    Some(owner) => Err(OwnerDied::new(guard, owner)),
                };
                return (result, notified);
            }
        }
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar")
            .field("waiting", &self.words.get().waiting())
            .finish()
    }
}
