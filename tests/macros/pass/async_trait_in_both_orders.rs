//! The attribute on a trait's implementation, above `#[async_trait]` and below it.

use async_trait::async_trait;
use cache_runtime::{Cache, cached};

#[async_trait]
trait Repo {
    async fn load(&self, id: u64) -> Option<u64>;
}

#[async_trait]
trait Names {
    async fn name(&self, id: u64) -> Result<String, String>;
}

struct Above(Cache);

#[cached]
#[async_trait]
impl Repo for Above {
    #[cached(key = "above:<id>", cache = self.0)]
    async fn load(&self, id: u64) -> Option<u64> {
        Some(id + 1)
    }
}

struct Below(Cache);

#[async_trait]
#[cached]
impl Names for Below {
    #[cached(key = "below:<id>", cache = self.0)]
    async fn name(&self, id: u64) -> Result<String, String> {
        Ok(format!("name of {id}"))
    }
}

#[tokio::main]
async fn main() {
    let cache = Cache::builder().build().await.unwrap();
    let (above, below) = (Above(cache.clone()), Below(cache.clone()));
    for _ in 0..2 {
        assert_eq!(above.load(1).await, Some(2));
        assert_eq!(below.name(1).await.unwrap(), "name of 1");
    }
    assert_eq!(cache.stats().await.total.loads, 2);
    above.invalidate_load(1).await.unwrap();
    below.invalidate_name(1).await.unwrap();
    above.load(1).await;
    below.name(1).await.unwrap();
    assert_eq!(cache.stats().await.total.loads, 4);
}
