use cache_runtime::{cached, refreshes};

struct Service;

impl Service {
    #[cached(key = "user:<id>")]
    async fn get_user(&self, id: u64) -> Option<u64> {
        Some(id)
    }

    #[refreshes(get_user(id))]
    async fn rename(&self, id: u64) -> Result<String, ()> {
        Ok(id.to_string())
    }
}

fn main() {}
