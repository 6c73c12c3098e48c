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
