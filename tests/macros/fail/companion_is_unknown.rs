use cache_runtime::cached;

#[cached(key = "user:<id>", companions(refesh))]
async fn get_user(id: u64) -> u64 {
    id
}

fn main() {}
