//! What comes first when the server is back.

use cache_test_support::{Proxy, RedisServer};

use crate::service::{Service, on, through};

/// The proxy hides a server that is well, so what it holds outlives the outage.
#[tokio::test]
async fn many_kinds_of_invalidations_land_before_anything_is_read() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let service = Service::new(through(proxy.port(), server.password())).await;
    for id in 0..100 {
        service.answers(id).await;
    }
    service.cache.set("tagged", &"old").tags(["t"]).await.unwrap();
    service.cache.set("matched:1", &"old").await.unwrap();
    proxy.refuse(true);
    proxy.cut();
    service.calls_until_open().await;
    for id in 0..100 {
        service.write(id, 7).await.unwrap_err();
    }
    service.cache.invalidate_tag("t").await.unwrap_err();
    service.cache.delete_pattern("matched:*").await.unwrap_err();
    assert_eq!(service.pending().await, 102);
    proxy.heal();
    service.recovers().await;
    for id in 0..100 {
        service.answers(id).await;
    }
    assert_eq!(service.cache.get::<String>("tagged").await.unwrap(), None);
    assert_eq!(service.cache.get::<String>("matched:1").await.unwrap(), None);
    // As another process has it.
    let other = Service::new(on(&server)).await;
    assert_eq!(other.cache.get::<String>("tagged").await.unwrap(), None);
}
