//! What passes the breaker, and in which order.

use cache_test_support::{Proxy, Settings};
use tokio::sync::Notify;

use super::*;
use crate::stats::BreakerState;

#[tokio::test]
async fn nothing_is_read_before_what_was_pending_is_sent() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let config = RedisConfig {
        port: proxy.port(),
        breaker_threshold: 1,
        breaker_pause: Duration::from_millis(5),
        ..config(&server)
    };
    let on = Setup::fixture(&config).await;
    let (began, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&began), Arc::clone(&go_on));
    on.store.on_recovery(Box::new(move || {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        Box::pin(async move {
            tell.notify_one();
            wait.notified().await;
        })
    }));
    on.put("key", "1", &[]).await;
    proxy.refuse(true);
    proxy.cut();
    while on.store.read(&on.space, &["key"], &[]).await.is_ok() {}
    assert_eq!(on.store.breaker().unwrap().state, BreakerState::Open);
    assert!(on.store.invalidate_keys(&on.space, &["key"]).await.is_err());

    proxy.heal();
    began.notified().await;
    assert_eq!(on.store.breaker().unwrap().state, BreakerState::HalfOpen);
    assert!(on.store.read(&on.space, &["key"], &[]).await.is_err(), "not yet");
    assert_eq!(on.store.invalidate_keys(&on.space, &["key"]).await.unwrap(), 1);
    go_on.notify_one();
    while on.store.breaker().unwrap().state != BreakerState::Closed {
        tokio::task::yield_now().await;
    }
    assert_eq!(on.text("key").await, None);
}

/// Each namespace finds out by itself whether the server is the one that it knows.
#[tokio::test]
async fn a_snapshot_revives_nothing_in_the_second_namespace_of_a_connection() {
    let server = Settings::new().persistent().start();
    let mut on = Setup::fixture(&RedisConfig { connections: 1, ..config(&server) }).await;
    let spaces = [on.space.clone(), on.other.clone()];
    for space in &spaces {
        on.space = space.clone();
        on.put("key", "1", &[]).await;
    }
    assert_eq!(server.cli(&["SAVE"]), "OK");
    for space in &spaces {
        on.space = space.clone();
        assert_eq!(on.invalidate(&["key"]).await, 1);
    }
    server.restart();
    while on.store.read(&spaces[0], &[], &[]).await.is_err() {
        tokio::time::sleep(Duration::from_millis(1)).await; // the time that the client takes to connect again
    }
    for space in &spaces {
        on.space = space.clone();
        assert!(!server.cli(&["GET", &space.key("key")]).is_empty(), "the snapshot brought it back");
        assert_eq!(on.text("key").await, None);
    }
}
