use cache_runtime::cached;

#[cached(key = "user:<id>")]
async fn get_user(id: &str) -> Result<&str, ()> {
    Ok(id)
}

fn main() {}
