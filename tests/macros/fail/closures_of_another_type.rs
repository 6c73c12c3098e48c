//! What closures over a value give is what their option is made of.

use cache_runtime::cached;

#[cached(key = "tags:<id>", tags_with = |value| value + 1)]
async fn tags(id: u64) -> u64 {
    id
}

#[cached(key = "ttl:<id>", ttl_with = |value: &u64| format!("{value}s"))]
async fn ttl(id: u64) -> u64 {
    id
}

#[cached(key = "unless:<id>", unless = |value| value + 1)]
async fn unless(id: u64) -> u64 {
    id
}

#[cached(key = "when:<id>", when = id)]
async fn when(id: u64) -> u64 {
    id
}

fn main() {}
