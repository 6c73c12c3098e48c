use cache_runtime::cached;

struct User;

#[cached(near, key = "user:<id>")]
async fn get_user(id: u64) -> Option<User> {
    let _ = id;
    None
}

fn main() {}
