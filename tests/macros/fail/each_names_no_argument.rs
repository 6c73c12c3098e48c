use cache_runtime::cached;

use std::collections::HashMap;

#[cached(each = id, key = "user:<ids>")]
async fn get_users(ids: &[u64]) -> HashMap<u64, String> {
    ids.iter().map(|id| (*id, id.to_string())).collect()
}

fn main() {}
