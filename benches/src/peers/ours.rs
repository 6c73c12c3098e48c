//! `cache-runtime`, as its README shows it, with its defaults.

use std::sync::Arc;

use cache_runtime::cached;

use crate::model::User;

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
