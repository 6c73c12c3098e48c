use cache_runtime::cached;

#[cached(ttl = 60, key = "user:<id>", ttl = "2m")]
async fn get_user(id: u64) -> u64 {
    id
}

fn main() {}
