use cache_runtime::cached;

#[cached(key = "user:<id>", negative_ttl = 60)]
async fn get_user(id: u64) -> Result<u64, ()> {
    Ok(id)
}

fn main() {}
