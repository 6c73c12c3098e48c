//! Settings: from the environment or by hand.

use std::{str::FromStr, time::Duration};

use crate::{
    codec::Coding,
    error::{Error, Result},
};

mod address;
mod redis;
mod sentinel;
mod tls;
mod unused;
mod url;
mod variables;

pub use address::Address;
pub use redis::RedisConfig;
pub use sentinel::SentinelConfig;
pub use tls::TlsConfig;
pub(crate) use variables::Variables;

/// Where values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Backend {
    /// In this process: what functions load as it is, what is set by hand encoded. The default.
    #[default]
    Local,
    /// On a Redis server alone, so that all processes read the same.
    Redis,
    /// On a Redis server, with decoded values in front that the server's messages keep coherent.
    Tiered,
}

impl Backend {
    /// The name that `CACHE_BACKEND` takes.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Redis => "redis",
            Self::Tiered => "tiered",
        }
    }
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "local" => Ok(Self::Local),
            "redis" => Ok(Self::Redis),
            "tiered" => Ok(Self::Tiered),
            _ => Err(Error::config(format!("CACHE_BACKEND is `{name}`; it can be `local`, `redis` or `tiered`"))),
        }
    }
}

/// What a cache needs to know beside its backend's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) backend: Backend,
    /// How long values live that say nothing of it.
    pub(crate) ttl: Duration,
    /// How long a lease lives unless it is renewed: what a dead process costs.
    pub(crate) lease: Duration,
    /// How long a value is kept at most that was loaded while a shared store could not be asked.
    pub(crate) outage_ttl: Duration,
    pub(crate) max_value_bytes: usize,
    pub(crate) near_max_bytes: u64,
    pub(crate) local_max_bytes: u64,
    /// How values are written.
    pub(crate) coding: Coding,
    /// Whether fills ignore every fence, see `Builder::without_fence_for_checker`.
    #[cfg(feature = "test-kit")]
    pub(crate) unfenced: bool,
}

/// How long a process that is cut off serves at most what it loads: others' changes of it go unheard.
pub(crate) const LONGEST_IN_OUTAGE: Duration = Duration::from_secs(10);

impl Default for Settings {
    fn default() -> Self {
        Self {
            backend: Backend::Local,
            ttl: Duration::from_secs(300),
            lease: Duration::from_secs(5),
            outage_ttl: LONGEST_IN_OUTAGE,
            max_value_bytes: 1 << 20,
            near_max_bytes: 64 << 20,
            local_max_bytes: 256 << 20,
            coding: Coding::default(),
            #[cfg(feature = "test-kit")]
            unfenced: false,
        }
    }
}
