//! A trait's declaration has nothing to cache.

use cache_runtime::cached;

trait Users {
    #[cached(key = "user:<id>")]
    async fn get_user(&self, id: u64) -> u64;
}

fn main() {}
