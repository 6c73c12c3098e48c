//! cachelito-async 0.16.

use std::sync::Arc;

use cachelito_async::cache_async;

use crate::model::User;

pub const NAME: &str = "cachelito-async";

#[cache_async(limit = 10_000, ttl = 3600)]
pub async fn shared(id: u64) -> Arc<User> {
    User::shared(id)
}

#[cache_async(limit = 10_000, ttl = 3600)]
pub async fn owned(id: u64) -> User {
    User::new(id)
}

#[cache_async(limit = 10_000, ttl = 3600)]
pub async fn by_text(organisation: &str, topic: &str) -> Arc<User> {
    User::shared((organisation.len() + topic.len()) as u64)
}
