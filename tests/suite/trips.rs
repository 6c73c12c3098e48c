//! How many round trips each operation takes, counted on the wire.

use std::{future::Future, time::Duration};

use cache_runtime::{Backend, Cache, RedisConfig, cached, invalidates, refreshes};
use cache_test_support::{Proxy, RedisServer};
use secrecy::SecretString;

#[derive(Clone)]
struct Service {
    cache: Cache,
}

impl Service {
    #[cached(key = "name:<id>", tags = ["org:<org>"], skip(org), cache = self.cache)]
    async fn name(&self, id: u64, org: u32) -> String {
        format!("{id} of {org}")
    }

    #[cached(key = "plain:<id>", cache = self.cache, companions(refresh))]
    async fn plain(&self, id: u64) -> String {
        format!("{id}")
    }

    #[refreshes(plain(id), cache = self.cache)]
    async fn set_plain(&self, id: u64) -> String {
        format!("{id} written")
    }

    #[invalidates(name(id), plain(id), cache = self.cache)]
    async fn rename(&self, id: u64) {
        let _ = id;
    }
}

struct Wire {
    service: Service,
    proxy: Proxy,
    _server: RedisServer,
}

impl Wire {
    /// One connection, on which one command at a time is sent.
    async fn new() -> Self {
        let server = RedisServer::start();
        let proxy = Proxy::to(server.port());
        let mut redis = RedisConfig::default();
        redis.port = proxy.port();
        redis.password = Some(SecretString::from(server.password().to_owned()));
        redis.connections = 1;
        let builder = Cache::builder().backend(Backend::Redis).redis(redis);
        let cache = builder.operation_timeout(Duration::from_secs(5)).build().await.unwrap();
        Self { service: Service { cache }, proxy, _server: server }
    }

    /// The trips of an operation. `warm` is the same under another key: the server learns its scripts.
    async fn count<T>(&self, warm: impl Future<Output = T>, operation: impl Future<Output = T>) -> u64 {
        warm.await;
        let before = self.proxy.trips();
        operation.await;
        self.proxy.trips() - before
    }
}

#[tokio::test]
async fn a_hit_is_one_trip_and_a_miss_two_and_the_fill() {
    let wire = Wire::new().await;
    let service = &wire.service;
    assert_eq!(wire.count(service.name(1, 1), service.name(2, 1)).await, 3);
    assert_eq!(wire.count(service.name(1, 1), service.name(2, 1)).await, 1);
}

#[tokio::test]
async fn a_write_is_two_trips_whatever_is_stored() {
    let wire = Wire::new().await;
    let (service, cache) = (&wire.service, &wire.service.cache);
    assert_eq!(wire.count(cache.set("a", &1).into_future(), cache.set("b", &1).into_future()).await, 2, "set");
    let tagged = |key| cache.set(key, &2).tags(["t", "u"]).into_future();
    assert_eq!(wire.count(tagged("a"), tagged("b")).await, 2, "set over another value, with tags");
    assert_eq!(wire.count(service.set_plain(1), service.set_plain(2)).await, 2, "#[refreshes]");
    assert_eq!(wire.count(service.set_plain(1), service.set_plain(2)).await, 2, "#[refreshes] over another value");
    assert_eq!(wire.count(service.refresh_plain(1), service.refresh_plain(2)).await, 2, "refresh_…");
}

#[tokio::test]
async fn an_addition_is_two_trips_and_one_where_something_is() {
    let wire = Wire::new().await;
    let cache = &wire.service.cache;
    let add = |key| cache.add(key, &1).tags(["t"]).into_future();
    assert_eq!(wire.count(add("a"), add("b")).await, 2);
    assert_eq!(wire.count(add("a"), add("b")).await, 1);
    cache.invalidate_tag("t").await.unwrap();
    // What is stored is seen to be invalid first.
    assert_eq!(wire.count(add("a"), add("b")).await, 3);
}

#[tokio::test]
async fn an_invalidation_is_one_trip() {
    let wire = Wire::new().await;
    let (service, cache) = (&wire.service, &wire.service.cache);
    service.name(2, 1).await;
    assert_eq!(wire.count(cache.delete("x"), cache.delete("name:2")).await, 1, "key");
    let tag = |tag| cache.invalidate_tag(tag).into_future();
    assert_eq!(wire.count(tag("org:2"), tag("org:1")).await, 1, "tag");
    assert_eq!(wire.count(cache.clear().into_future(), cache.clear().into_future()).await, 1, "namespace");
    assert_eq!(
        wire.count(service.invalidate_plain(1).into_future(), service.invalidate_plain(2).into_future()).await,
        1
    );
    assert_eq!(wire.count(cache.delete_pattern("x*"), cache.delete_pattern("name:*")).await, 2, "pattern: two scans");
}
