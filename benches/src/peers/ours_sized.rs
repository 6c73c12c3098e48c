//! `cache-runtime` with room for a given number of entries, all that it holds counted.

use cache_runtime::{Cache, cached};
use tokio::runtime::Runtime;

use crate::model;

pub const NEAR: &str = "cache-runtime, near";

#[cached(key = "room:<id>", skip(cache, load), cache = cache)]
pub async fn stored(cache: &Cache, id: u64, load: fn(u64) -> u64) -> u64 {
    load(id)
}

#[cached(near, key = "near:<id>", skip(cache, load), cache = cache)]
pub async fn near(cache: &Cache, id: u64, load: fn(u64) -> u64) -> u64 {
    load(id)
}

/// What one entry of the two functions is counted as, in bytes.
pub struct Weights {
    near: f64,
    local: f64,
    near_only: f64,
}

impl Weights {
    /// Weighs by filling caches of which it is known how many bytes they hold.
    pub fn weigh(runtime: &Runtime) -> Self {
        const BYTES: u64 = 4 << 20;
        let ids = model::ids(100_000);
        let fill = |near, local, is_near: bool| {
            let cache = build(runtime, near, local);
            runtime.block_on(async {
                for id in &ids {
                    if is_near {
                        self::near(&cache, *id, model::load).await;
                    } else {
                        stored(&cache, *id, model::load).await;
                    }
                }
                cache.stats().await
            })
        };
        let both = fill(BYTES, BYTES, false);
        let near_only = fill(BYTES, BYTES, true);
        let of = |entries: u64| BYTES as f64 / entries.max(1) as f64;
        Self {
            near: of(both.near_entries),
            local: of(both.local_entries.unwrap_or(1)),
            near_only: of(near_only.near_entries),
        }
    }

    /// A cache that holds so many entries in both places together, at the proportion that the
    /// defaults have: four bytes in the store for each near it.
    pub fn room(&self, runtime: &Runtime, entries: u64) -> Cache {
        let near = entries as f64 / (1.0 / self.near + 4.0 / self.local);
        build(runtime, near as u64, (4.0 * near) as u64)
    }

    /// A cache for values that are kept near only.
    pub fn near_room(&self, runtime: &Runtime, entries: u64) -> Cache {
        build(runtime, (entries as f64 * self.near_only) as u64, 1 << 20)
    }
}

#[allow(clippy::expect_used, reason = "the settings are right")]
pub fn build(runtime: &Runtime, near: u64, local: u64) -> Cache {
    let builder = Cache::builder().near_max_bytes(near).local_max_bytes(local).ttl(3600);
    runtime.block_on(builder.build()).expect("a cache with these settings")
}

/// How many entries it holds, wherever they are.
pub fn held(runtime: &Runtime, cache: &Cache) -> u64 {
    let stats = runtime.block_on(cache.stats());
    stats.near_entries + stats.local_entries.unwrap_or(0)
}

#[cached(key = "text:<id>", skip(cache), cache = cache)]
pub async fn text(cache: &Cache, id: u64) -> String {
    model::text(id)
}

#[cached(near, key = "near_text:<id>", skip(cache), cache = cache)]
pub async fn near_text(cache: &Cache, id: u64) -> String {
    model::text(id)
}
