//! What a future holds: the task until somebody begins it, the value once it is finished.
//!
//! Unsafe door 2 of the engine. The rules are those of [`super`]: a [`Claim`] or [`Seized`] proves that no other thread touches
//! the slot, FINISHED that nobody writes it any more.

#![allow(unsafe_code)]

use super::hooks::{Hook, Hooks};
use super::state::{Cancel, Claim, Finish, Phase, Seized, State};
use crate::deadline::Deadline;
use crate::error::WaitError;
use std::cell::UnsafeCell;

/// What is in the slot.
#[derive(Debug)]
pub enum Slot<T, V> {
    /// Nothing: no task was ever there, or it was taken.
    Empty,
    /// The task, until the future is begun or cancelled.
    Task(T),
    /// The value, or the error: the state says which.
    Value(V),
}

/// A future: its state, its slot, its hooks.
///
/// `T` is the task, `V` the value (an object, bytes, anything that is `Send`), `C` what is called at the end.
#[derive(Debug)]
pub struct Core<T, V, C> {
    state: State,
    hooks: Hooks<C>,
    slot: UnsafeCell<Slot<T, V>>,
}

// SAFETY: rules 1 to 4 of `super`: a slot is written by one thread at a time and read only when it is written no more.
unsafe impl<T: Send, V: Send + Sync, C: Send> Sync for Core<T, V, C> {}
// SAFETY: it owns everything in it.
unsafe impl<T: Send, V: Send, C: Send> Send for Core<T, V, C> {}

impl<T, V, C> Default for Core<T, V, C> {
    fn default() -> Self {
        Core::new(None)
    }
}

impl<T, V, C> Core<T, V, C> {
    /// A pending future, with the task to run where it has one.
    #[inline]
    pub fn new(task: Option<T>) -> Core<T, V, C> {
        Core {
            state: State::default(),
            hooks: Hooks::default(),
            slot: UnsafeCell::new(task.map_or(Slot::Empty, Slot::Task)),
        }
    }

    /// Its state.
    #[inline]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Its hooks.
    pub fn hooks(&self) -> &Hooks<C> {
        &self.hooks
    }

    /// PENDING -> RUNNING, with the task; `None` if somebody was faster. The inner `None`: it has no task.
    #[inline]
    pub fn begin(&self) -> Option<Option<T>> {
        let claim = self.state.begin()?;
        Some(self.take(claim))
    }

    /// The same with the right to write the value, see [`State::begin_seized`]; then [`Core::put`], and [`State::publish`].
    #[inline]
    pub fn begin_seized(&self) -> Option<(Option<T>, Seized)> {
        let (claim, seized) = self.state.begin_seized()?;
        Some((self.take(claim), seized))
    }

    /// Cancels a pending future; see [`State::cancel`]. The task is handed to the caller, to be dropped where it suits.
    pub fn cancel(&self, notified: bool) -> (Cancel, Option<T>) {
        match self.state.cancel(notified) {
            Cancel::Now(claim) => {
                let task = self.take(claim);
                (Cancel::Now(Claim(())), task)
            }
            other => (other, None),
        }
    }

    #[inline]
    fn take(&self, _claim: Claim) -> Option<T> {
        // SAFETY: the claim was just won: rule 2, nobody else touches the slot.
        match std::mem::replace(unsafe { &mut *self.slot.get() }, Slot::Empty) {
            Slot::Task(task) => Some(task),
            _ => None,
        }
    }

    /// Writes the value; the task is handed back if nobody had begun it.
    #[inline]
    pub fn put(&self, _seized: &Seized, value: V) -> Option<T> {
        // SAFETY: rule 3, the proof is borrowed: nobody else touches the slot, and it does not read as finished yet.
        match std::mem::replace(unsafe { &mut *self.slot.get() }, Slot::Value(value)) {
            Slot::Task(task) => Some(task),
            _ => None,
        }
    }

