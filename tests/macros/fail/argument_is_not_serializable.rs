use cache_runtime::cached;

struct Filter;

#[cached]
async fn list(filter: Filter) -> u32 {
    let _ = filter;
    1
}

fn main() {}
