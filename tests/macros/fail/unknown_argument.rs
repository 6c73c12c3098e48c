use cache_runtime::cached;

#[cached(tll = 60, key = "user:<id>")]
async fn get_user(id: u64) -> u64 {
    id
}

fn main() {}
