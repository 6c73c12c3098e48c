//! How long a value lives: from options to deadlines.

use std::time::Duration;

use crate::{
    clock::{Millis, millis},
    policy::Policy,
    store::Life,
};

/// Longer lives are cut to this, about 100 years, so that deadlines cannot overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// How long a value is fresh, and how long after that it may still be served stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifetime {
    fresh: Duration,
    stale: Duration,
}

impl Lifetime {
    /// A value that is never served past its ttl.
    pub(crate) fn of(ttl: Duration) -> Self {
        Self { fresh: ttl.min(LONGEST), stale: Duration::ZERO }
    }

    /// A value under a function's options.
    pub(crate) fn under(policy: &Policy, ttl: Duration) -> Self {
        Self::shortened(policy, ttl, random_share())
    }

    /// The shortest life of a value under a function's options.
    pub(crate) fn at_least(policy: &Policy, ttl: Duration) -> Self {
        Self::shortened(policy, ttl, 1.0)
    }

    fn shortened(policy: &Policy, ttl: Duration, by: f64) -> Self {
        let fresh = policy.jitter.map_or(ttl, |share| ttl.mul_f64(1.0 - share.clamp(0.0, 1.0) * by));
        let stale = policy.stale_while_revalidate.max(policy.stale_if_error).unwrap_or_default();
        Self { fresh: fresh.min(LONGEST), stale: stale.min(LONGEST) }
    }

    /// Whether there is no time at all in which the value could be served.
    pub(crate) fn is_over(&self) -> bool {
        millis(self.fresh + self.stale) == 0
    }

    /// The life that begins now, and how long the store keeps the entry.
    pub(crate) fn from(self, now: Millis) -> (Life, Duration) {
        let fresh_until = now.saturating_add(millis(self.fresh));
        let dead_at = fresh_until.saturating_add(millis(self.stale));
        (Life { since: now, fresh_until, dead_at }, Duration::from_millis(dead_at - now))
    }
}

/// Uniform in 0..1. Good enough to spread deadlines, and for nothing else.
fn random_share() -> f64 {
    fastrand::f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_dead_when_its_longest_stale_window_ends() {
        let policy = Policy {
            stale_while_revalidate: Some(Duration::from_secs(5)),
            stale_if_error: Some(Duration::from_secs(60)),
            ..Policy::DEFAULT
        };
        let (life, keep) = Lifetime::under(&policy, Duration::from_secs(10)).from(1_000);
        assert_eq!(life, Life { since: 1_000, fresh_until: 11_000, dead_at: 71_000 });
        assert_eq!(keep, Duration::from_secs(70));
    }

    #[test]
    fn the_longest_ttl_does_not_overflow() {
        let (life, _) = Lifetime::of(Duration::MAX).from(u64::MAX - 5);
        assert_eq!(life.dead_at, u64::MAX);
    }

    #[test]
    fn jitter_shortens_by_at_most_its_share() {
        let policy = Policy { jitter: Some(0.1), ..Policy::DEFAULT };
        for _ in 0..1_000 {
            let (life, _) = Lifetime::under(&policy, Duration::from_secs(100)).from(0);
            assert!((90_000..=100_000).contains(&life.fresh_until), "{life:?}");
        }
    }

    /// `cargo test -p cache-runtime --lib lifetime -- --nocapture` shows the histogram.
    #[test]
    fn a_million_keys_that_are_set_together_do_not_expire_together() {
        const KEYS: usize = 1_000_000;
        const BUCKETS: usize = 20;
        let policy = Policy { jitter: Some(0.2), ..Policy::DEFAULT };
        let mut histogram = [0_usize; BUCKETS];
        for _ in 0..KEYS {
            let (life, _) = Lifetime::under(&policy, Duration::from_secs(100)).from(0);
            // From 80 s to 100 s, a second each; the full ttl itself counts to the last.
            let second = usize::try_from(life.fresh_until / 1_000).unwrap().saturating_sub(80);
            histogram[second.min(BUCKETS - 1)] += 1;
        }
        println!("{KEYS} keys with ttl = 100 and jitter = 0.2 expire at:");
        for (second, count) in histogram.iter().enumerate() {
            println!("{:>4} s {:<60} {count}", second + 80, "█".repeat(count * 50 / (KEYS / BUCKETS)));
        }
        // Even shares: 3 % is more than six standard deviations.
        let even = KEYS / BUCKETS;
        assert!(histogram.iter().all(|count| count.abs_diff(even) < even * 3 / 100), "{histogram:?}");
    }
}
