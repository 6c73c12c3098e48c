use cache_runtime::cached;

use std::collections::HashMap;

#[cached(each = ids, key = "user:<ids>")]
async fn get_users(ids: &[u64]) -> HashMap<String, String> {
    ids.iter().map(|id| (id.to_string(), id.to_string())).collect()
}

fn main() {}
