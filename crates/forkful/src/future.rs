//! A value that arrives later.
//!
//! Knows: the engine's state of it, and its home. Does not know: which executor that is.

use crate::error::{Refusal, TaskError};
use crate::home::{Callback, Ended, Home, Nowhere, Status, Task};
use crate::polled::Polled;
use crate::quiet::quietly;
use forkful_core::deadline::Deadline;
use forkful_core::future::{Arrivals, Hook, Phase, State, TakeOnce};
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The result of a task that was submitted to an executor.
///
/// It can be waited for ([`result`](Future::result)), asked ([`is_done`](Future::is_done)), cancelled, be told of
/// ([`add_done_callback`](Future::add_done_callback), [`then`](Future::then)), collected with others ([`wait`](fn@crate::wait),
/// [`as_completed`](crate::as_completed)), and awaited in any asynchronous runtime. Whoever drops it lets the task run all the same.
///
/// # Examples
/// ```
/// let pool = forkful::ThreadPoolExecutor::new(2);
/// let (first, second) = (pool.submit(|| 1), pool.submit(|| 2));
/// assert_eq!(first.result()? + second.result()?, 3);
///
/// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
/// let third = pool.submit(|| 3);
/// assert_eq!(runtime.block_on(third)?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a future that is dropped takes its task's result and errors with it"]
pub struct Future<T> {
    task: Arc<dyn Task<T>>,
    /// Most are never polled.
    polled: Option<Polled>,
}

impl<T> Future<T> {
    /// Of this task.
    pub(crate) fn of(task: Arc<dyn Task<T>>) -> Future<T> {
        Future { task, polled: None }
    }

    /// Whether it has a result: a value, an error, or that it was cancelled.
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// let future = pool.submit(|| 1);
    /// pool.shutdown(forkful::Shutdown::Wait);
    /// assert!(future.is_done());
    /// ```
    pub fn is_done(&self) -> bool {
        let is_done = || self.task.state().phase().is_done();
        is_done() || {
            self.task.home().poll();
            is_done()
        }
    }

