use cache_runtime::CacheKey;

#[derive(CacheKey)]
#[cache_key(hash)]
struct Request {
    topic: String,
}

fn main() {}
