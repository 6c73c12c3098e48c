//! `cache-runtime`, as its README shows it, with its defaults.

use std::sync::Arc;

use cache_runtime::cached;

use crate::model::{self, User};

pub const NAME: &str = "cache-runtime";

#[cached(ttl = 3600, key = "user:<id>")]
pub async fn shared(id: u64) -> Arc<User> {
    User::shared(id)
}

#[cached(ttl = 3600, key = "owned:<id>")]
pub async fn owned(id: u64) -> User {
    User::new(id)
}

#[cached(ttl = 3600, key = "text:<organisation>:<topic>")]
pub async fn by_text(organisation: &str, topic: &str) -> Arc<User> {
    User::shared((organisation.len() + topic.len()) as u64)
}

#[cached(ttl = 3600, key = "slow:<id>")]
pub async fn slow(id: u64) -> u64 {
    model::slow_load(id).await
}
