use cache_runtime::cached;

#[cached(key = "user:<id>", refresh_ahead = 80, jitter = 1.5)]
async fn get_user(id: u64) -> u64 {
    id
}

fn main() {}
