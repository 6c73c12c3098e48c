//! Annotate an async method and it is cached.

mod cache;
mod call;
mod claims;
mod clock;
mod codec;
mod config;
mod epoch;
mod error;
mod flight;
mod invalidate;
mod key;
mod lifetime;
mod near;
mod policy;
mod registry;
mod report;
mod schema;
mod scope;
mod stats;
pub mod store;
mod task;

#[doc(hidden)]
pub mod __private;

pub use cache_macros::{CacheKey, cached, invalidates, refreshes};

pub use cache::{Add, Builder, Cache, GetOrLoad, Set, SetMany};
pub use clock::{Clock, Millis};
pub use codec::{Shared, Stored};
pub use config::{Backend, RedisConfig};
pub use error::{Error, Result};
pub use invalidate::Invalidation;
pub use key::{CacheKey, KeyWriter};
pub use policy::IntoTtl;
pub use registry::{FunctionInfo, Ttl, functions};
pub use stats::{Figures, FunctionStats, Stats};

/// The README's code compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
