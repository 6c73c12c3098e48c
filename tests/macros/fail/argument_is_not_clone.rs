use cache_runtime::cached;

use cache_runtime::CacheKey;

#[derive(CacheKey)]
#[cache_key("<0>")]
struct Id(u64);

#[cached(key = "user:<id>", refresh_ahead = 0.8)]
async fn get_user(id: Id) -> u64 {
    id.0
}

fn main() {}