    /// Takes a value back that was written and could not be published; the future is as it was, but for its task.
    pub fn take_back(&self, seized: Seized, task: Option<T>) -> Option<V> {
        // SAFETY: rule 3, the proof is still ours: nobody else touches the slot.
        let slot = std::mem::replace(
            unsafe { &mut *self.slot.get() },
            task.map_or(Slot::Empty, Slot::Task),
        );
        self.state.release(seized);
        match slot {
            Slot::Value(value) => Some(value),
            _ => None,
        }
    }

    /// Seizes, writes and publishes in one go, for futures that nobody watches under a condition of his own.
    ///
    /// `Err` hands the value back if the future was done already. After `Ok` fire the hooks, and tell where the verdict says so.
    pub fn finish(&self, value: V, raised: bool) -> Result<Finish, (Phase, V)> {
        match self.state.seize() {
            Ok(seized) => {
                drop(self.put(&seized, value));
                Ok(self
                    .state
                    .publish(seized, raised, true)
                    .unwrap_or(Finish::Tell))
            }
            Err(phase) => Err((phase, value)),
        }
    }

    /// The value or the error, once finished.
    #[inline]
    pub fn value(&self) -> Option<&V> {
        if self.state.phase() != Phase::Finished {
            return None;
        }
        // SAFETY: rule 4, FINISHED was read with acquire: the value was written before and never changes.
        match unsafe { &*self.slot.get() } {
            Slot::Value(value) => Some(value),
            _ => None,
        }
    }

    /// Adds a hook; whatever fires already, because the future is done, is handed to `call` or fired at once.
    pub fn add_hook(&self, hook: Hook<C>, call: impl FnMut(C)) {
        self.hooks.push(hook);
        if self.state.phase().is_done() {
            self.fire(call);
        }
    }

    /// Fires the hooks that the phase allows: arrivals and wakers first, then the calls in the order in which they were added.
    pub fn fire(&self, mut call: impl FnMut(C)) {
        while let Some(calls) = self.hooks.fire(&self.state) {
            calls.into_iter().for_each(&mut call);
        }
    }

    /// Blocks until the future is done; see [`super::wait::wait_until`].
    pub fn wait<E>(
        &self,
        deadline: Deadline,
        interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<(), WaitError<E>> {
        super::wait::wait_until(&self.state, deadline, interrupt)
    }

    /// What is in the slot, for a tracing collector that has stopped everybody else.
    ///
    /// # Safety
    /// No other thread may call anything on this future meanwhile.
    pub unsafe fn peek(&self) -> &Slot<T, V> {
        // SAFETY: the caller's promise.
        unsafe { &*self.slot.get() }
    }

    /// Looks at the calls that are registered, for a tracing collector that has stopped everybody else.
    ///
    /// # Safety
    /// No other thread may call anything on this future meanwhile.
    pub unsafe fn peek_calls<E>(&self, mut look: impl FnMut(&C) -> Result<(), E>) -> Result<(), E> {
        let only_calls = |hook: &Hook<C>| match hook {
            Hook::Call(call) => look(call),
            _ => Ok(()),
        };
        // SAFETY: the caller's promise.
        unsafe { self.hooks.0.peek(only_calls) }
    }

    /// Empties the slot, whatever the state.
    ///
    /// # Safety
    /// No other thread may call anything on this future meanwhile, and nobody may hold what [`Core::value`] returned.
    pub unsafe fn replace(&self, slot: Slot<T, V>) -> Slot<T, V> {
        // SAFETY: the caller's promise.
        std::mem::replace(unsafe { &mut *self.slot.get() }, slot)
    }
}

#[cfg(test)]
mod tests {
    use super::super::hooks::Arrivals;
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Wake, Waker};
    use std::time::Duration;

    type Bytes = Core<&'static str, Vec<u8>, Box<dyn FnOnce() + Send>>;

    #[test]
    fn a_task_goes_in_and_bytes_come_out() {
        let future = Bytes::new(Some("task"));
        assert_eq!(future.begin(), Some(Some("task")));
        assert_eq!(future.begin(), None);
        assert!(future.value().is_none());
        assert!(matches!(
            future.finish(vec![1, 2], false),
            Ok(Finish::Quiet)
        ));
        assert_eq!(future.value(), Some(&vec![1, 2]));
        assert_eq!(
            future.finish(vec![3], false).unwrap_err(),
            (Phase::Finished, vec![3])
        );
    }

