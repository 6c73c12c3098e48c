use cache_runtime::cached;

struct Service;

impl Service {
    #[cached(key = "user:<self>:<id>")]
    async fn get_user(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
