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
    stored: f64,
    near: f64,
}

impl Weights {
    /// Weighs by filling caches of which it is known how many bytes they hold.
    pub fn weigh(runtime: &Runtime) -> Self {
        const BYTES: u64 = 4 << 20;
        let ids = model::ids(100_000);
        let fill = |is_near: bool| {
            let cache = build(runtime, BYTES, BYTES);
            runtime.block_on(async {
                for id in &ids {
                    if is_near {
                        self::near(&cache, *id, model::load).await;
                    } else {
                        stored(&cache, *id, model::load).await;
                    }
                }
            });
            BYTES as f64 / held(runtime, &cache).max(1) as f64
        };
        Self { stored: fill(false), near: fill(true) }
    }

    /// A cache that holds so many entries of the function that the store keeps.
    pub fn room(&self, runtime: &Runtime, entries: u64) -> Cache {
        build(runtime, NEAR_BY_DEFAULT, (entries as f64 * self.stored) as u64)
    }

    /// A cache for values that are kept near only.
    pub fn near_room(&self, runtime: &Runtime, entries: u64) -> Cache {
        build(runtime, (entries as f64 * self.near) as u64, 1 << 20)
    }
}

/// Nothing is in it here: the embedded store keeps what functions load as it is.
const NEAR_BY_DEFAULT: u64 = 64 << 20;

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
