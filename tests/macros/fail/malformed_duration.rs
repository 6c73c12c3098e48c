use cache_runtime::cached;

#[cached(ttl = "10 parsecs", key = "user:<id>", negative_ttl = "soon")]
async fn get_user(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