    #[test]
    fn a_cancelled_task_is_handed_back() {
        let future = Bytes::new(Some("task"));
        let (verdict, task) = future.cancel(true);
        assert!(matches!(verdict, Cancel::Now(_)));
        assert_eq!(task, Some("task"));
        assert_eq!(future.begin(), None);
    }

    #[test]
    fn a_waiter_wakes_with_the_value() {
        let future = Arc::new(Bytes::default());
        let waiter = {
            let future = future.clone();
            std::thread::spawn(move || {
                future.wait::<()>(Deadline::NEVER, || Ok(())).unwrap();
                future.value().cloned()
            })
        };
        if let Finish::Tell = future.finish(b"now".to_vec(), false).unwrap() {
            future.state().tell();
        }
        assert_eq!(waiter.join().unwrap(), Some(b"now".to_vec()));
    }

    #[test]
    fn a_wait_times_out_and_can_be_interrupted() {
        let future = Bytes::default();
        let soon = Deadline::after(Duration::from_millis(2));
        assert_eq!(future.wait::<()>(soon, || Ok(())), Err(WaitError::TimedOut));
        assert_eq!(
            future.wait(Deadline::NEVER, || Err("stop")),
            Err(WaitError::Interrupted("stop"))
        );
    }

    #[test]
    fn hooks_fire_in_order_and_once() {
        struct Count(AtomicU32);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let future: Core<(), u8, u32> = Core::default();
        let (count, arrivals) = (
            Arc::new(Count(AtomicU32::new(0))),
            Arc::new(Arrivals::default()),
        );
        let mut called = Vec::new();
        for name in 0..3 {
            future.add_hook(Hook::Call(name), |_| unreachable!("not done yet"));
        }
        future.add_hook(Hook::Wake(Waker::from(count.clone())), |_| unreachable!());
        future.add_hook(Hook::Arrive(arrivals.clone(), 7), |_| unreachable!());
        let _ = future.finish(1, false).unwrap();
        future.fire(|name| called.push(name));
        future.fire(|name| called.push(name));
        future.add_hook(Hook::Call(3), |name| called.push(name));
        assert_eq!(called, [0, 1, 2, 3]);
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert_eq!((arrivals.pop(), arrivals.pop()), (Some(7), None));
    }

    #[test]
    fn arrivals_wait_for_the_notification_of_a_cancellation() {
        let future: Core<(), u8, u32> = Core::default();
        let arrivals = Arc::new(Arrivals::default());
        future.add_hook(Hook::Arrive(arrivals.clone(), 1), |_| unreachable!());
        future.add_hook(Hook::Call(5), |_| unreachable!());
        let (verdict, _) = future.cancel(false);
        assert!(matches!(verdict, Cancel::Now(_)));
        let mut called = Vec::new();
        future.fire(|name| called.push(name));
        assert_eq!((called.as_slice(), arrivals.pop()), ([5].as_slice(), None));
        assert!(future.state().notify());
        future.fire(|_| unreachable!());
        assert_eq!(arrivals.pop(), Some(1));
    }

    #[test]
    fn a_swept_arrival_is_gone() {
        let future: Core<(), u8, u32> = Core::default();
        let (kept, swept) = (Arc::new(Arrivals::default()), Arc::new(Arrivals::default()));
        future.add_hook(Hook::Arrive(kept.clone(), 1), |_| unreachable!());
        future.add_hook(Hook::Arrive(swept.clone(), 2), |_| unreachable!());
        future.hooks().sweep(&swept);
        assert_eq!(Arc::strong_count(&swept), 1);
        let _ = future.finish(1, false).unwrap();
        future.fire(|_| unreachable!());
        assert_eq!((kept.pop(), swept.pop()), (Some(1), None));
    }
}
