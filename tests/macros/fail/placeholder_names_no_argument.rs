use cache_runtime::cached;

#[cached(key = "user:<usr_id>:<org>")]
async fn get_user(user_id: u64, org: &str) -> u64 {
    user_id + org.len() as u64
}

fn main() {}
