use cache_runtime::{cached, invalidates};

struct Service;

impl Service {
    #[cached(key = "user:<id>")]
    async fn get_user(&self, id: u64) -> Option<u64> {
        Some(id)
    }

    #[invalidates(get_user(name))]
    async fn rename(&self, name: &str) {
        let _ = name;
    }
}

fn main() {}
