use cache_runtime::cached;

#[cached(each = ids, key = "user:<ids>")]
async fn get_users(ids: &[u64]) -> Result<Vec<String>, ()> {
    Ok(ids.iter().map(ToString::to_string).collect())
}

fn main() {}
