use cache_runtime::cached;

#[cached(ttl = name, key = "user:<name>")]
async fn get_user(name: String) -> usize {
    name.len()
}

fn main() {}
