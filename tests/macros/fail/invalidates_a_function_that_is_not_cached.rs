use cache_runtime::{cached, invalidates};

struct Service;

impl Service {
    #[cached(key = "user:<id>")]
    async fn get_user(&self, id: u64) -> Option<u64> {
        Some(id)
    }

    #[invalidates(get_usr(id))]
    async fn rename(&self, id: u64) {
        let _ = id;
    }
}

fn main() {}