    /// Whether a worker has begun it, and not ended.
    ///
    /// # Examples
    /// ```
    /// use std::sync::mpsc::channel;
    ///
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// let ((begin, begun), (end, ended)) = (channel(), channel::<()>());
    /// let future = pool.submit(move || {
    ///     begin.send(()).unwrap();
    ///     ended.recv().unwrap();
    /// });
    /// begun.recv()?;
    /// assert!(future.is_running());
    /// end.send(())?;
    /// future.result()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn is_running(&self) -> bool {
        self.task.home().poll();
        self.task.has_begun() && !self.task.state().phase().is_done()
    }

    /// Whether it was cancelled.
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// let future = pool.submit(|| 1);
    /// assert_eq!(future.cancel(), future.is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.task.state().phase().is_cancelled()
    }

    /// Cancels the task if no worker has begun it; whether it is cancelled now.
    ///
    /// A task that runs is not stopped; one in a process can be ended by [`kill`](Future::kill).
    ///
    /// # Examples
    /// ```
    /// use forkful::TaskError;
    ///
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// let (end, ended) = std::sync::mpsc::channel::<()>();
    /// let _holds_the_thread = pool.submit(move || ended.recv().is_ok());
    /// let waits = pool.submit(|| "never run");
    /// let is_cancelled = waits.cancel();
    /// end.send(())?;
    /// assert!(is_cancelled);
    /// assert!(matches!(waits.result(), Err(TaskError::Cancelled)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cancel(&self) -> bool {
        self.task.cancel()
    }

    /// Cancels the task, or ends it by force if it runs in a worker process; whether it will not come to its own end.
    ///
    /// The process is killed and replaced, and the result is [`TaskError::Killed`]. A running thread can't be stopped: then it
    /// returns false.
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// let mut future = pool.submit(|| 1);
    /// assert_eq!(future.result_timeout(std::time::Duration::from_secs(60))?, 1);
    /// assert!(!future.kill(), "too late");
    /// # Ok::<(), forkful::TaskError>(())
    /// ```
    pub fn kill(&self) -> bool {
        self.cancel() || self.task.kill()
    }

    /// Blocks until the task is done, and returns its result.
    ///
    /// A worker of the same thread pool that calls this runs the task itself if it is still queued; otherwise another thread takes the
    /// worker's place meanwhile. So tasks may wait for tasks of their own pool.
    ///
    /// # Errors
    /// What the task ended with: [`TaskError::Panicked`], [`TaskError::WorkerDied`], [`TaskError::Cancelled`] and so on; never
    /// [`TaskError::TimedOut`].
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// assert_eq!(pool.submit(|| 6 * 7).result()?, 42);
    /// # Ok::<(), forkful::TaskError>(())
    /// ```
    pub fn result(self) -> Result<T, TaskError> {
        if self.task.wait(Deadline::NEVER) {
            self.taken()
        } else {
            // Only where nobody can ever complete it.
            Err(TaskError::Refused(Refusal::Inherited))
        }
    }

    /// The same for `timeout` at most. The future can be asked again after [`TaskError::TimedOut`].
    ///
    /// # Errors
    /// [`TaskError::TimedOut`] when the time is over, otherwise what the task ended with.
    ///
    /// # Panics
    /// If an earlier call has returned the result.
    ///
    /// # Examples
    /// ```
    /// use forkful::TaskError;
    /// use std::time::Duration;
    ///
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// let (end, ended) = std::sync::mpsc::channel();
    /// let mut future = pool.submit(move || ended.recv().unwrap());
    /// let early = future.result_timeout(Duration::from_millis(1));
    /// assert!(matches!(early, Err(TaskError::TimedOut)));
    /// end.send("late")?;
    /// assert_eq!(future.result()?, "late");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn result_timeout(&mut self, timeout: Duration) -> Result<T, TaskError> {
        if self.wait_timeout(timeout) {
            self.taken()
        } else if self.task.home().is_inherited() {
            Err(TaskError::Refused(Refusal::Inherited))
        } else {
            Err(TaskError::TimedOut)
        }
    }

    /// Blocks until the task is done, for `timeout` at most; whether it is.
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// let future = pool.submit(|| 1);
    /// assert!(future.wait_timeout(std::time::Duration::from_secs(60)));
    /// assert_eq!(future.result()?, 1);
    /// # Ok::<(), forkful::TaskError>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.task.wait(Deadline::after(timeout))
    }

    fn taken(&self) -> Result<T, TaskError> {
        match self.task.take() {
            Some(result) => result,
            None => panic!("the result of this future was taken before"),
        }
    }

    /// Has `callback` called when the task is done, with how it ended; at once, in this thread, if it is done already.
    ///
    /// Otherwise it is called by the thread that completed or cancelled the task, after those who wait were woken; for a pool of processes
    /// by a thread of that pool. Callbacks are called in the order in which they were added. A panic in one of them is printed by
    /// the panic hook, and ends nothing else. The value goes to whoever owns the future: see [`then`](Future::then) for a callback that
    /// is handed it.
    ///
    /// # Examples
    /// ```
    /// use forkful::Status;
    ///
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let future = pool.submit(|| 1);
    /// future.add_done_callback(move |status| tell.send(status).unwrap());
    /// assert_eq!(told.recv()?, Status::Returned);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_done_callback(&self, callback: impl FnOnce(Status) + Send + 'static) {
        self.task.hook(Hook::Call(guarded(callback)));
    }

    /// Hands the result to `callback` when it is there; see [`add_done_callback`](Future::add_done_callback) for where and when.
    ///
    /// # Panics
    /// If an earlier call has returned the result.
    ///
    /// # Examples
    /// ```
    /// let pool = forkful::ThreadPoolExecutor::new(1);
    /// let (tell, told) = std::sync::mpsc::channel();
    /// pool.submit(|| 20).then(move |result| tell.send(result.unwrap() + 1).unwrap());
    /// assert_eq!(told.recv()?, 21);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn then(self, callback: impl FnOnce(Result<T, TaskError>) + Send + 'static)
    where
        T: 'static,
    {
        if self.task.state().phase().is_done() {
            let result = self.taken();
            quietly(move || callback(result));
            return;
        }
        let task = self.task.clone();
        self.task.hook(Hook::Call(guarded(move |_| {
            if let Some(result) = task.take() {
                callback(result);
            }
        })));
    }

    /// The task, for whoever waits for many.
    pub(crate) fn task(&self) -> &Arc<dyn Task<T>> {
        &self.task
    }
}

