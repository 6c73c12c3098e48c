//! Keys: how arguments become the text under which a value is stored.
//!
//! `write` holds the writer that templates render into, `arg` the types that can stand in a
//! placeholder, `canonical` the JSON form behind `<name:hash>` and keys without a template.

mod arg;
mod canonical;
mod hashed;
#[cfg(test)]
mod tests;
mod write;

pub use arg::CacheKey;
pub use write::KeyWriter;
pub(crate) use write::escape_literal;
