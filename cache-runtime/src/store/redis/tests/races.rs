//! Races between commands of two clients, each played step by step.

use cache_test_support::Proxy;

use super::*;
use crate::store::Stamp;

/// 1. A load begins. 2. A pattern's scan finds its lease. 3. The load fills. 4. The scan removes the
///    lease, which the fill no longer needs.
#[tokio::test]
async fn a_fill_that_slips_between_a_patterns_two_scans_is_found_by_the_second() {
    let setup = Setup::new().await;
    let proxy = Proxy::to(setup.server.port());
    let mut scanning = Setup::fixture(&RedisConfig { port: proxy.port(), ..config(&setup.server) }).await;
    scanning.space = setup.on.space.clone();
    scanning.find("key").await;
    let load = setup.on.begin("key", &[]).await;

    proxy.hold_replies_with(Some(&setup.names().lease("key")));
    let pattern = async { scanning.invalidate_pattern("k*").await };
    let fill = async {
        while setup.calls("scan") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // The lease was found, or the values have been looked at already.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let filled = setup.on.fill(load.fills(setup.on.value("1", &[]))).await;
        proxy.hold_replies_with(None);
        filled
    };
    let (removed, filled) = tokio::join!(pattern, fill);
    assert_eq!((removed, filled), (1, Filled::Current));
    assert_eq!(setup.on.text("key").await, None);
}

/// Between a reading on one connection and a fill on another the server may have been another one.
#[tokio::test]
async fn a_fill_on_another_connection_vouches_for_nothing() {
    let setup = Setup::new().await;
    let load = setup.on.begin("key", &[]).await;
    let elsewhere = Stamp { link: 0, ..load.stamp };
    let fill = conformance::Load { stamp: elsewhere, ..load }.fills(setup.on.value("1", &[]));
    assert_eq!(setup.on.fill(fill).await, Filled::Overtaken);
}

/// 1. A value is read. 2. Its connection is lost, and the server is another one. 3. The stamps of the value's tags are
///    read there: they say nothing of the server of 1.
#[tokio::test]
async fn a_reading_that_is_completed_on_another_connection_is_none() {
    let server = RedisServer::start();
    let store = RedisStore::connect(&RedisConfig { connections: 1, ..config(&server) }, Clock::manual()).await.unwrap();
    let on = Setup::fixture(&config(&server)).await;
    on.put("key", "1", &["t"]).await;
    let begun = Instant::now();
    let seen = store.look(&on.space, &["key"], &[], begun).await.unwrap();
    let judged = || store.judge(&on.space, &seen.trip, seen.values.clone(), &[], begun);
    assert!(judged().await.unwrap().expect("the same connection").found[0].entry.is_some());

    let _ = server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    while store.read(&on.space, &["key"], &[]).await.is_err() {}
    assert!(judged().await.unwrap().is_none());
    assert!(store.read(&on.space, &["key"], &[]).await.unwrap().found[0].entry.is_some(), "read again");
}
