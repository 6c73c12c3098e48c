//! Connections that are refused, cut, silent or slow.

use std::time::Duration;

use cache_runtime::BreakerState;
use cache_test_support::{Direction, Proxy, RedisServer, Traffic};

use crate::service::{Service, THRESHOLD, eventually, on, through};

/// A service on a server that is well, with the proxy on which things go wrong.
struct Setup {
    server: RedisServer,
    proxy: Proxy,
    service: Service,
}

impl Setup {
    /// Row 1 is cached.
    async fn new() -> Self {
        let server = RedisServer::start();
        let proxy = Proxy::to(server.port());
        let service = Service::new(through(proxy.port(), server.password())).await;
        service.answers(1).await;
        service.hits(1).await;
        Self { server, proxy, service }
    }

    /// From the first call that meets the fault to the first hit after it: what was written
    /// meanwhile is not served as it was before.
    async fn outlives(&self, heal: impl FnOnce(&Self)) {
        self.service.calls_until_open().await;
        self.service.is_not_held_up().await;
        self.service.write(1, 7).await.unwrap_err();
        assert_eq!(self.service.pending().await, 1);
        self.service.answers(1).await;
        heal(self);
        self.service.recovers().await;
        self.service.hits(1).await;
        let breaker = self.service.breaker().await;
        assert_eq!((breaker.state, breaker.openings), (BreakerState::Closed, 1));
    }
}

#[tokio::test]
async fn refused_connections() {
    let setup = Setup::new().await;
    setup.proxy.refuse(true);
    setup.proxy.cut();
    setup.outlives(|setup| setup.proxy.heal()).await;
}

#[tokio::test]
async fn a_server_that_is_killed() {
    let setup = Setup::new().await;
    setup.server.kill();
    setup.outlives(|setup| setup.server.restart()).await;
}

#[tokio::test]
async fn a_server_that_is_frozen() {
    let setup = Setup::new().await;
    setup.server.stop_process();
    setup.outlives(|setup| setup.server.continue_process()).await;
}

#[tokio::test]
async fn a_link_that_is_half_open() {
    let setup = Setup::new().await;
    setup.proxy.blackhole();
    setup.outlives(|setup| setup.proxy.heal()).await;
}

#[tokio::test]
async fn a_server_that_answers_too_late() {
    let setup = Setup::new().await;
    setup.proxy.delay(Duration::from_millis(900));
    setup.outlives(|setup| setup.proxy.heal()).await;
}

/// Each third chunk of bytes is lost and its connection with it.
#[tokio::test]
async fn a_network_that_drops_connections() {
    let setup = Setup::new().await;
    for direction in [Direction::Requests, Direction::Replies] {
        setup.proxy.set(direction, Traffic::CutEvery(3));
    }
    for id in 0..100 {
        setup.service.answers(id).await;
        // One that is not acknowledged is kept; the row is not served as it was in any case.
        let _ = setup.service.write(id, u64::from(id)).await;
        setup.service.answers(id).await;
    }
    setup.proxy.heal();
    eventually("what was pending lands", || async { setup.service.pending().await == 0 }).await;
    setup.service.recovers().await;
    for id in 0..100 {
        setup.service.answers(id).await;
        setup.service.answers(id).await;
    }
}

#[tokio::test]
async fn an_open_breaker_makes_no_connections_for_calls() {
    let setup = Setup::new().await;
    setup.proxy.refuse(true);
    setup.proxy.cut();
    setup.service.calls_until_open().await;
    // Only the probe connects, a few links at a time, however many calls there are.
    let before = setup.proxy.accepted();
    for id in 0..2_000 {
        setup.service.answers(id).await;
    }
    let made = setup.proxy.accepted() - before;
    assert!(made < 1_000, "{made} connections for 2,000 calls");
    assert!(setup.service.breaker().await.refused >= 2_000);
}

#[tokio::test]
async fn as_many_failures_as_are_allowed_open_the_breaker_and_one_answer_takes_them_back() {
    let setup = Setup::new().await;
    for _ in 0..3 {
        setup.proxy.blackhole();
        // The cut below is one more.
        for _ in 2..THRESHOLD {
            setup.service.answers(2).await;
        }
        setup.proxy.heal();
        setup.proxy.cut();
        eventually("an answer", || async { setup.service.cache.get::<u8>("nothing").await.is_ok() }).await;
    }
    assert_eq!(setup.service.breaker().await.openings, 0);
}

#[tokio::test]
async fn callers_at_once_share_one_load_while_the_server_is_gone() {
    let setup = Setup::new().await;
    setup.server.kill();
    setup.service.calls_until_open().await;
    let before = setup.service.runs();
    let calls = (0..50).map(|_| setup.service.slow_row(5));
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer, Ok(0));
    }
    // Those who come while a load runs share the next one.
    assert!(setup.service.runs() - before <= 2, "{} loads", setup.service.runs() - before);
}

#[tokio::test]
async fn a_process_that_starts_without_a_server_uses_it_as_soon_as_it_answers() {
    let server = RedisServer::start();
    server.kill();
    let service = Service::new(on(&server)).await;
    assert_eq!(service.state().await, BreakerState::Open, "it was found out at the start");
    service.is_not_held_up().await;
    service.write(1, 7).await.unwrap_err();
    server.restart();
    service.recovers().await;
    service.hits(1).await;
}
