use cache_runtime::cached;

#[cached(key = "user:<id>")]
async fn get_user(id: u64) -> Result<String, ()> {
    if id == 0 {
        return Err("none");
    }
    Ok(id)
}

fn main() {}
