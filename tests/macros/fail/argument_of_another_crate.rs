use cache_runtime::cached;

#[cached(key = "user:<id>", time = 60, result = true, swr = 60, size = 100, cache_none)]
async fn get_user(id: u64) -> u64 {
    id
}

#[cached(key = "user:<id>", ttl: 60, skip("trace_id"))]
async fn get_other(id: u64, trace_id: &str) -> usize {
    id as usize + trace_id.len()
}

fn main() {}
