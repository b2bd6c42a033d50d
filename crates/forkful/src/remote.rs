//! A task that another process runs: its state here, and the end that comes back, bytes until somebody takes it.
//!
//! Knows: the pool's shared part, the codec, errors. Does not know: how a call is made, who drains.

use crate::codec::{self, Incoming};
use crate::death;
use crate::error::TaskError;
use crate::failure::Failure;
use crate::future::status_of;
use crate::home::{Callback, Ended, Home, Status, Task};
use crate::process_pool::shared::{Due, Shared};
use crate::tasks::Portable;
use forkful_core::deadline::Deadline;
use forkful_core::error::WaitError;
use forkful_core::future::{Arrivals, Cancel, Core, Finish, Hook, State, TakeOnce};
use forkful_core::procs::{Doom, End, Job, Limits, Spare, Struck, parcels};
use forkful_core::stats::Meter;
use forkful_core::wire::RAISED;
use std::any::Any;
use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What tasks of one kind have in common: their name, what counts them, what they may.
#[derive(Debug)]
pub(crate) struct Terms {
    /// From the options.
    pub(crate) name: Option<String>,
    /// Which counts tasks of that name.
    pub(crate) meter: Option<Arc<Meter>>,
    /// For the engine.
    pub(crate) limits: Arc<Limits>,
}

/// How a task ended, as it came.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// What the engine says.
    pub(crate) end: End,
    /// How often it was begun.
    pub(crate) attempts: u32,
    /// The descriptors that came with it.
    pub(crate) brought: Option<Vec<OwnedFd>>,
}

/// A pool as its futures hold it: a future that is kept keeps no pool.
pub(crate) struct Address {
    number: u64,
    shared: Weak<Shared>,
}

impl Address {
    pub(crate) fn of(shared: &Arc<Shared>) -> Address {
        Address {
            number: shared.number,
            shared: Arc::downgrade(shared),
        }
    }
}

impl Home for Address {
    fn number(&self) -> u64 {
        self.number
    }

    fn is_inherited(&self) -> bool {
        let shared = self.shared.upgrade();
        shared.is_some_and(|shared| shared.pool.is_inherited())
    }

    fn poll(&self) {
        if let Some(shared) = self.shared.upgrade() {
            shared.poll();
        }
    }

    fn lead(&self, ready: &dyn Fn() -> bool, deadline: Deadline) -> Option<bool> {
        self.shared.upgrade()?.lead(ready, deadline)
    }

    fn interest(&self) -> Option<Box<dyn Any + Send + Sync>> {
        Some(Box::new(self.shared.upgrade()?.pool.interest()))
    }
}

/// A task of a pool of processes. One allocation, beside its bytes.
pub(crate) struct RemoteTask {
    core: Core<(), TakeOnce<Arrived>, Callback>,
    place: AtomicU64,
    given_up: AtomicBool,
    killed: AtomicBool,
    address: Address,
    function: &'static str,
    terms: Option<Arc<Terms>>,
}

impl RemoteTask {
    pub(crate) fn new(
        shared: &Arc<Shared>,
        function: &'static str,
        terms: Option<Arc<Terms>>,
    ) -> Arc<RemoteTask> {
        Arc::new(RemoteTask {
            core: Core::new(None),
            place: AtomicU64::new(0),
            given_up: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            address: Address::of(shared),
            function,
            terms,
        })
    }

    /// Its name: the options', or its function's.
    pub(crate) fn name(&self) -> &str {
        let named = self.terms.as_ref().and_then(|terms| terms.name.as_deref());
        named.unwrap_or(self.function)
    }

    /// What its options allow.
    pub(crate) fn limits(&self) -> Option<&Limits> {
        self.terms.as_ref().map(|terms| &*terms.limits)
    }

    /// Whose its descriptors are.
    pub(crate) fn owner(&self) -> u64 {
        std::ptr::from_ref(self) as u64
    }

    fn place(&self) -> u64 {
        self.place.load(Ordering::Acquire)
    }

