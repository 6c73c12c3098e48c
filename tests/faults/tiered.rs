//! Decoded values in this process, in front of a server that is gone.

use std::time::Duration;

use cache_runtime::{Backend, Clock};
use cache_test_support::{Proxy, RedisServer};

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
