//! A flag that processes wait for: nobody holds it, and whoever waited while it was set goes on, even if it is cleared at once.

use crate::deadline::Deadline;
use crate::error::WaitError;
use crate::shm::EventCell;
use crate::sync::sleepers::Post;

impl EventCell {
    /// Whether it is set.
    #[inline]
    pub fn is_set(&self) -> bool {
        self.flag.number() & 1 != 0
    }

    /// Sets it and lets all go who wait; a kill comes before both or after both.
    pub fn set(&self) {
        // One that was set, set once more, is as it was; the kernel's change of one bit has no need to look first.
        let unset = |number: u32| number & 1 == 0;
        let _ = self.flag.post(Post::SetLowest, u32::MAX, unset);
    }

    /// Clears it. The next number is an even one that no waiter has seen: who was let go does not mistake it for the old one.
    pub fn clear(&self) {
        let _ = self
            .flag
            .update(|number| (number & 1 != 0).then(|| number.wrapping_add(1)));
    }

    /// Waits until it is set, or has been since the call began.
    pub fn wait<E>(
        &self,
        deadline: Deadline,
        interrupt: impl FnMut() -> Result<(), E>,
    ) -> Result<(), WaitError<E>> {
        let begin = self.flag.number();
        if begin & 1 != 0 {
            return Ok(());
        }
        let changed = |number| {
            if number == begin { Err(number) } else { Ok(()) }
        };
        self.flag.wait(changed, deadline, interrupt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn never() -> Result<(), ()> {
        Ok(())
    }

    #[test]
    fn it_is_set_and_cleared_and_waited_for() {
        let event = EventCell::default();
        event.clear();
        assert!(!event.is_set());
        let soon = Deadline::after(Duration::from_millis(2));
        assert_eq!(event.wait(soon, never), Err(WaitError::TimedOut));
        event.set();
        event.set();
        assert!(event.is_set());
        assert_eq!(event.wait(Deadline::NEVER, never), Ok(()));
        event.clear();
        assert!(!event.is_set());
    }

    #[test]
    fn who_waited_goes_on_even_if_it_is_cleared_at_once() {
        let event = EventCell::default();
        std::thread::scope(|scope| {
            let waiters: Vec<_> = (0..3)
                .map(|_| scope.spawn(|| event.wait(Deadline::NEVER, never)))
                .collect();
            while event.flag.waiters() < 3 {
                std::thread::yield_now();
            }
            event.set();
            event.clear();
            for waiter in waiters {
                assert_eq!(waiter.join().unwrap(), Ok(()));
            }
        });
        assert!(!event.is_set());
    }
}