/// A callback whose panics go no further than the panic hook.
fn guarded(callback: impl FnOnce(Status) + Send + 'static) -> Callback {
    Box::new(move |status| {
        quietly(move || callback(status));
    })
}

impl<T: Send + 'static> Future<T> {
    /// A future that has its result already.
    pub(crate) fn ready(result: Result<T, TaskError>) -> Future<T> {
        Future::of(Arc::new(Ready {
            state: State::new(match result {
                Err(TaskError::Cancelled) => Phase::CancelledAndNotified,
                _ => Phase::Finished,
            }),
            failed: result.is_err(),
            result: TakeOnce::new(result),
        }))
    }
}

/// How a task that is done ended.
pub(crate) fn status_of(state: &State) -> Status {
    match state.phase() {
        phase if phase.is_cancelled() => Status::Cancelled,
        _ if state.raised() => Status::Failed,
        _ => Status::Returned,
    }
}

/// A task that was never run.
struct Ready<T> {
    state: State,
    failed: bool,
    result: TakeOnce<Result<T, TaskError>>,
}

impl<T: Send> Ended for Ready<T> {
    fn state(&self) -> &State {
        &self.state
    }

    fn has_begun(&self) -> bool {
        true
    }

    fn hook(&self, hook: Hook<Callback>) {
        match hook {
            Hook::Call(call) if self.state.phase().is_cancelled() => call(Status::Cancelled),
            Hook::Call(call) if self.failed => call(Status::Failed),
            Hook::Call(call) => call(Status::Returned),
            Hook::Wake(waker) => waker.wake(),
            Hook::Arrive(arrivals, token) => arrivals.arrive(token),
        }
    }

    fn sweep(&self, _arrivals: &Arc<Arrivals>) {}

    fn cancel(&self) -> bool {
        self.state.phase().is_cancelled()
    }

    fn kill(&self) -> bool {
        false
    }

    fn wait(&self, _deadline: Deadline) -> bool {
        true
    }

    fn home(&self) -> &dyn Home {
        &Nowhere
    }
}

impl<T: Send> Task<T> for Ready<T> {
    fn take(&self) -> Option<Result<T, TaskError>> {
        self.result.take()
    }
}

impl<T> std::future::Future for Future<T> {
    type Output = Result<T, TaskError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let is_done = |future: &Self| future.task.state().phase().is_done();
        if is_done(&self) {
            return Poll::Ready(self.taken());
        }
        let Future { task, polled } = &mut *self;
        match polled {
            Some(polled) => polled.wakes(context.waker()),
            None => {
                let first = polled.insert(Polled::new(context.waker().clone()));
                task.hook(Hook::Wake(first.hook()));
                first.keep(task.home().interest());
            }
        }
        // It may have been completed before it could see that waker.
        if is_done(&self) {
            return Poll::Ready(self.taken());
        }
        if self.task.home().is_inherited() {
            return Poll::Ready(Err(TaskError::Refused(Refusal::Inherited)));
        }
        Poll::Pending
    }
}

// It is waited for and polled between whole steps, and holds no value that it lends out.
impl<T> UnwindSafe for Future<T> {}
impl<T> RefUnwindSafe for Future<T> {}

impl<T> fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.task.state().phase() {
            phase if phase.is_cancelled() => "cancelled",
            phase if phase.is_done() => "done",
            _ if self.task.has_begun() => "running",
            _ => "pending",
        };
        f.debug_struct("Future").field("state", &state).finish()
    }
}