    /// Whether somebody wants its present attempt to be the last one.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Acquire)
    }

    /// Puts the end into the future, and lets those go who wait for it. What else is to be told is left to whoever holds no lock.
    pub(crate) fn complete(self: Arc<Self>, mut end: End, attempts: u32) {
        let brought = match &mut end {
            End::Outcome { kind, payload, .. } => codec::collect(*kind, payload),
            _ => None,
        };
        let raised = end.is_error();
        if matches!(&end, End::Died(death) if death.doom == Some(Doom::Killed)) {
            self.killed.store(true, Ordering::Release);
        }
        let arrived = TakeOnce::new(Arrived {
            end,
            attempts,
            brought,
        });
        // An error: it was cancelled meanwhile, and has told so.
        let Ok(verdict) = self.core.finish(arrived, raised) else {
            return;
        };
        if verdict == Finish::Tell {
            self.core.state().tell();
        }
        if self.core.hooks().is_empty() {
            return;
        }
        match self.address.shared.upgrade() {
            Some(shared) => {
                let kept = shared.pool.keep();
                shared.put_off(Due::Hooks(self), kept);
            }
            // Its pool is over, and so nobody drains under a lock.
            None => self.fire_here(),
        }
    }

    /// Fires its hooks; the callbacks are handed back, to be made by whoever makes them.
    pub(crate) fn fire(&self) -> Vec<Callback> {
        let mut calls = Vec::new();
        self.core.fire(|call| calls.push(call));
        calls
    }

    fn fire_here(&self) {
        for call in self.fire() {
            call(self.status());
        }
    }

    /// How it ended.
    pub(crate) fn status(&self) -> Status {
        status_of(self.core.state())
    }

    /// Cancels it, as the pool's end has withdrawn it.
    pub(crate) fn withdraw(&self) {
        let _ = self.core.cancel(true);
    }

    /// Withdraws it from the queue; whether this call did.
    fn withdraw_queued(&self, shared: &Shared) -> bool {
        let mut kept = None;
        let withdrawn = shared.pool.cancel(
            || self.place(),
            || {
                // Under the table's lock, while the task is in the table: the pool does not end before its callbacks.
                kept = Some(shared.pool.keep());
                matches!(self.core.cancel(true).0, Cancel::Now(_))
            },
        );
        if withdrawn && let Some(kept) = kept {
            parcels::withdraw(self.owner());
            let calls = self.fire();
            shared.call(self.status(), calls, kept);
        }
        withdrawn
    }
}

impl Ended for RemoteTask {
    fn state(&self) -> &State {
        self.core.state()
    }

    fn has_begun(&self) -> bool {
        let is_taken = || {
            let shared = self.address.shared.upgrade();
            shared.is_some_and(|shared| shared.pool.is_taken(self.place()))
        };
        self.core.state().phase().is_done() || is_taken()
    }

    fn hook(&self, hook: Hook<Callback>) {
        let hook = match hook {
            // Nobody may ever wait for it: the background drains until it is called.
            Hook::Call(call) if !self.core.state().phase().is_done() => {
                let interest = self.address.interest();
                Hook::Call(Box::new(move |status| {
                    drop(interest);
                    call(status);
                }) as Callback)
            }
            other => other,
        };
        self.core.add_hook(hook, |call| call(self.status()));
    }

    fn sweep(&self, arrivals: &Arc<Arrivals>) {
        self.core.hooks().sweep(arrivals);
        if self.core.state().phase().is_done() {
            self.core.fire(|call| call(self.status()));
        }
    }

    fn cancel(&self) -> bool {
        let is_cancelled = || self.core.state().phase().is_cancelled();
        if self.core.state().phase().is_done() {
            return is_cancelled();
        }
        let Some(shared) = self.address.shared.upgrade() else {
            return is_cancelled();
        };
        if shared.pool.is_inherited() {
            return false;
        }
        self.withdraw_queued(&shared) || is_cancelled()
    }

