//! The attribute on `impl` blocks, and common arguments.

use std::future::Future;

use cache_runtime::{cached, invalidates};

trait Users {
    type Id;
    fn find(&self, id: Self::Id) -> impl Future<Output = Option<u64>> + Send;
    fn drop_user(&self, id: Self::Id) -> impl Future<Output = bool> + Send;
    fn plain(&self) -> u8;
}

trait Other {
    fn find(&self, id: u64) -> impl Future<Output = Option<u64>>;
}

#[derive(Clone)]
struct Service;

#[cached(ttl = 60, detached)]
impl Users for Service {
    type Id = u64;

    #[cached(key = "find:<id>")]
    async fn find(&self, id: Self::Id) -> Option<u64> {
        Some(id)
    }

    #[invalidates(find(id))]
    async fn drop_user(&self, id: u64) -> bool {
        id > 0
    }

    fn plain(&self) -> u8 {
        1
    }
}

#[cached]
impl Other for Service {
    #[cached(invalidate = invalidate_other)]
    async fn find(&self, id: u64) -> Option<u64> {
        Some(id + 1)
    }
}

struct Wrapper<T>(T);

trait Repo<T> {
    // What `async_trait` makes of `async fn load(&self, id: &str, extra: T) -> Option<usize>`.
    fn load<'a, 'b, 'async_trait>(
        &'a self,
        id: &'b str,
        extra: T,
    ) -> std::pin::Pin<Box<dyn Future<Output = Option<usize>> + Send + 'async_trait>>
    where
        'a: 'async_trait,
        'b: 'async_trait,
        Self: 'async_trait;
}

#[cached]
impl<T: Clone + Send + Sync + cache_runtime::CacheKey> Repo<T> for Wrapper<T> {
    #[cached(key = "load:<Self>:<id>:<extra>")]
    fn load<'a, 'b, 'async_trait>(
        &'a self,
        id: &'b str,
        extra: T,
    ) -> std::pin::Pin<Box<dyn Future<Output = Option<usize>> + Send + 'async_trait>>
    where
        'a: 'async_trait,
        'b: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            drop(extra);
            Some(id.len())
        })
    }
}

#[cached(namespace = "plain")]
impl<T> Wrapper<T> {
    #[cached(key = "one:<id>")]
    async fn one(id: u64) -> u64 {
        id
    }

    fn get(&self) -> &T {
        &self.0
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(Users::find(&Service, 1).await, Some(1));
    assert_eq!(Other::find(&Service, 1).await, Some(2));
    assert_eq!(Users::find(&Service, 1).await, Some(1));
    assert_eq!(Other::find(&Service, 1).await, Some(2));
    assert!(Service.drop_user(1).await);
    assert_eq!(Service.plain(), 1);
    Service.invalidate_find(1).await.unwrap();
    Service.invalidate_other(1).await.unwrap();
    assert_eq!(Wrapper(1_u8).load("abc", 1).await, Some(3));
    Wrapper(1_u8).invalidate_load("abc", 1).await.unwrap();
    assert_eq!(Wrapper::<u8>::one(1).await, 1);
    Wrapper::<u8>::invalidate_one(1).await.unwrap();
    assert_eq!(*Wrapper(1_u8).get(), 1);
}
