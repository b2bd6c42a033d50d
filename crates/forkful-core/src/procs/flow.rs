//! How full the ring is kept: enough that no worker waits for the parent, little enough that priorities mean something.

/// Work that lies ready per worker, in nanoseconds: what hides a late parent.
const AHEAD_NANOS: u64 = 2_000_000;

/// A task never counts as shorter: what a worker needs around it.
const LEAST_NANOS: u64 = 1_000;

/// Keeps an average of how long tasks take.
#[derive(Debug, Default)]
pub struct Flow {
    /// Moving average in nanoseconds; 0 as long as none has ended.
    average: u64,
}

impl Flow {
    /// One task has run so long.
    pub fn ran(&mut self, nanos: u64) {
        let nanos = nanos.clamp(1, 3_600_000_000_000);
        self.average = if self.average == 0 {
            nanos
        } else {
            // An eighth of each new one, rounded away from standing still.
            (self.average * 7 + nanos) / 8 + u64::from(nanos > self.average)
        };
    }

    /// How many tasks should lie ready for so many workers, `most` at most.
    pub fn window(&self, workers: u32, most: u32) -> u32 {
        // One more than there are workers: who finishes finds the next one there.
        let least = workers + 1;
        if self.average == 0 {
            return least.min(most);
        }
        let each = AHEAD_NANOS / self.average.max(LEAST_NANOS);
        let all = each.saturating_mul(u64::from(workers)).min(u64::from(most)) as u32;
        all.max(least.min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_tasks_keep_it_short_and_short_ones_long() {
        let mut flow = Flow::default();
        assert_eq!(flow.window(2, 3000), 3);
        flow.ran(100);
        assert_eq!(flow.window(2, 3000), 3000);
        for _ in 0..100 {
            flow.ran(5_000_000);
        }
        assert_eq!(flow.window(2, 3000), 3);
        for _ in 0..200 {
            flow.ran(20_000);
        }
        assert!((150..=250).contains(&flow.window(2, 3000)));
    }
}
