use cache_runtime::cached;

#[cached(key = "")]
async fn settings() -> u64 {
    1
}

fn main() {}
