use cache_runtime::CacheKey;

#[derive(CacheKey)]
#[cache_key("research:<topic>")]
struct Request {
    topic: String,
    depth: u8,
}

fn main() {}
