//! Versions of a source, cached by ourselves on each backend and by the peers that run in one
//! process; each with the invalidation that it offers for one key.

use std::sync::OnceLock;

use cache_runtime::{Backend, Cache, cached};
use cached::Cached as _;

use super::moka::Moka;
use crate::stale::load;

pub const LOCAL: &str = "cache-runtime, local";
pub const REDIS: &str = "cache-runtime, redis";
pub const TIERED: &str = "cache-runtime, tiered";

static ON_REDIS: OnceLock<Cache> = OnceLock::new();
static ON_TIERED: OnceLock<Cache> = OnceLock::new();
static IN_MOKA: OnceLock<Moka<u64, u64>> = OnceLock::new();

pub async fn connect(url: &str) -> cache_runtime::Result<()> {
    let each = [(&ON_REDIS, Backend::Redis, "redis"), (&ON_TIERED, Backend::Tiered, "tiered")];
    for (cell, backend, space) in each {
        let cache = Cache::builder().backend(backend).namespace(space).redis_url(url)?.build().await?;
        let _ = cell.set(cache);
    }
    Ok(())
}

fn or_global(cell: &'static OnceLock<Cache>) -> &'static Cache {
    cell.get().unwrap_or_else(|| Cache::global())
}

pub mod ours {
    use super::*;

    #[cached(ttl = 3600, key = "version:<id>")]
    pub async fn local(id: u64) -> u64 {
        load(id).await
    }

    #[cached(ttl = 3600, key = "version:<id>", cache = or_global(&ON_REDIS))]
    pub async fn redis(id: u64) -> u64 {
        load(id).await
    }

    #[cached(ttl = 3600, key = "version:<id>", cache = or_global(&ON_TIERED))]
    pub async fn tiered(id: u64) -> u64 {
        load(id).await
    }
}

pub mod by_key {
    use super::*;

    #[cached::macros::cached(max_size = 10_000, ttl_secs = 3600, sync_writes = "by_key")]
    pub async fn version(id: u64) -> u64 {
        load(id).await
    }

    pub async fn invalidate(id: u64) -> bool {
        let _ = VERSION.write().await.cache_remove(&id);
        true
    }
}

pub mod moka {
    use super::*;

    fn cache() -> &'static Moka<u64, u64> {
        IN_MOKA.get_or_init(|| Moka::new(10_000))
    }

    pub async fn version(id: u64) -> u64 {
        cache().0.get_with(id, load(id)).await
    }

    pub async fn invalidate(id: u64) -> bool {
        cache().0.invalidate(&id).await;
        true
    }
}
