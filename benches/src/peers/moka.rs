//! moka 0.12, the asynchronous one, with `get_with`.

use std::{hash::Hash, sync::Arc, time::Duration};

use moka::future::Cache;

use crate::model::{self, User};

pub const NAME: &str = "moka get_with";

pub struct Moka<K, V>(pub Cache<K, V>);

impl<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Moka<K, V> {
    pub fn new(capacity: u64) -> Self {
        Self(Cache::builder().max_capacity(capacity).time_to_live(Duration::from_secs(3600)).build())
    }
}

pub async fn shared(cache: &Moka<u64, Arc<User>>, id: u64) -> Arc<User> {
    cache.0.get_with(id, async { User::shared(id) }).await
}

pub async fn owned(cache: &Moka<u64, User>, id: u64) -> User {
    cache.0.get_with(id, async { User::new(id) }).await
}

pub async fn by_text(cache: &Moka<String, Arc<User>>, organisation: &str, topic: &str) -> Arc<User> {
    let load = async { User::shared((organisation.len() + topic.len()) as u64) };
    cache.0.get_with([organisation, ":", topic].concat(), load).await
}

pub async fn loading(cache: &Moka<u64, u64>, id: u64, load: fn(u64) -> u64) -> u64 {
    cache.0.get_with(id, async { load(id) }).await
}

pub async fn text(cache: &Moka<u64, String>, id: u64) -> String {
    cache.0.get_with(id, async { model::text(id) }).await
}

pub async fn slow(cache: &Moka<u64, u64>, id: u64) -> u64 {
    cache.0.get_with(id, model::slow_load(id)).await
}
