use cache_runtime::cached;

#[cached(key = "user:<id>", skip(trase_id))]
async fn get_user(id: u64, trace_id: &str) -> usize {
    id as usize + trace_id.len()
}

fn main() {}
