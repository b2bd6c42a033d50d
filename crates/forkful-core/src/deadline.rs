//! Until when a wait may last: the one notion of a timeout.

use std::time::{Duration, Instant};

/// A moment, or never.
///
/// A timeout that is negative or zero has passed already; one too long for the clock (centuries) means never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No limit.
    pub const NEVER: Deadline = Deadline(None);

    /// `timeout` from now.
    pub fn after(timeout: Duration) -> Deadline {
        Deadline(Instant::now().checked_add(timeout))
    }

    /// The one of the two that passes first.
    pub fn earlier(self, other: Deadline) -> Deadline {
        match (self.0, other.0) {
            (Some(one), Some(other)) => Deadline(Some(one.min(other))),
            (one, other) => Deadline(one.or(other)),
        }
    }

    /// What is left: `None` for ever, zero when it has passed.
    pub fn left(self) -> Option<Duration> {
        self.0
            .map(|at| at.saturating_duration_since(Instant::now()))
    }

    /// Whether it lies behind us.
    pub fn passed(self) -> bool {
        self.left() == Some(Duration::ZERO)
    }

    /// Whether there is no limit.
    pub fn is_never(self) -> bool {
        self.0.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_has_passed() {
        assert!(Deadline::after(Duration::ZERO).passed());
    }

    #[test]
    fn never_does_not_pass() {
        assert!(!Deadline::NEVER.passed());
        assert_eq!(Deadline::NEVER.left(), None);
    }

    #[test]
    fn centuries_mean_never() {
        assert!(Deadline::after(Duration::MAX).is_never());
    }

    #[test]
    fn never_is_later_than_anything() {
        let soon = Deadline::after(Duration::ZERO);
        let later = Deadline::after(Duration::from_secs(3600));
        assert_eq!(Deadline::NEVER.earlier(soon), soon);
        assert_eq!(soon.earlier(Deadline::NEVER), soon);
        assert_eq!(later.earlier(soon), soon);
        assert!(Deadline::NEVER.earlier(Deadline::NEVER).is_never());
    }

    #[test]
    fn an_hour_is_left() {
        assert!(
            Deadline::after(Duration::from_secs(3600)).left().unwrap() > Duration::from_secs(3000)
        );
    }
}
