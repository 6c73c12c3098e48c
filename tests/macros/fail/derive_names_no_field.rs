use cache_runtime::CacheKey;

#[derive(CacheKey)]
#[cache_key("research:<topik>", skip(topic))]
struct Request {
    topic: String,
}

fn main() {}
