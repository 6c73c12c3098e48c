//! `multi-tier-cache` 0.6: moka in front of Redis.

use std::sync::OnceLock;

use multi_tier_cache::{CacheStrategy, CacheSystem, error::CacheResult};

pub const NAME: &str = "multi-tier-cache, redis";

static SYSTEM: OnceLock<CacheSystem> = OnceLock::new();

pub async fn connect(url: &str) -> CacheResult<()> {
    let _ = SYSTEM.set(CacheSystem::with_redis_url(url).await?);
    Ok(())
}

fn key(id: u64) -> String {
    format!("version:{id}")
}

pub async fn version(id: u64) -> Option<u64> {
    let load = || async { Ok(crate::stale::load(id).await) };
    let manager = SYSTEM.get()?.cache_manager();
    manager.get_or_compute_typed(&key(id), CacheStrategy::MediumTerm, load).await.ok()
}

/// Whether it says that this is done.
pub async fn invalidate(id: u64) -> bool {
    match SYSTEM.get() {
        Some(system) => system.cache_manager().invalidate(&key(id)).await.is_ok(),
        None => false,
    }
}
