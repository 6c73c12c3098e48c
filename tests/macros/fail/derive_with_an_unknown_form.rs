use cache_runtime::CacheKey;

#[derive(CacheKey)]
#[cache_key(sha256)]
struct Request {
    topic: String,
}

fn main() {}
