//! Invalidations that wait for a database transaction.

use super::Invalidation;
use crate::{cache::Cache, error::Result};

/// Invalidations that are collected while a transaction runs and sent when it has committed.
///
/// Sent earlier, they would let a reader store the value from before the commit. Dropping this
/// without [`AfterCommit::commit`] sends none of them, as a rollback should.
///
/// ```
/// # use cache_runtime::Cache;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> cache_runtime::Result<()> {
/// # let cache = Cache::builder().build().await?;
/// let mut changes = cache.after_commit();
/// changes.key("user:7").tag("org:1");
/// // … the transaction runs and commits …
/// changes.commit().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing is invalidated until `commit` is awaited"]
pub struct AfterCommit {
    cache: Cache,
    invalidations: Vec<Invalidation>,
}

impl AfterCommit {
    pub(crate) fn new(cache: Cache) -> Self {
        Self { cache, invalidations: Vec::new() }
    }

    /// One that an `invalidate_*` function made.
    pub fn add(&mut self, invalidation: Invalidation) -> &mut Self {
        self.invalidations.push(invalidation);
        self
    }

    /// The value under a key.
    pub fn key(&mut self, key: impl AsRef<str>) -> &mut Self {
        let invalidation = self.cache.invalidate_key(key);
        self.add(invalidation)
    }

    /// All values with a tag.
    pub fn tag(&mut self, tag: impl AsRef<str>) -> &mut Self {
        let invalidation = self.cache.invalidate_tag(tag);
        self.add(invalidation)
    }

    /// All values whose key matches; see [`Cache::delete_pattern`].
    pub fn pattern(&mut self, pattern: impl AsRef<str>) -> &mut Self {
        let invalidation = self.cache.invalidate_pattern(pattern);
        self.add(invalidation)
    }

    /// Sends all of them at once. If this future is dropped, those that were sent but not
    /// acknowledged are retried like any other.
    ///
    /// # Errors
    ///
    /// The first one that was not acknowledged; see [`Invalidation`] for what happens then.
    pub async fn commit(self) -> Result<()> {
        Invalidation::all(self.invalidations).await
    }
}
