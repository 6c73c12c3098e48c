use cache_runtime::CacheKey;

#[derive(CacheKey)]
struct Request {
    topic: String,
}

fn main() {}
