//! Every kind of function that a service has.

use std::{future::Future, sync::Arc};

use cache_runtime::{Cache, CacheKey, cached};

#[derive(Clone, Default)]
struct Service {
    tenant: String,
}

type Outcome<T> = Result<T, ()>;

impl Service {
    #[cached(key = "shared:<id>")]
    async fn shared(&self, id: u64) -> Option<u64> {
        Some(id)
    }

    #[cached(key = "exclusive:<id>")]
    async fn exclusive(&mut self, mut id: u64) -> u64 {
        id += 1;
        self.tenant.push('x');
        id
    }

    #[cached(key = "counted:<id>")]
    async fn counted(self: Arc<Self>, id: u64) -> usize {
        self.tenant.len() + usize::try_from(id).unwrap_or(0)
    }

    #[cached(key = "consumed:<id>")]
    async fn consumed(self, id: u64) -> u64 {
        id
    }

    #[cached(key = "associated:<id>")]
    async fn associated(id: u64) -> u64 {
        id
    }

    #[cached(key = "future:<id>")]
    fn future(&self, id: u64) -> impl Future<Output = Outcome<u64>> + Send {
        async move { Ok(id) }
    }

    #[cached(key = "early:<name>")]
    async fn early(&self, name: &str) -> Outcome<u64> {
        if name.is_empty() {
            return Err(());
        }
        let parsed: u64 = name.parse().map_err(|_| ())?;
        Ok(parsed)
    }

    #[cached]
    async fn pattern(&self, (x, mut y): (u32, u32), [first, ..]: [u8; 2]) -> u32 {
        y += 1;
        x + y + u32::from(first)
    }

    #[cached(key = "lived:<a>:<b>")]
    async fn lived<'a, 'b: 'a>(&'a self, a: &'a str, b: &'b str) -> usize {
        a.len() + b.len()
    }
}

struct Repo<T>(T);

impl<T: Default + Clone + Send + Sync> Repo<T> {
    #[cached]
    async fn count<K, V>(&self, key: &K, value: V, extra: impl serde::Serialize + Send) -> u64
    where
        K: serde::Serialize + Sync,
        V: Into<u64> + serde::Serialize + Send,
    {
        let _ = (key, extra);
        value.into()
    }

    #[cached(key = "by:<Kind>:<Self>:<N>:<id>")]
    async fn by<Kind, const N: usize>(id: u32) -> usize {
        N + id as usize
    }
}

#[cached]
async fn free(id: u64, names: Vec<String>) -> usize {
    names.len() + usize::try_from(id).unwrap_or(0)
}

#[derive(CacheKey)]
#[cache_key("<0>")]
struct Id<T>(T);

#[cached(key = "generic:<id>:<T>")]
async fn generic<T: CacheKey + Send>(id: Id<T>) -> u64 {
    drop(id);
    1
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let _cache: &Cache = Cache::global();
    let mut service = Service::default();
    for _ in 0..2 {
        assert_eq!(service.shared(1).await, Some(1));
        assert_eq!(service.exclusive(1).await, 2);
        assert_eq!(Arc::new(service.clone()).counted(1).await, 2);
        assert_eq!(service.clone().consumed(1).await, 1);
        assert_eq!(Service::associated(1).await, 1);
        assert_eq!(service.future(1).await, Ok(1));
        assert_eq!(service.early("12").await, Ok(12));
        assert_eq!(service.early("").await, Err(()));
        assert_eq!(service.pattern((1, 2), [3, 4]).await, 7);
        assert_eq!(service.lived("a", "bc").await, 3);
        assert_eq!(Repo(1_u8).count(&"k", 2_u8, "e").await, 2);
        assert_eq!(Repo::<u8>::by::<String, 3>(1).await, 4);
        assert_eq!(free(1, vec!["a".into()]).await, 2);
        assert_eq!(generic(Id("x")).await, 1);
    }
    assert_eq!(service.tenant, "x", "the second call was a hit");
    service.invalidate_shared(1).await.unwrap();
    service.invalidate_exclusive(1).await.unwrap();
    service.invalidate_counted(1).await.unwrap();
    service.invalidate_consumed(1).await.unwrap();
    Service::invalidate_associated(1).await.unwrap();
    service.invalidate_future(1).await.unwrap();
    service.invalidate_early("12").await.unwrap();
    service.invalidate_pattern((1, 2), [3, 4]).await.unwrap();
    service.invalidate_lived("a", "bc").await.unwrap();
    Repo(1_u8).invalidate_count(&"k", 2_u8, "e").await.unwrap();
    Repo::<u8>::invalidate_by::<String, 3>(1).await.unwrap();
    invalidate_free(1, vec!["a".into()]).await.unwrap();
    invalidate_generic(Id("x")).await.unwrap();
    assert_eq!(service.exclusive(1).await, 2);
    assert_eq!(service.tenant, "xx", "it ran again after the invalidation");
}
