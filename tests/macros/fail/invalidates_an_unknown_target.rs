use cache_runtime::{cached, invalidates};

struct Service;

impl Service {
    #[cached(key = "user:<id>")]
    async fn get_user(&self, id: u64) -> Option<u64> {
        Some(id)
    }

    #[invalidates(tags = "org:<id>", pattern = 7, get_user)]
    async fn rename(&self, id: u64) {
        let _ = id;
    }
}

fn main() {}
