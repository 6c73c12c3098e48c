//! A bare get of quick_cache, as a floor: it knows no ttl and loads nothing.

use std::hash::Hash;

use quick_cache::sync::Cache;

pub const NAME: &str = "floor: quick_cache get";

pub struct QuickCache<K, V>(Cache<K, V>);

impl<K: Hash + Eq, V: Clone> QuickCache<K, V> {
    pub fn filled(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let cache = Cache::new(10_000);
        entries.into_iter().for_each(|(key, value)| cache.insert(key, value));
        Self(cache)
    }

    pub async fn get(&self, key: K) -> Option<V> {
        self.0.get(&key)
    }
}

pub const LOADING: &str = "quick_cache";

/// Its look-up that loads what is missing.
pub async fn loading(cache: &Cache<u64, u64>, id: u64, load: fn(u64) -> u64) -> u64 {
    let loaded: Result<u64, ()> = cache.get_or_insert_async(&id, async { Ok(load(id)) }).await;
    loaded.unwrap_or_default()
}
