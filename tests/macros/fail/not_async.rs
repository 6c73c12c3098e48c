use cache_runtime::cached;

#[cached(ttl = 60, key = "user:<id>")]
fn get_user(id: u64) -> u64 {
    id
}

#[allow(dead_code)]
async fn callers_still_compile() {
    let _ = get_user(1);
    let _ = invalidate_get_user(1).await;
}

fn main() {}
