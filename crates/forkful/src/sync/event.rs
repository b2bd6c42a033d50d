//! A flag that processes wait for.

use super::go_on;
use super::place::Words;
use forkful_core::deadline::Deadline;
use forkful_core::sync::EventCell;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::time::Duration;

/// A flag that one process sets and others wait for; nobody holds it, so nobody's death hurts it.
///
/// Whoever waited while it was set goes on, even if it is cleared at once.
///
/// # Examples
/// ```
/// use forkful::sync::Event;
///
/// let ready = Event::new()?;
/// let setter = ready.clone();
/// std::thread::spawn(move || setter.set());
/// ready.wait();
/// assert!(ready.is_set());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Serialize, Deserialize)]
pub struct Event {
    words: Words<EventCell>,
}

impl Event {
    /// A new one, that is not set.
    ///
    /// # Errors
    /// What the system says if it gives no shared memory.
    ///
    /// # Examples
    /// ```
    /// assert!(!forkful::sync::Event::new()?.is_set());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new() -> io::Result<Event> {
        Words::new().map(|words| Event { words })
    }

    /// Sets it, and lets all go who wait.
    ///
    /// # Examples
    /// ```
    /// # let event = forkful::sync::Event::new()?;
    /// event.set();
    /// event.wait();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn set(&self) {
        self.words.get().set();
    }

    /// Clears it: from now on whoever comes waits.
    ///
    /// # Examples
    /// ```
    /// # let event = forkful::sync::Event::new()?;
    /// event.set();
    /// event.clear();
    /// assert!(!event.is_set());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn clear(&self) {
        self.words.get().clear();
    }

    /// Whether it is set.
    ///
    /// # Examples
    /// ```
    /// # let event = forkful::sync::Event::new()?;
    /// assert!(!event.is_set());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_set(&self) -> bool {
        self.words.get().is_set()
    }

    /// Waits until it is set, or has been since the call began.
    ///
    /// # Examples
    /// ```
    /// # let event = forkful::sync::Event::new()?;
    /// # event.set();
    /// event.wait();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait(&self) {
        self.wait_until(Deadline::NEVER);
    }

    /// The same for `timeout` at most; whether it was set.
    ///
    /// # Examples
    /// ```
    /// # let event = forkful::sync::Event::new()?;
    /// assert!(!event.wait_timeout(std::time::Duration::from_millis(5)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_until(Deadline::after(timeout))
    }

    fn wait_until(&self, deadline: Deadline) -> bool {
        self.words.get().wait(deadline, go_on).is_ok()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("set", &self.is_set())
            .finish()
    }
}
