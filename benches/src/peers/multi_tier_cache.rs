//! `multi-tier-cache` 0.6: moka in front of Redis.

use std::sync::{Arc, PoisonError, RwLock};

use multi_tier_cache::{CacheStrategy, CacheSystem, error::CacheResult};

use crate::model;

pub const NAME: &str = "multi-tier-cache, redis";

static SYSTEM: RwLock<Option<Arc<CacheSystem>>> = RwLock::new(None);

/// From now on this server is used, in the present runtime.
pub async fn connect(url: &str) -> CacheResult<()> {
    let system = CacheSystem::with_redis_url(url).await?;
    *SYSTEM.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(system));
    Ok(())
}

fn system() -> Option<Arc<CacheSystem>> {
    SYSTEM.read().unwrap_or_else(PoisonError::into_inner).clone()
}

fn key(id: u64) -> String {
    format!("version:{id}")
}

pub async fn version(id: u64) -> Option<u64> {
    let load = || async { Ok(crate::stale::load(id).await) };
    let system = system()?;
    system.cache_manager().get_or_compute_typed(&key(id), CacheStrategy::MediumTerm, load).await.ok()
}

pub async fn slow(id: u64) -> Option<u64> {
    let load = || async { Ok(model::slow_load(id).await) };
    let system = system()?;
    system.cache_manager().get_or_compute_typed(&format!("slow:{id}"), CacheStrategy::MediumTerm, load).await.ok()
}

/// Whether it says that this is done.
pub async fn invalidate(id: u64) -> bool {
    match system() {
        Some(system) => system.cache_manager().invalidate(&key(id)).await.is_ok(),
        None => false,
    }
}
