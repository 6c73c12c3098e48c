use cache_runtime::cached;

struct Service {
    name: String,
}

impl Service {
    #[cached(key = "user:<id>", stale_while_revalidate = "1m")]
    async fn get_user(&self, id: u64) -> usize {
        id as usize + self.name.len()
    }
}

fn main() {}
