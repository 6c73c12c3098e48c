//! Decoded values in this process, in front of a server that is gone.

use std::time::Duration;

use cache_runtime::{Backend, Cache, Clock};
use cache_test_support::{Proxy, RedisServer};
use tokio::sync::oneshot;

use crate::service::{Service, THRESHOLD, eventually, on, through};

struct Setup {
    server: RedisServer,
    proxy: Proxy,
    service: Service,
    clock: Clock,
}

impl Setup {
    /// The server is gone, and that is known.
    async fn in_outage() -> Self {
        let server = RedisServer::start();
        let proxy = Proxy::to(server.port());
        let clock = Clock::manual();
        let builder = through(proxy.port(), server.password()).backend(Backend::Tiered).clock(clock.clone());
        let service = Service::new(builder).await;
        service.answers(1).await;
        proxy.refuse(true);
        proxy.cut();
        // Each call loads another row: what is loaded is near at once.
        for id in 100..100 + 5 * THRESHOLD {
            service.answers(id).await;
        }
        eventually("the breaker opens", || async {
            service.cache.get::<u8>("nothing").await.is_err() && service.breaker().await.openings == 1
        })
        .await;
        // Others' changes are not heard either, and that is known too.
        eventually("the loss is noticed", || async { loads_once(&service, 50).await }).await;
        Self { server, proxy, service, clock }
    }
}

async fn loads_once(service: &Service, id: u32) -> bool {
    service.answers(id).await;
    let before = service.runs();
    service.answers(id).await;
    service.runs() == before
}

#[tokio::test]
async fn values_that_are_loaded_meanwhile_live_ten_seconds_at_most() {
    let setup = Setup::in_outage().await;
    setup.service.answers(2).await;
    setup.clock.advance(Duration::from_millis(9_900));
    setup.service.hits(2).await;
    setup.clock.advance(Duration::from_millis(200));
    let before = setup.service.runs();
    setup.service.answers(2).await;
    assert_eq!(setup.service.runs(), before + 1, "its ttl is an hour");
}

#[tokio::test]
async fn what_this_process_writes_meanwhile_is_not_served_as_it_was() {
    let setup = Setup::in_outage().await;
    setup.service.answers(2).await;
    setup.service.hits(2).await;
    setup.service.write(2, 7).await.unwrap_err();
    setup.service.answers(2).await;
}

/// Nobody goes back to the older value once a newer one was given out.
#[tokio::test]
async fn what_is_refreshed_meanwhile_takes_the_place_of_what_is_near() {
    let setup = Setup::in_outage().await;
    setup.service.answers(2).await;
    setup.service.changes_elsewhere(2, 7);
    assert_eq!(Cache::bypass(setup.service.row(2)).await, Ok(7));
    setup.service.hits(2).await;
}

#[tokio::test]
async fn what_others_wrote_meanwhile_is_served_once_they_are_heard_again() {
    let setup = Setup::in_outage().await;
    setup.service.answers(2).await;
    // Another process, which reaches the server, changes the row and tells everybody who listens.
    setup.service.changes_elsewhere(2, 5);
    on(&setup.server).build().await.unwrap().delete("row:2").await.unwrap();
    assert_eq!(setup.service.row(2).await, Ok(0), "nobody hears it here; ten seconds at most");
    setup.proxy.heal();
    eventually("their value", || async { setup.service.row(2).await == Ok(5) }).await;
}

/// 1. A load begins. 2. A tag is invalidated, which cannot be sent. 3. The load ends, and tells that its value has the tag.
#[tokio::test]
async fn what_was_loaded_before_an_invalidation_that_failed_is_not_served_after_it() {
    let setup = Setup::in_outage().await;
    let cache = &setup.service.cache;
    let (began, begun) = oneshot::channel();
    let (end, ended) = oneshot::channel();
    let loading = tokio::spawn({
        let cache = cache.clone();
        async move {
            let load = || async move {
                began.send(()).unwrap();
                ended.await.map_err(|_| "nobody ended it")
            };
            cache.get_or_load("k", load).tags(["t"]).await
        }
    });
    begun.await.unwrap();
    cache.invalidate_tag("t").await.unwrap_err();
    end.send(1).unwrap();
    assert_eq!(loading.await.unwrap(), Ok(1));
    assert_eq!(cache.get_or_load("k", || async { Ok::<_, String>(2) }).tags(["t"]).await, Ok(2));
}

/// What is read before the server has agreed to tell of changes might change unheard.
#[tokio::test]
async fn nothing_is_near_while_the_server_does_not_agree_to_tell_of_changes() {
    let server = RedisServer::start();
    assert_eq!(server.cli(&["ACL", "SETUSER", "default", "-client|tracking"]), "OK");
    let patient = on(&server).operation_timeout(Duration::from_secs(2));
    let service = Service::new(patient.backend(Backend::Tiered)).await;
    for _ in 0..50 {
        service.answers(1).await;
        assert_eq!(service.cache.stats().await.near_entries, 0);
    }
}
