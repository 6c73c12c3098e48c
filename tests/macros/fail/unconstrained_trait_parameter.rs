use cache_runtime::cached;

trait Repo<T> {
    async fn find(&self, id: T) -> u64;
}

struct Users;

#[cached]
impl<T: cache_runtime::CacheKey> Repo<T> for Users {
    #[cached(key = "user:<id>")]
    async fn find(&self, id: T) -> u64 {
        let _ = id;
        1
    }
}

fn main() {}
