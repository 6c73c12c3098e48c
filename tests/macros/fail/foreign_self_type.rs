use cache_runtime::cached;

trait Users {
    async fn find(&self, id: u64) -> u64;
}

#[cached]
impl Users for Vec<u64> {
    #[cached(key = "user:<id>")]
    async fn find(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
