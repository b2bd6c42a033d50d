//! What has not entered the ring yet: first come first served within a priority, smaller priorities first.

use std::collections::{BTreeMap, VecDeque};

/// Waiting entries.
#[derive(Debug)]
pub struct Backlog<R> {
    /// Priority 0, which nearly everything has.
    plain: VecDeque<R>,
    others: BTreeMap<i32, VecDeque<R>>,
    ahead: usize,
    behind: usize,
}

impl<R> Default for Backlog<R> {
    fn default() -> Self {
        Backlog {
            plain: VecDeque::new(),
            others: BTreeMap::new(),
            ahead: 0,
            behind: 0,
        }
    }
}

impl<R> Backlog<R> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.plain.len() + self.ahead + self.behind
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lane(&mut self, priority: i32) -> &mut VecDeque<R> {
        match priority {
            0 => &mut self.plain,
            _ => {
                *(if priority < 0 {
                    &mut self.ahead
                } else {
                    &mut self.behind
                }) += 1;
                self.others.entry(priority).or_default()
            }
        }
    }

    /// Behind all others of its priority.
    pub fn push(&mut self, priority: i32, entry: R) {
        self.lane(priority).push_back(entry);
    }

    /// Before all others of its priority: it was on its way once.
    pub fn push_front(&mut self, priority: i32, entry: R) {
        self.lane(priority).push_front(entry);
    }

    /// The next one.
    pub fn pop(&mut self) -> Option<R> {
        if self.ahead == 0 && !self.plain.is_empty() {
            return self.plain.pop_front();
        }
        let mut lane = match self.others.first_entry() {
            Some(lane) if self.ahead > 0 || self.plain.is_empty() => lane,
            _ => return self.plain.pop_front(),
        };
        let negative = *lane.key() < 0;
        let entry = lane.get_mut().pop_front();
        if lane.get().is_empty() {
            lane.remove();
        }
        if entry.is_some() {
            *(if negative {
                &mut self.ahead
            } else {
                &mut self.behind
            }) -= 1;
        }
        entry
    }

    /// The next one, to look at.
    pub fn peek(&self) -> Option<&R> {
        if self.ahead == 0 && !self.plain.is_empty() {
            return self.plain.front();
        }
        match self.others.first_key_value() {
            Some((_, lane)) if self.ahead > 0 || self.plain.is_empty() => lane.front(),
            _ => self.plain.front(),
        }
    }

    /// Everything, in order.
    pub fn take(&mut self) -> Vec<R> {
        let mut all = Vec::with_capacity(self.len());
        while let Some(entry) = self.pop() {
            all.push(entry);
        }
        self.plain = VecDeque::new();
        all
    }

    /// Keeps those that `wanted` says.
    pub fn retain(&mut self, mut wanted: impl FnMut(&R) -> bool) -> Vec<R> {
        let mut gone = Vec::new();
        let all = std::mem::take(&mut self.plain);
        for entry in all {
            if wanted(&entry) {
                self.plain.push_back(entry);
            } else {
                gone.push(entry);
            }
        }
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Like a stable sort by priority.
        #[test]
        fn a_stable_order(priorities in prop::collection::vec(-2i32..3, 0..40)) {
            let mut backlog = Backlog::default();
            let mut model: Vec<(i32, usize)> = Vec::new();
            for (index, &priority) in priorities.iter().enumerate() {
                backlog.push(priority, (priority, index));
                model.push((priority, index));
            }
            model.sort();
            prop_assert_eq!(backlog.len(), model.len());
            prop_assert_eq!(backlog.take(), model);
            prop_assert!(backlog.is_empty());
        }
    }

    #[test]
    fn who_comes_back_is_first() {
        let mut backlog = Backlog::default();
        backlog.push(0, 1);
        backlog.push_front(0, 2);
        backlog.push(-1, 3);
        backlog.push_front(-1, 4);
        assert_eq!(backlog.take(), [4, 3, 2, 1]);
    }
}
