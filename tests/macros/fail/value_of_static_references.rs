use cache_runtime::cached;

#[cached(key = "name:<id>")]
async fn name(id: u64) -> &'static str {
    if id > 0 { "some" } else { "none" }
}

#[cached(key = "names:<id>")]
async fn names(id: u64) -> Result<Option<Vec<&'static str>>, &'static str> {
    if id > 0 { Ok(None) } else { Err("an error is not stored") }
}

#[cached(near, key = "near:<id>")]
async fn near(id: u64) -> &'static str {
    if id > 0 { "some" } else { "none" }
}

fn main() {}
