use cache_runtime::cached;

struct Users;

#[cached(ttl = 60)]
impl Users {
    async fn find(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
