//! How an executor ends.
//!
//! Knows: nothing. Does not know: executors.

/// What becomes of the tasks of an executor that is shut down: see [`ThreadPoolExecutor::shutdown`](crate::ThreadPoolExecutor::shutdown).
///
/// New tasks are refused from then on, whichever it is.
///
/// # Examples
/// ```
/// use forkful::{Shutdown, TaskError, ThreadPoolExecutor};
/// use std::sync::mpsc::channel;
///
/// let pool = ThreadPoolExecutor::new(1);
/// let ((begin, begun), (end, ended)) = (channel(), channel::<()>());
/// let runs = pool.submit(move || {
///     begin.send(()).unwrap();
///     ended.recv().unwrap();
/// });
/// let waits = pool.submit(|| ());
/// begun.recv()?;
/// end.send(())?;
/// pool.shutdown(Shutdown::Cancel);
/// assert!(runs.result().is_ok());
/// assert!(matches!(waits.result(), Ok(()) | Err(TaskError::Cancelled)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shutdown {
    /// Everything that was accepted is run, and waited for.
    #[default]
    Wait,
    /// What has not begun is cancelled; what runs is waited for.
    Cancel,
    /// Everything that was accepted is run, and the call returns at once.
    Detach,
}
