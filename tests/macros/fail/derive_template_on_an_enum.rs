use cache_runtime::CacheKey;

#[derive(CacheKey)]
#[cache_key("kind:<0>")]
enum Kind {
    A(u8),
}

fn main() {}
