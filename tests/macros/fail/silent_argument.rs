use cache_runtime::cached;

#[cached(key = "user:<id>")]
async fn get_user(id: u64, org: &str, trace_id: &str) -> usize {
    id as usize + org.len() + trace_id.len()
}

fn main() {}
