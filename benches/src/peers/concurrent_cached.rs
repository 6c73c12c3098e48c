//! `cached` 4.1: `#[concurrent_cached]` is its fastest form, `by_key` its single-flight form.

use std::sync::Arc;

use cached::macros::{cached, concurrent_cached};

use crate::model::{self, User};

pub const NAME: &str = "cached, concurrent_cached";
pub const BY_KEY: &str = "cached, by_key";

#[concurrent_cached(max_size = 10_000, ttl_secs = 3600)]
pub async fn shared(id: u64) -> Arc<User> {
    User::shared(id)
}

#[concurrent_cached(max_size = 10_000, ttl_secs = 3600)]
pub async fn owned(id: u64) -> User {
    User::new(id)
}

// One text is cheaper for it than a pair of them, and these arguments cannot collide.
#[concurrent_cached(
    max_size = 10_000,
    ttl_secs = 3600,
    key = "String",
    convert = r#"{ [organisation, ":", topic].concat() }"#
)]
pub async fn by_text(organisation: &str, topic: &str) -> Arc<User> {
    User::shared((organisation.len() + topic.len()) as u64)
}

#[cached(max_size = 10_000, ttl_secs = 3600, sync_writes = "by_key")]
pub async fn shared_by_key(id: u64) -> Arc<User> {
    User::shared(id)
}

#[concurrent_cached(max_size = 100_000, ttl_secs = 3600, key = "u64", convert = "{ id }")]
pub async fn loading(id: u64, load: fn(u64) -> u64) -> u64 {
    load(id)
}

#[cached(max_size = 10_000, ttl_secs = 3600, sync_writes = "by_key")]
pub async fn slow(id: u64) -> u64 {
    model::slow_load(id).await
}
