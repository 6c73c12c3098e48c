//! What an annotated function asks for: lengths of life, freshness options, switches.

use std::time::Duration;

/// The options of one `#[cached]` attribute that are known when it is compiled.
///
/// `None` and `false` mean that the option was not given.
#[derive(Debug, Clone, Copy, PartialEq)]
#[doc(hidden)]
pub struct Policy {
    /// How long a value is fresh; the cache's default if not given.
    pub ttl: Option<Duration>,
    /// How long a `None` is cached; not at all if not given.
    pub negative_ttl: Option<Duration>,
    /// How long past its ttl a value may be served while one refresh runs in the background.
    pub stale_while_revalidate: Option<Duration>,
    /// How long past its ttl a value may be served when loading fails.
    pub stale_if_error: Option<Duration>,
    /// The share of the ttl, between 0 and 1, after which a hit refreshes in the background.
    pub refresh_ahead: Option<f64>,
    /// The share of the ttl, between 0 and 1, by which it is shortened at random.
    pub jitter: Option<f64>,
    /// A load slower than this answers with the stale value, if there is one.
    pub soft_timeout: Option<Duration>,
    /// Each hit starts the ttl anew.
    pub sliding: bool,
    /// Values stay in this process and are never serialized.
    pub near: bool,
    /// The load goes on when its caller has gone.
    pub detached: bool,
    /// Raised by hand when the meaning of a value changes; part of the key when not 0.
    pub version: u32,
}

impl Policy {
    /// No option given.
    pub const DEFAULT: Self = Self {
        ttl: None,
        negative_ttl: None,
        stale_while_revalidate: None,
        stale_if_error: None,
        refresh_ahead: None,
        jitter: None,
        soft_timeout: None,
        sliding: false,
        near: false,
        detached: false,
        version: 0,
    };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What can be given as a length of life: whole seconds, or a [`Duration`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a length of time",
    label = "expected seconds as a whole number, or a `std::time::Duration`"
)]
pub trait IntoTtl {
    /// The length; a negative number of seconds is none at all.
    fn into_ttl(self) -> Duration;
}

impl IntoTtl for Duration {
    fn into_ttl(self) -> Duration {
        self
    }
}

macro_rules! seconds {
    ($($type:ty),+) => {$(
        impl IntoTtl for $type {
            fn into_ttl(self) -> Duration {
                Duration::from_secs(u64::try_from(self).unwrap_or(0))
            }
        }
        impl IntoTtl for &$type {
            fn into_ttl(self) -> Duration {
                (*self).into_ttl()
            }
        }
    )+};
}

seconds!(u8, u16, u32, u64, usize, i32, i64);

impl IntoTtl for &Duration {
    fn into_ttl(self) -> Duration {
        *self
    }
}
