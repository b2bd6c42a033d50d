//! Waiting for one future: spin a moment, then sleep on its own word.

use super::state::State;
use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::sys::{Slept, spin_until};

/// Blocks until the future is done and its waiters were let go, who are known from the beginning: whoever completes it tells them when
/// he has let go of what they need.
///
/// `interrupt` is asked before the first sleep and whenever a signal arrives: an error from it ends the wait.
pub fn wait_until<E>(
    state: &State,
    deadline: Deadline,
    interrupt: impl FnMut() -> Result<(), E>,
) -> Result<(), WaitError<E>> {
    if state.expect().is_none() || spin_until(|| state.told()) {
        return Ok(());
    }
    sleep(state, deadline, interrupt)
}

/// The same for a waiter who needs nothing of whoever completes it: he is not known before he sleeps, so that a result that comes
/// during the spin costs its maker no wake.
pub fn sleep_until<E>(
    state: &State,
    deadline: Deadline,
    interrupt: impl FnMut() -> Result<(), E>,
) -> Result<(), WaitError<E>> {
    if spin_until(|| state.told()) {
        return Ok(());
    }
    sleep(state, deadline, interrupt)
}

fn sleep<E>(
    state: &State,
    deadline: Deadline,
    mut interrupt: impl FnMut() -> Result<(), E>,
) -> Result<(), WaitError<E>> {
    // A signal that came during the spin interrupts no sleep any more.
    interrupt().map_err(WaitError::Interrupted)?;
    while let Some((word, expected)) = state.expect() {
        match word.sleep(expected, deadline) {
            Slept::Woken => {}
            Slept::Interrupted => interrupt().map_err(WaitError::Interrupted)?,
            Slept::TimedOut if state.phase().is_done() => return Ok(()),
            Slept::TimedOut => return Err(WaitError::TimedOut),
        }
    }
    Ok(())
}
