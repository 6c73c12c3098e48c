use cache_runtime::cached;

#[cached(ttl = 0, key = "user:<id>")]
async fn get_user(id: u64) -> u64 {
    id
}

fn main() {}
