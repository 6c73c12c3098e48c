use cache_runtime::cached;

use std::collections::HashMap;

#[cached(each = id, key = "user:<id>")]
async fn get_users(id: u64) -> HashMap<u64, String> {
    HashMap::from([(id, id.to_string())])
}

fn main() {}
