use cache_runtime::cached;

struct Users;

#[cached(key = "user:<id>")]
impl Users {
    #[cached]
    async fn find(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
