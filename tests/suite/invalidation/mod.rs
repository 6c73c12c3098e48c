//! Writers, tags, patterns and namespaces: what was invalidated never comes back.

use std::time::Duration;

use cache_runtime::Cache;

mod groups;
mod loads;
mod service;
mod unacknowledged;
mod writers;

/// Waits until no invalidation is pending.
async fn landed(cache: &Cache) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while cache.stats().await.pending_invalidations > 0 {
        assert!(tokio::time::Instant::now() < limit, "it never landed");
        tokio::time::sleep(Duration::from_millis(5)).await; // lets the retry run
    }
}
