//! What `cache = …` names is a cache.

use cache_runtime::{cached, invalidates};

#[cached(key = "number:<id>", cache = "redis")]
async fn get(id: u64) -> u64 {
    id
}

#[invalidates(tag = "numbers", cache = 5)]
async fn set(id: u64) -> u64 {
    id
}

fn main() {}
