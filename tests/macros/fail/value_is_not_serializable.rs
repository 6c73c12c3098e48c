use cache_runtime::cached;

#[derive(Clone)]
struct User;

#[cached(key = "user:<id>")]
async fn get_user(id: u64) -> Result<Option<User>, ()> {
    let _ = id;
    Ok(None)
}

fn main() {}
