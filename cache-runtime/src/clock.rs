//! Time: the system's, or one that a test moves by hand.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since the UNIX epoch.
pub type Millis = u64;

/// Where a cache gets the time from. It decides about freshness and deadlines, never about
/// whether an entry was invalidated.
#[derive(Clone, Default)]
pub struct Clock(Source);

#[derive(Clone, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's clock. It is read once at the start and then follows the monotonic clock, so
    /// that setting the system's time neither revives nor kills entries. On Linux it moves in steps
    /// of 1 to 10 ms, as the kernel is built: a deadline is kept to within one step.
    #[must_use]
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until [`Clock::advance`] moves it. It starts at the system's
    /// present time.
    #[must_use]
    pub fn manual() -> Self {
        Self(Source::Manual(Arc::new(AtomicU64::new(system_now()))))
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Millis {
        match &self.0 {
            Source::System => system_now(),
            Source::Manual(now) => now.load(Ordering::Acquire),
        }
    }

    #[cfg(feature = "test-kit")]
    pub(crate) fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }

    /// Moves a manual clock forward; the system's clock is not moved.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(now) = &self.0 {
            now.fetch_add(millis(by), Ordering::AcqRel);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Source::System => "Clock::system",
            Source::Manual(_) => "Clock::manual",
        })
    }
}

/// A length in whole milliseconds, at most about 584 million years.
pub(crate) fn millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

fn system_now() -> Millis {
    static BASE: OnceLock<(Millis, Millis)> = OnceLock::new();
    let (started, at) = BASE.get_or_init(|| {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        (monotonic_now(), at)
    });
    at.saturating_add(monotonic_now().saturating_sub(*started))
}

/// The coarse clock, which moves every 1 to 10 ms and is read without a system call.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn monotonic_now() -> Millis {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    now.tv_sec.unsigned_abs() * 1000 + now.tv_nsec.unsigned_abs() / 1_000_000
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn monotonic_now() -> Millis {
    static START: OnceLock<std::time::Instant> = OnceLock::new();
    millis(START.get_or_init(std::time::Instant::now).elapsed())
}
