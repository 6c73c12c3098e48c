//! A backend that does not acknowledge.

use std::time::Duration;

use cache_test_support::{Proxy, RedisServer};

use super::{landed, service::Service};
use crate::backends::builder_for;

#[tokio::test]
async fn an_invalidation_that_is_not_acknowledged_is_kept_and_lands_later() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let mut redis = cache_runtime::RedisConfig::default();
    redis.port = proxy.port();
    redis.password = Some(server.password().to_owned().into());
    let cache =
        builder_for(&server).redis(redis).operation_timeout(Duration::from_millis(300)).namespace("app").build();
    let cache = cache.await.unwrap();
    let service = Service::new(&cache);
    assert_eq!(service.plain_name(7).await.unwrap(), "Ada");
    assert_eq!(service.plain_name(8).await.unwrap(), "Grace");

    service.write(7, "Augusta");
    proxy.blackhole();
    assert!(service.invalidate_plain_name(7).await.is_err());
    // Another process still sees the old value; this one does not.
    let neighbour = builder_for(&server).namespace("app").build().await.unwrap();
    assert_eq!(neighbour.get::<String>("plain_name:7").await.unwrap().as_deref(), Some("Ada"));
    assert_eq!(service.plain_name(7).await.unwrap(), "Augusta");
    assert_eq!(cache.stats().await.pending_invalidations, 1);

    // Nothing builds on what is known to be old.
    assert!(!cache.exists("plain_name:7").await.unwrap());
    assert!(cache.add("plain_name:7", &"new").await.is_err());
    assert!(cache.expire("plain_name:7", 60).await.is_err());

    proxy.heal();
    proxy.cut();
    landed(&cache).await;
    assert_eq!(neighbour.get::<String>("plain_name:7").await.unwrap(), None);
    assert_eq!(service.plain_name(7).await.unwrap(), "Augusta");
}

#[tokio::test]
async fn a_writer_answers_although_its_invalidation_is_not_acknowledged() {
    let server = RedisServer::start();
    let cache = builder_for(&server).operation_timeout(Duration::from_millis(300)).build().await.unwrap();
    let service = Service::new(&cache);
    assert_eq!(service.name(7, 1).await.unwrap(), "Ada");
    server.kill();
    service.rename(7, "Augusta").await.unwrap();
    assert_eq!(service.name(7, 1).await.unwrap(), "Augusta");
    assert!(cache.stats().await.total.errors > 0);
    assert_eq!(cache.stats().await.pending_invalidations, 1);
}
