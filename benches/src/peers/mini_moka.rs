//! A bare get of mini-moka, as a floor: it has no `get_with` and loads nothing.

use std::{hash::Hash, time::Duration};

use mini_moka::sync::Cache;

pub const NAME: &str = "floor: mini-moka get";

pub struct MiniMoka<K, V>(Cache<K, V>);

impl<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> MiniMoka<K, V> {
    pub fn filled(entries: impl IntoIterator<Item = (K, V)>) -> Self {
        let cache = Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(3600)).build();
        entries.into_iter().for_each(|(key, value)| cache.insert(key, value));
        Self(cache)
    }

    pub async fn get(&self, key: K) -> Option<V> {
        self.0.get(&key)
    }
}
