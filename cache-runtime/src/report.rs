//! The log: what happened and how often, never a value and never a secret.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use crate::{
    clock::{Clock, Millis, millis},
    error::Error,
};

/// Lines of one kind are logged at most this often.
const PAUSE: Duration = Duration::from_secs(10);

/// Logs without flooding: a backend that is down fails every call.
#[derive(Default)]
pub(crate) struct Report {
    failures: Throttle,
    unreadable: Throttle,
}

impl Report {
    pub(crate) const fn new() -> Self {
        Self { failures: Throttle::new(), unreadable: Throttle::new() }
    }

    /// Logs one failure, or counts it until the next line.
    pub(crate) fn failure(&self, clock: &Clock, doing: &str, error: &Error) {
        if error.is_old_news() {
            return;
        }
        if let Some(more) = self.failures.claim(clock.now()) {
            tracing::warn!(kind = error.kind(), %error, more, "cache failed while {doing}; functions answer by themselves");
        }
    }

    /// Logs one stored value that is not of the wanted type, or counts it until the next line.
    pub(crate) fn unreadable(&self, clock: &Clock, key: &str, message: &str) {
        if let Some(more) = self.unreadable.claim(clock.now()) {
            tracing::warn!(key, message, more, "a stored value cannot be read as this type; it counts as a miss");
        }
    }
}

/// Lets one line of a kind pass in each [`PAUSE`].
#[derive(Default)]
struct Throttle {
    last: AtomicU64,
    silent: AtomicU64,
}

impl Throttle {
    const fn new() -> Self {
        Self { last: AtomicU64::new(0), silent: AtomicU64::new(0) }
    }

    /// The number of events since the last line, when it is time for one.
    fn claim(&self, now: Millis) -> Option<u64> {
        let last = self.last.load(Ordering::Relaxed);
        let due = last == 0 || now.saturating_sub(last) >= millis(PAUSE);
        if due && self.last.compare_exchange(last, now.max(1), Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            return Some(self.silent.swap(0, Ordering::Relaxed));
        }
        self.silent.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_is_one_line_that_counts_them() {
        let (lines, clock) = (Throttle::default(), Clock::manual());
        assert_eq!(lines.claim(clock.now()), Some(0));
        for _ in 0..5 {
            assert_eq!(lines.claim(clock.now()), None);
        }
        clock.advance(PAUSE);
        assert_eq!(lines.claim(clock.now()), Some(5));
    }
}
