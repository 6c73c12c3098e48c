use cache_runtime::cached;

#[cached(tll = 60, key = "user:<usr>", tags = ["org:<org"], jitter = 2, skip(trace))]
async fn get_user(user: u64) -> u64 {
    user
}

fn main() {}
