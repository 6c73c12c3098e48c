//! Annotate an async method and it is cached.

pub mod clock;
mod config;
mod error;
mod key;
mod policy;
pub mod store;

#[doc(hidden)]
pub mod __private;

pub use config::RedisConfig;
pub use error::{Error, Result};
pub use key::{CacheKey, KeyWriter};