    fn kill(&self) -> bool {
        let (mut asked, mut patience) = (false, Duration::from_millis(5));
        while !self.core.state().phase().is_done() {
            let Some(shared) = self.address.shared.upgrade() else {
                break;
            };
            if shared.pool.is_inherited() {
                return false;
            }
            match shared.pool.kill(|| self.place()) {
                Struck::Asked => asked = true,
                // It is about to be known how its worker has ended.
                Struck::Out if asked => {}
                Struck::Out => {
                    // That attempt has ended by itself. There is to be no other.
                    self.given_up.store(true, Ordering::Release);
                }
                Struck::Waiting if self.withdraw_queued(&shared) => return true,
                Struck::Waiting => {}
            }
            drop(shared);
            // It may have been taken and not begun, have gone back into the queue, or on to another process.
            self.wait(Deadline::after(patience));
            patience = (2 * patience).min(Duration::from_secs(1));
        }
        self.killed.load(Ordering::Acquire) || self.core.state().phase().is_cancelled()
    }

    fn wait(&self, deadline: Deadline) -> bool {
        let state = self.core.state();
        if state.told() {
            return true;
        }
        let Some(shared) = self.address.shared.upgrade() else {
            return state.phase().is_done();
        };
        if shared.pool.is_inherited() {
            return state.phase().is_done();
        }
        let told = || state.told();
        if let Some(is_done) = shared.lead(&told, deadline) {
            return is_done;
        }
        let _interest = shared.pool.interest();
        let waited = self.core.wait(deadline, || Ok::<(), Infallible>(()));
        !matches!(waited, Err(WaitError::TimedOut))
    }

    fn home(&self) -> &dyn Home {
        &self.address
    }
}

impl<T: Portable> Task<T> for RemoteTask {
    fn take(&self) -> Option<Result<T, TaskError>> {
        let phase = self.core.state().phase();
        if phase.is_cancelled() {
            return Some(Err(TaskError::Cancelled));
        }
        let Arrived {
            end,
            attempts,
            brought,
        } = self.core.value()?.take()?;
        Some(match end {
            End::Outcome {
                kind,
                payload,
                loans,
                ..
            } if kind & RAISED == 0 => Incoming::of_outcome(kind, &payload, loans, brought)
                .and_then(|mut incoming| incoming.read::<T>())
                .map_err(|error| {
                    TaskError::NotSent(format!("the result of {}: {error}", self.name()))
                }),
            End::Outcome { payload, .. } => Err(failure(&payload, self.name())),
            end => Err(death::error_of(end, attempts, self.name(), self.limits())),
        })
    }
}

/// The error that a worker has sent; it may have sent anything.
fn failure(payload: &[u8], name: &str) -> TaskError {
    match Incoming::new(payload).read::<Failure>() {
        Ok(failure) => failure.into(),
        Err(error) => TaskError::NotSent(format!("the error of {name}: {error}")),
    }
}

/// Whether an end is a panic of the function.
pub(crate) fn is_panic(end: &End) -> bool {
    let End::Outcome { kind, payload, .. } = end else {
        return false;
    };
    kind & RAISED != 0 && matches!(Incoming::new(payload).read(), Ok(Failure::Panicked { .. }))
}

/// A task as the engine holds it.
pub(crate) struct RemoteJob(pub Arc<RemoteTask>);

impl Job for RemoteJob {
    fn is_cancelled(&self) -> bool {
        self.0.core.state().phase().is_cancelled()
    }

    fn placed(&self, place: u64) {
        self.0.place.store(place, Ordering::Release);
        self.0.given_up.store(false, Ordering::Release);
    }

    fn finish(self, end: End, spare: Spare) {
        let task = self.0;
        if let End::Outcome { wall, cpu, .. } = &end
            && let Some(meter) = task.terms.as_ref().and_then(|terms| terms.meter.as_ref())
        {
            meter.record(Duration::from_nanos(*wall), Duration::from_nanos(*cpu));
        }
        if spare.open
            && let Some(shared) = task.address.shared.upgrade()
        {
            let kept = shared.pool.keep();
            shared.put_off(Due::Decide(task, Box::new((end, spare))), kept);
            return;
        }
        task.complete(end, spare.attempts);
    }

    fn dismiss(self) {}

    fn give_up(&self) {
        self.0.given_up.store(true, Ordering::Release);
    }

    fn is_given_up(&self) -> bool {
        self.0.is_given_up()
    }
}
