//! How much of the time a lock is held, found out by asking for it at random moments.
//!
//! The moments are a Poisson process, whose arrivals see what is true on average (Wolff 1982, "Poisson arrivals see time
//! averages"): of the time between two asks, such a share is held as the share of asks that found the lock held. The time of
//! a wait itself is known to be held. So the share does not depend on how long the holder makes others wait.

use crate::stats::Counter;
use std::time::Duration;

/// No gap is longer than so many mean ones: the shares that are cut off are e^-8.
const LONGEST: f64 = 8.0;

/// A thread that is woken so late has waited for a CPU.
const LATE: Duration = Duration::from_micros(150);

/// What the asks have found; one thread writes, anybody reads.
#[derive(Debug, Default)]
pub struct Asks {
    elapsed: Counter,
    waited: Counter,
    asks: Counter,
    held: Counter,
}

/// The sums at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AsksSnapshot {
    /// All that was looked at: gaps and waits.
    pub elapsed: Duration,
    /// The part of it that was spent waiting for the lock.
    pub waited: Duration,
    /// How often it was asked for.
    pub asks: u64,
    /// How often somebody had it.
    pub held: u64,
}

impl Asks {
    /// Writes down one ask: the gap before it, and how long it took where somebody `held` the lock.
    pub fn record(&self, gap: Duration, wait: Duration, held: bool) {
        let wait = if held { wait } else { Duration::ZERO };
        self.elapsed.add_owned(nanos(gap + wait));
        self.waited.add_owned(nanos(wait));
        self.held.add_owned(u64::from(held));
        self.asks.add_owned(1);
    }

    /// The sums until now; they may be one ask apart from each other.
    pub fn read(&self) -> AsksSnapshot {
        AsksSnapshot {
            elapsed: Duration::from_nanos(self.elapsed.get()),
            waited: Duration::from_nanos(self.waited.get()),
            asks: self.asks.get(),
            held: self.held.get(),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The gaps of a Poisson process: exponential, independent of all that happens.
#[derive(Debug)]
pub struct Gaps {
    mean: f64,
    state: u64,
}

impl Gaps {
    /// Gaps of `mean` on average; the same `seed` gives the same ones.
    pub fn new(mean: Duration, seed: u64) -> Gaps {
        Gaps {
            mean: mean.as_secs_f64(),
            state: seed,
        }
    }

    /// Whether a thread that woke up so long after the gap's end should ask from another CPU the next time.
    ///
    /// It has most likely waited for the one on which the lock's holder computes: then it comes only when that one rests, and
    /// finds the lock free. With both on one CPU, half of what was held in stretches of 2 ms was not seen.
    pub fn is_late(over: Duration) -> bool {
        over > LATE
    }

    /// How long to wait until the next ask.
    pub fn next_gap(&mut self) -> Duration {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^= bits >> 31;
        // In (0, 1]: the logarithm of 0 is not wanted.
        let uniform = ((bits >> 11) + 1) as f64 / (1_u64 << 53) as f64;
        Duration::from_secs_f64(self.mean * (-uniform.ln()).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_wait_counts_only_where_somebody_held_the_lock() {
        let asks = Asks::default();
        asks.record(2 * MS, 5 * MS, true);
        asks.record(3 * MS, MS, false);
        let expected = AsksSnapshot {
            elapsed: 10 * MS,
            waited: 5 * MS,
            asks: 2,
            held: 1,
        };
        assert_eq!(asks.read(), expected);
    }

    #[test]
    fn gaps_have_the_mean_and_the_spread_of_an_exponential() {
        let mut gaps = Gaps::new(MS, 1);
        let drawn: Vec<f64> = (0..100_000)
            .map(|_| gaps.next_gap().as_secs_f64() * 1e3)
            .collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.05, "{variance}");
        assert!(drawn.iter().all(|&gap| (0.0..=LONGEST).contains(&gap)));
    }

    #[test]
    fn the_share_of_a_lock_that_comes_and_goes_is_found() {
        // Held for the first 30 of each 100 units; whoever asks then waits until it is free.
        let (asks, mut gaps) = (Asks::default(), Gaps::new(MS, 7));
        let (period, hold) = (10.0 * 1e-3, 3.0 * 1e-3);
        let mut now = 0.0;
        for _ in 0..50_000 {
            let gap = gaps.next_gap();
            now += gap.as_secs_f64();
            let phase = now % period;
            let wait = if phase < hold { hold - phase } else { 0.0 };
            now += wait;
            asks.record(gap, Duration::from_secs_f64(wait), wait > 0.0);
        }
        let read = asks.read();
        let rest = (read.elapsed - read.waited).as_secs_f64();
        let share = read.held as f64 / read.asks as f64;
        let held = (read.waited.as_secs_f64() + share * rest) / read.elapsed.as_secs_f64();
        assert!((held - 0.3).abs() < 0.01, "{held}");
    }
}
