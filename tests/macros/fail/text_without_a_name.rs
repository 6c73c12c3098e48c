//! A template is the value of an argument.

use cache_runtime::{cached, invalidates};

#[cached("user:<id>")]
async fn get_user(id: u64) -> u64 {
    id
}

#[invalidates("user:<id>")]
async fn write(id: u64) -> u64 {
    id
}

fn main() {}
