//! The backend has to be told, which takes an `async fn`.

use cache_runtime::{cached, refreshes};

#[cached(key = "user:<id>")]
async fn get_user(id: u64) -> u64 {
    id
}

#[refreshes(get_user(id))]
fn put_user(id: u64) -> u64 {
    id
}

fn main() {}
