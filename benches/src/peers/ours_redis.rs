//! `cache-runtime` over Redis: the backends `redis` and `tiered`, with their defaults.

use std::{
    collections::HashMap,
    sync::{Arc, OnceLock},
};

use cache_runtime::{Backend, Cache, RedisConfig, cached};

use super::ours::NAME;
use crate::model::{Failure, Profile, User, load};

/// The same with one connection in place of four: fewer, longer writes to the socket.
pub const ON_ONE: &str = "cache-runtime, 1 connection";

static REDIS: OnceLock<Cache> = OnceLock::new();
static ONE: OnceLock<Cache> = OnceLock::new();
static TIERED: OnceLock<Cache> = OnceLock::new();

pub async fn connect(url: &str) -> cache_runtime::Result<()> {
    for (cell, backend) in [(&REDIS, Backend::Redis), (&TIERED, Backend::Tiered)] {
        let cache = Cache::builder().backend(backend).namespace(NAME).redis_url(url)?.build().await?;
        let _ = cell.set(cache);
    }
    let mut config = RedisConfig::from_url(&url.into())?;
    config.connections = 1;
    let cache = Cache::builder().backend(Backend::Redis).namespace(NAME).redis(config).build().await?;
    let _ = ONE.set(cache);
    Ok(())
}

fn redis() -> &'static Cache {
    REDIS.get().unwrap_or_else(|| Cache::global())
}

fn one() -> &'static Cache {
    ONE.get().unwrap_or_else(|| Cache::global())
}

fn tiered() -> &'static Cache {
    TIERED.get().unwrap_or_else(|| Cache::global())
}

#[cached(ttl = 3600, key = "profile:<id>", cache = redis())]
pub async fn profile(id: u64) -> Result<Profile, Failure> {
    Ok(Profile::new(load(id)))
}

#[cached(ttl = 3600, key = "profile:<id>", cache = one())]
pub async fn on_one_connection(id: u64) -> Result<Profile, Failure> {
    Ok(Profile::new(load(id)))
}

#[cached(each = ids, ttl = 3600, key = "profile:<ids>", cache = redis())]
pub async fn profiles(ids: &[u64]) -> Result<HashMap<u64, Profile>, Failure> {
    Ok(ids.iter().map(|id| (*id, Profile::new(load(*id)))).collect())
}

#[cached(ttl = 3600, key = "user:<id>", cache = tiered())]
pub async fn near_hit(id: u64) -> Arc<User> {
    User::shared(id)
}
