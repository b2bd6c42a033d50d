//! How often something took how long: two buckets per doubling, from 64 ns to days.

use super::Counter;

/// Number of buckets; the last one has no upper bound.
pub const BUCKETS: usize = 88;

/// Below this many bits everything shares the first bucket: 64 ns, about what taking the time costs.
const FIRST_BITS: u32 = 6;

/// The bucket of a duration in nanoseconds.
#[inline]
pub fn bucket_of(nanos: u64) -> usize {
    if nanos < 1 << FIRST_BITS {
        return 0;
    }
    let octave = nanos.ilog2();
    let half = (nanos >> (octave - 1)) & 1;
    let index = 1 + 2 * (octave - FIRST_BITS) as usize + half as usize;
    index.min(BUCKETS - 1)
}

/// The exclusive upper bound of a bucket in nanoseconds; `None` for the last.
pub fn bucket_bound(index: usize) -> Option<u64> {
    if index + 1 >= BUCKETS {
        return None;
    }
    let (octave, half) = (FIRST_BITS + (index as u32) / 2, index as u64 % 2);
    Some((1 << octave) + half * (1 << (octave - 1)))
}

/// A histogram with one writer.
#[derive(Debug)]
pub struct Histogram {
    counts: [Counter; BUCKETS],
    total: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Histogram {
            counts: std::array::from_fn(|_| Counter::default()),
            total: Counter::default(),
        }
    }
}

impl Histogram {
    /// Counts one duration; only the histogram's one writer calls this.
    #[inline]
    pub fn record_owned(&self, nanos: u64) {
        self.counts[bucket_of(nanos)].add_owned(1);
        self.total.add_owned(nanos);
    }

    /// The sum of everything recorded, in nanoseconds.
    pub fn total(&self) -> u64 {
        self.total.get()
    }

    /// A copy.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            counts: std::array::from_fn(|index| self.counts[index].get()),
            total: self.total.get(),
        }
    }
}

/// A histogram at one moment.
#[derive(Clone, Debug)]
pub struct HistogramSnapshot {
    /// How many per bucket.
    pub counts: [u64; BUCKETS],
    /// Their sum in nanoseconds.
    pub total: u64,
}

impl Default for HistogramSnapshot {
    fn default() -> Self {
        HistogramSnapshot {
            counts: [0; BUCKETS],
            total: 0,
        }
    }
}

impl HistogramSnapshot {
    /// Adds another one to this.
    pub fn merge(&mut self, other: &HistogramSnapshot) {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        self.total += other.total;
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_rise() {
        for index in 1..BUCKETS - 1 {
            assert!(bucket_bound(index) > bucket_bound(index - 1));
        }
        assert_eq!(bucket_bound(BUCKETS - 1), None);
    }

    proptest! {
        #[test]
        fn a_duration_lies_within_its_bucket(nanos: u64) {
            let index = bucket_of(nanos);
            if let Some(bound) = bucket_bound(index) {
                prop_assert!(nanos < bound);
            }
            if index > 0 {
                prop_assert!(nanos >= bucket_bound(index - 1).unwrap());
            }
        }
    }

    #[test]
    fn a_merge_adds() {
        let histogram = Histogram::default();
        histogram.record_owned(100);
        histogram.record_owned(5_000_000);
        let mut sum = histogram.snapshot();
        sum.merge(&histogram.snapshot());
        assert_eq!(sum.count(), 4);
        assert_eq!(sum.total, 2 * 5_000_100);
    }
}
