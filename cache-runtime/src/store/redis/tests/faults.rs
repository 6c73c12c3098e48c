//! Servers that refuse, die, hang and come back; links that break.

use std::time::Instant;

use cache_test_support::{Direction, Proxy, Settings, Traffic};

use super::*;

const LIMIT: Duration = Duration::from_millis(250);

/// Through a proxy, with a short time-out.
fn hasty(server: &RedisServer, proxy: &Proxy) -> RedisConfig {
    RedisConfig { port: proxy.port(), operation_timeout: LIMIT, ..config(server) }
}

/// Asks until an answer comes; a store has to recover by itself.
async fn recovers(on: &Fixture, within: Duration) {
    let until = Instant::now() + within;
    while let Err(error) = on.store.read(&on.space, &["probe"], &[]).await {
        assert!(Instant::now() < until, "still failing: {error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn show(error: &Error) -> String {
    let source = std::error::Error::source(error).map(|source| format!("{source} {source:?}"));
    format!("{error} {error:?} {}", source.unwrap_or_default())
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once() {
    let server = RedisServer::start();
    let wrong = |password: Option<&str>, username: Option<&str>| RedisConfig {
        password: password.map(SecretString::from),
        username: username.map(Into::into),
        ..config(&server)
    };
    for config in [wrong(Some("hunter2"), None), wrong(None, None), wrong(Some("hunter2"), Some("nobody"))] {
        let begun = Instant::now();
        let error = RedisStore::connect(&config, Clock::system()).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(1));
        assert!(matches!(error, Error::Authentication(_)), "{error:?}");
        assert!(!show(&error).contains("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_told() {
    let server = RedisServer::start();
    let config = RedisConfig { db: 99, ..config(&server) };
    let error = RedisStore::connect(&config, Clock::system()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn an_unreachable_server_is_unavailable_at_once() {
    let server = RedisServer::start();
    let config = config(&server);
    drop(server);
    let begun = Instant::now();
    let error = RedisStore::connect(&config, Clock::system()).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    let lazy = RedisStore::lazy(&config, Clock::system()).unwrap();
    let error = lazy.read(&Namespace::new("a"), &["x"], &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(1), "no time-out was waited for");
}

#[tokio::test]
async fn a_lazy_store_starts_before_its_server() {
    let server = RedisServer::start();
    server.kill();
    let clock = Clock::manual();
    let store = RedisStore::lazy(&config(&server), clock.clone()).unwrap();
    let on = Fixture::new(Arc::new(store), clock).with_real_time();
    assert!(on.store.read(&on.space, &["x"], &[]).await.is_err());
    server.restart();
    recovers(&on, Duration::from_secs(1)).await;
    on.put("key", "1", &[]).await;
}

#[test]
fn a_store_outside_a_runtime_is_refused_with_words() {
    let error = RedisStore::lazy(&RedisConfig::default(), Clock::system()).unwrap_err();
    assert!(matches!(error, Error::Config(_)), "{error:?}");
}

#[tokio::test]
async fn a_killed_server_costs_one_error_and_comes_back() {
    let setup = Setup::new().await;
    setup.on.put("key", "1", &[]).await;
    setup.server.kill();
    for _ in 0..5 {
        let begun = Instant::now();
        assert!(setup.on.store.read(&setup.on.space, &["key"], &[]).await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(1), "refused, not waited for");
    }
    setup.server.restart();
    recovers(&setup.on, Duration::from_secs(1)).await;

    // All links are gone at once; only the first caller pays for finding out.
    setup.server.restart();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut errors = 0;
    for _ in 0..20 {
        errors += u32::from(setup.on.store.read(&setup.on.space, &["key"], &[]).await.is_err());
    }
    assert!(errors <= 1, "{errors} errors");
}

#[tokio::test]
async fn a_hung_server_costs_the_time_out_and_comes_back() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let on = Setup::fixture(&hasty(&server, &proxy)).await;
    on.put("key", "1", &[]).await;
    server.stop_process();
    for _ in 0..3 {
        let error = on.store.read(&on.space, &["key"], &[]).await.unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    }
    let refused = on.store.breaker().unwrap().refused;
    for more in 1..4 {
        let error = on.store.read(&on.space, &["key"], &[]).await.unwrap_err();
        assert!(error.to_string().contains("did not answer"), "{error}");
        assert_eq!(on.store.breaker().unwrap().refused, refused + more, "not waited for");
    }
    server.continue_process();
    recovers(&on, Duration::from_secs(2)).await;
    assert_eq!(on.text("key").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn half_open_links_are_replaced() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let on = Setup::fixture(&hasty(&server, &proxy)).await;
    on.put("key", "1", &[]).await;
    // What is swallowed is never answered, also not after the network has healed: only new
    // links work again.
    proxy.blackhole();
    for _ in 0..3 {
        assert!(on.store.read(&on.space, &["key"], &[]).await.is_err());
    }
    let before = proxy.accepted();
    proxy.heal();
    recovers(&on, Duration::from_secs(2)).await;
    assert!(proxy.accepted() > before);
}

#[tokio::test]
async fn a_fill_that_arrives_late_finds_no_lease() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let on = Setup::fixture(&hasty(&server, &proxy)).await;
    let direct = RedisStore::connect(&config(&server), Clock::manual()).await.unwrap();
    on.put("warm up", "1", &[]).await;

    // 1. A load begins. 2. Its fill is sent, stays on the way and is given up. 3. The key is
    // invalidated. 4. The fill arrives.
    let load = on.begin("key", &[]).await;
    proxy.set(Direction::Requests, Traffic::Hold);
    let error = on.store.fill(&on.space, load.fills(on.value("1", &[]))).await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error:?}");
    direct.invalidate_keys(&on.space, &["key"]).await.unwrap();
    proxy.heal();
    recovers(&on, Duration::from_secs(2)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(on.text("key").await, None);
}

#[tokio::test]
async fn a_fill_whose_answer_is_lost_is_still_stored() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let on = Setup::fixture(&hasty(&server, &proxy)).await;
    on.put("warm up", "1", &[]).await;
    let load = on.begin("key", &[]).await;
    proxy.set(Direction::Replies, Traffic::Swallow);
    assert!(on.store.fill(&on.space, load.fills(on.value("1", &[]))).await.is_err());
    proxy.heal();
    proxy.cut();
    recovers(&on, Duration::from_secs(2)).await;
    assert_eq!(on.text("key").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_fill_on_another_connection_vouches_for_nothing() {
    let setup = Setup::new().await;
    let load = setup.on.begin("key", &[]).await;
    let _ = setup.server.cli(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    recovers(&setup.on, Duration::from_secs(1)).await;
    let filled = loop {
        // The client may not have seen yet that its link is gone.
        if let Ok(filled) = setup.on.store.fill(&setup.on.space, load.fills(setup.on.value("1", &[]))).await {
            break filled;
        }
    };
    assert_eq!(filled, Filled::Overtaken);
    assert_eq!(setup.on.text("key").await.as_deref(), Some("1"), "it is stored all the same");
}

#[tokio::test]
async fn a_password_that_changes_half_way_is_told_as_such() {
    let setup = Setup::new().await;
    setup.on.put("key", "1", &[]).await;
    let mut admin = setup.server.client();
    admin.command(&["CONFIG", "SET", "requirepass", "another"]).unwrap();
    admin.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    let mut error = setup.on.store.read(&setup.on.space, &["key"], &[]).await.unwrap_err();
    for _ in 0..10 {
        assert!(!show(&error).contains(setup.server.password()));
        error = setup.on.store.read(&setup.on.space, &["key"], &[]).await.unwrap_err();
    }
    assert!(matches!(error, Error::Authentication(_)), "{error:?}");
    assert!(!format!("{:?}", setup.on.store).contains(setup.server.password()));
}

#[tokio::test]
async fn a_snapshot_from_before_an_invalidation_revives_nothing() {
    let setup = Setup::on(Settings::new().persistent().start()).await;
    for key in ["key", "tagged", "cleared later"] {
        setup.on.put(key, "1", &["t"]).await;
    }
    let load = setup.on.begin("loading", &[]).await;
    assert_eq!(setup.server.cli(&["SAVE"]), "OK");
    setup.on.invalidate(&["key", "loading"]).await;
    setup.on.invalidate_tags(&["t"]).await;
    setup.server.restart();

    recovers(&setup.on, Duration::from_secs(1)).await;
    let raw = setup.server.cli(&["GET", &setup.names().value("key")]);
    assert!(!raw.is_empty(), "the snapshot brought it back");
    for key in ["key", "tagged", "cleared later"] {
        assert_eq!(setup.on.text(key).await, None, "{key}");
    }
    let late = setup.on.fill(load.fills(setup.on.value("2", &[]))).await;
    assert_ne!(late, Filled::Current);
    assert_eq!(setup.on.text("loading").await, None);
    setup.on.put("key", "2", &["t"]).await;
}

#[tokio::test]
async fn a_pattern_is_finished_on_a_new_connection_when_its_own_is_cut() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let on = Setup::fixture(&RedisConfig { port: proxy.port(), ..config(&server) }).await;
    let mut client = server.client();
    for n in 0..20_000 {
        let name = on.space.key(&format!("many:{n}"));
        client.command(&["SET", &name, "x"]).unwrap();
    }
    proxy.delay(Duration::from_millis(2));
    let sweep = async { on.store.invalidate_pattern(&on.space, "many:*").await.unwrap() };
    let cut = async {
        tokio::time::sleep(Duration::from_millis(70)).await;
        proxy.cut();
    };
    let (removed, ()) = tokio::join!(sweep, cut);
    assert!(removed <= 20_000);
    let left = server.cli(&["SCAN", "0", "MATCH", &on.space.key("many:*"), "COUNT", "1000000"]);
    assert_eq!(left.lines().filter(|line| line.contains("many:")).count(), 0);
}

#[tokio::test]
async fn the_pool_keeps_its_number_of_connections() {
    let setup = Setup::new().await;
    for n in 0..50 {
        setup.on.find(&n.to_string()).await;
    }
    let clients = setup.server.cli(&["CLIENT", "LIST", "TYPE", "normal"]);
    let ours = clients.lines().filter(|line| !line.contains("cmd=client")).count();
    assert!((1..=5).contains(&ours), "{clients}");
}

#[tokio::test]
async fn without_a_database_to_select_a_missing_password_is_told_too() {
    let server = RedisServer::start();
    let config = RedisConfig { password: None, db: 0, ..config(&server) };
    let error = RedisStore::connect(&config, Clock::system()).await.unwrap_err();
    assert!(matches!(error, Error::Authentication(_)), "{error:?}");
}

#[test]
fn a_store_outlives_the_runtime_that_it_was_made_in() {
    let server = RedisServer::start();
    let config = RedisConfig { operation_timeout: LIMIT, ..config(&server) };
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let space = Namespace::new("a");

    // The runtime ends before the first connection is made, and its tasks end with it.
    let store = runtime().block_on(async { RedisStore::lazy(&config, Clock::system()).unwrap() });
    for _ in 0..3 {
        runtime().block_on(async {
            let mut errors = 0;
            while store.read(&space, &["x"], &[]).await.is_err() {
                errors += 1;
                assert!(errors <= 2, "it stays broken");
            }
        });
    }
}

#[tokio::test]
async fn a_server_that_refuses_writes_fails_invalidations_and_says_so() {
    let setup = Setup::new().await;
    setup.on.put("key", "1", &["t"]).await;
    let _ = setup.server.cli(&["REPLICAOF", "127.0.0.1", "1"]);
    let (store, space) = (&setup.on.store, &setup.on.space);
    for result in [
        store.invalidate_keys(space, &["key"]).await.map(drop),
        store.invalidate_tags(space, &conformance::tags(&["t"])).await,
        store.invalidate_pattern(space, "k*").await.map(drop),
        store.clear(space).await,
    ] {
        let error = result.unwrap_err();
        assert!(error.to_string().contains("READONLY"), "{error}");
    }
    let _ = setup.server.cli(&["REPLICAOF", "NO", "ONE"]);
    assert_eq!(setup.on.invalidate(&["key"]).await, 1);
}

#[tokio::test]
async fn a_lease_that_was_not_answered_is_given_back() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let on = Setup::fixture(&hasty(&server, &proxy)).await;
    let stamp = on.stamp(&[]).await;
    let ttl = Duration::from_secs(600);
    let request = LeaseRequest { key: "key", ttl, seen: None, stamp };
    for patience in [LIMIT * 4, LIMIT / 2] {
        // Once the time is up, once the caller goes before.
        proxy.set(Direction::Replies, Traffic::Hold);
        let asked = tokio::time::timeout(patience, on.store.lease(&on.space, request)).await;
        assert!(!matches!(asked, Ok(Ok(_))), "{asked:?}");
        proxy.heal();
        let until = Instant::now() + Duration::from_secs(10);
        let token = loop {
            match on.store.lease(&on.space, request).await {
                Ok(Lease::Granted(token)) => break token,
                other => assert!(Instant::now() < until, "nobody holds the lease, and nobody gets it: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        on.fill(Fill { key: "key", token, stamp, value: None }).await;
    }
}
