//! One mistake in a key is one error, and none where the key is used.

use cache_runtime::{CacheKey, cached};

#[derive(CacheKey)]
#[cache_key("<topic>-<depth>")]
struct Request {
    topic: String,
    depth: u8,
}

#[cached(key = "research:<request>")]
async fn research(request: Request) -> usize {
    request.topic.len()
}

fn main() {}
