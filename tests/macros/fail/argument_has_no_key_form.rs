use cache_runtime::cached;

struct Filter;

#[cached(key = "users:<filter>:<page>")]
async fn list(filter: &Filter, page: u32) -> u32 {
    let _ = filter;
    page
}

fn main() {}
