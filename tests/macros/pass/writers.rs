//! `#[invalidates]` and `#[refreshes]` in all their forms.

use std::sync::atomic::{AtomicU32, Ordering};

use cache_runtime::{Cache, cached, invalidates, refreshes};

#[derive(Default)]
struct Service {
    loads: AtomicU32,
}

#[cached(key = "count")]
async fn count() -> u64 {
    1
}

impl Service {
    #[cached(key = "user:<id>")]
    async fn get_user(&self, id: u64) -> Result<Option<String>, ()> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        Ok(Some(id.to_string()))
    }

    #[invalidates(
        get_user(id),
        self.get_user(id + 1),
        Self::associated(id),
        self::count(),
        tag = "org:<name>",
        pattern = "user_research:<id>:*",
        with = Cache::global().invalidate_tag("more"),
    )]
    async fn rename(&self, id: u64, name: String) -> Result<String, ()> {
        if id == 0 {
            return Err(());
        }
        Ok(name)
    }

    #[invalidates(namespace)]
    async fn clear(&mut self) {}

    #[refreshes(get_user(id))]
    async fn put(&self, id: u64, name: &str) -> Result<String, std::fmt::Error> {
        let _ = id;
        Ok(name.to_owned())
    }

    #[invalidates(self::count())]
    #[refreshes(get_user(id))]
    async fn both(&self, id: u64) -> Option<String> {
        Some(format!("both {id}"))
    }

    #[cached(key = "associated:<id>")]
    async fn associated(id: u64) -> u64 {
        id
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut service = Service::default();
    let loads = |service: &Service| service.loads.load(Ordering::Relaxed);
    service.get_user(1).await.unwrap();
    service.get_user(1).await.unwrap();
    assert_eq!(loads(&service), 1);
    assert_eq!(service.rename(0, "x".into()).await, Err(()));
    service.get_user(1).await.unwrap();
    assert_eq!(loads(&service), 1);
    service.rename(1, "x".into()).await.unwrap();
    service.get_user(1).await.unwrap();
    assert_eq!(loads(&service), 2);
    service.put(1, "put").await.unwrap();
    assert_eq!(service.get_user(1).await, Ok(Some("put".into())));
    service.both(1).await.unwrap();
    assert_eq!(service.get_user(1).await, Ok(Some("both 1".into())));
    assert_eq!(loads(&service), 2);
    service.clear().await;
    service.get_user(1).await.unwrap();
    assert_eq!(loads(&service), 3);
    assert_eq!(count().await, 1);
}
