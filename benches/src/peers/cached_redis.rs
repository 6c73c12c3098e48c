//! `cached` 4.1 over Redis.

use std::sync::OnceLock;

use cached::{AsyncRedisCache, macros::concurrent_cached};

use crate::model::{Failure, Profile, load};

pub const NAME: &str = "cached, redis";

static URL: OnceLock<String> = OnceLock::new();

/// Where its store connects to when it is first used.
pub fn use_server(url: &str) {
    let _ = URL.set(url.to_owned());
}

#[concurrent_cached(
    map_error = |error| Failure(format!("{error:?}")),
    ty = "AsyncRedisCache<u64, Profile>",
    create = r##"{
        let url = URL.get().map_or("", String::as_str);
        AsyncRedisCache::builder("bench").ttl_secs(3600).connection_string(url).build().await.expect("the server answers")
    }"##
)]
pub async fn profile(id: u64) -> Result<Profile, Failure> {
    Ok(Profile::new(load(id)))
}
