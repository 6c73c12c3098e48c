//! A cluster: the same rules, with names at several masters that change, move and die.

use std::{collections::HashSet, sync::LazyLock, time::Instant};

use cache_test_support::{RedisCluster, Reply};

use super::*;
use crate::{stats::BreakerState, store::conformance::Load};

mod moving;
mod sweeping;
mod takeover;

/// One for all tests that lose no master and move no slot: it takes seconds to come up.
static SHARED: LazyLock<RedisCluster> = LazyLock::new(RedisCluster::of_masters);

fn config_of(cluster: &RedisCluster) -> RedisConfig {
    RedisConfig {
        cluster: cluster.addresses().iter().map(|address| address.parse().unwrap()).collect(),
        password: Some(SecretString::from(cluster.password())),
        operation_timeout: Duration::from_secs(5),
        ..RedisConfig::default()
    }
}

async fn fixture() -> Fixture {
    Setup::fixture(&config_of(&SHARED)).await
}

conformance::tests!(fixture);

/// Another process on the same namespace.
async fn neighbour(on: &Fixture, config: &RedisConfig) -> Fixture {
    let mut other = Setup::fixture(config).await;
    other.space = on.space.clone();
    other
}

fn names(on: &Fixture) -> names::Names<'_> {
    names::Names::of(&on.space)
}

/// A key whose value is at the master with the stamps, or at another one.
fn key_at(cluster: &RedisCluster, on: &Fixture, with_stamps: bool) -> String {
    let stamps = cluster.node_of(&names(on).nonce()).port();
    let is_there = |key: &String| (cluster.node_of(&names(on).value(key)).port() == stamps) == with_stamps;
    (0..).map(|number| format!("key{number}")).find(is_there).unwrap()
}

fn exists(cluster: &RedisCluster, name: &str) -> bool {
    cluster.masters().iter().any(|node| node.cli(&["KEYS", "*"]).lines().any(|stored| stored == name))
}

async fn filled(on: &Fixture, load: &Load<'_>) -> Filled {
    on.fill(load.fills(on.value("1", &["t"]))).await
}

#[tokio::test]
async fn values_are_at_all_masters_and_are_read_and_removed_together() {
    let on = fixture().await;
    let keys: Vec<String> = (0..30).map(|number| format!("user:{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
    for key in &keys {
        on.put(key, key, &["t"]).await;
    }
    let owners: HashSet<u16> = keys.iter().map(|key| SHARED.node_of(&names(&on).value(key)).port()).collect();
    assert_eq!(owners.len(), 3);
    let found = on.read(&keys, &["t"]).await.found;
    let texts: Vec<String> = found.iter().map(|found| conformance::text_of(found.entry.as_ref().unwrap())).collect();
    assert_eq!(texts, keys);
    assert_eq!(on.invalidate(&keys[..10]).await, 10);
    assert_eq!(on.invalidate_pattern("user:*").await, 20);
}

#[tokio::test]
async fn a_hit_is_one_command_for_the_stamps_and_one_for_the_value() {
    let cluster = RedisCluster::of_masters();
    // Each further connection would begin with the restart guard.
    let on = Setup::fixture(&RedisConfig { connections: 1, ..config_of(&cluster) }).await;
    let calls = |command: &str| cluster.masters().iter().map(|node| calls(node, command)).sum::<u64>();
    let trips = || (calls("mget"), calls("get"), calls("evalsha"), calls("eval"));
    for with_stamps in [true, false] {
        let key = key_at(&cluster, &on, with_stamps);
        for warm in ["warm", "cold"] {
            on.invalidate(&[&key]).await;
            on.put(&key, warm, &["t"]).await;
        }
        let before = trips();
        assert!(on.read(&[&key], &["t"]).await.found[0].entry.is_some());
        assert_eq!(trips(), (before.0 + 1, before.1 + 1, before.2, before.3), "a hit");
        on.invalidate(&[&key]).await;
        let before = trips().2;
        on.put(&key, "1", &["t"]).await;
        // The lease, and the fill with its look at the stamps.
        assert_eq!(trips().2, before + 3, "a miss");
    }
}

#[tokio::test]
async fn masters_that_are_new_together_cost_one_nonce() {
    let on = fixture().await;
    on.put("first", "1", &["t"]).await;
    let nonce = || SHARED.node_of(&names(&on).nonce()).cli(&["GET", &names(&on).nonce()]);
    let before = nonce();
    for number in 0..30 {
        on.put(&number.to_string(), "1", &["t"]).await;
    }
    let other = neighbour(&on, &config_of(&SHARED)).await;
    for number in 0..30 {
        assert_eq!(other.text(&number.to_string()).await.as_deref(), Some("1"));
    }
    assert_eq!(nonce(), before);
}

#[tokio::test]
async fn a_run_that_nobody_knows_makes_what_is_stored_invalid() {
    let on = fixture().await;
    on.put("key", "1", &["t"]).await;
    let stamps = SHARED.node_of(&names(&on).nonce());
    let _ = stamps.cli(&["DEL", &names(&on).run()]);
    let other = neighbour(&on, &config_of(&SHARED)).await;
    assert_eq!(other.text("key").await, None);
    on.put("key", "2", &["t"]).await;
    // A name from a single server holds something else.
    let _ = stamps.cli(&["SET", &names(&on).run(), "run"]);
    let other = neighbour(&on, &config_of(&SHARED)).await;
    assert_eq!(other.text("key").await, None);
    let trusting = RedisConfig { restart_guard: false, ..config_of(&SHARED) };
    on.put("key", "3", &["t"]).await;
    let _ = stamps.cli(&["DEL", &names(&on).run()]);
    assert_eq!(neighbour(&on, &trusting).await.text("key").await.as_deref(), Some("3"));
}

#[tokio::test]
async fn the_end_of_a_lease_is_told_by_any_master() {
    let on = fixture().await;
    let other = neighbour(&on, &config_of(&SHARED)).await;
    for with_stamps in [true, false] {
        let key = key_at(&SHARED, &on, with_stamps);
        on.begin(&key, &[]).await;
        let held = other.try_begin(&key, &[], conformance::LONG).await.unwrap_err();
        assert_eq!(held, Lease::Held);
        let released = other.store.watch_lease(&other.space, &key).await.unwrap().unwrap();
        assert_eq!(other.try_begin(&key, &[], conformance::LONG).await.unwrap_err(), Lease::Held);
        on.invalidate(&[&key]).await;
        tokio::time::timeout(Duration::from_secs(10), released).await.expect("the end of the lease was not told");
    }
}

#[tokio::test]
async fn the_figures_are_those_of_all_masters() {
    let on = fixture().await;
    on.put("key", "1", &[]).await;
    let all = on.store.info().await.unwrap().unwrap();
    let clients = SHARED.masters()[0].cli(&["INFO", "clients"]);
    let one: u64 =
        clients.lines().find_map(|line| line.strip_prefix("connected_clients:")?.trim().parse().ok()).unwrap();
    assert!(all.connected_clients > one && all.total_commands_processed > 0);
    assert!(all.used_memory_human.ends_with('M'), "{}", all.used_memory_human);
}

#[tokio::test]
async fn a_cluster_and_a_single_server_are_not_taken_for_each_other() {
    let server = RedisServer::start();
    let address = format!("{}:{}", server.host(), server.port());
    let wrong = RedisConfig { cluster: vec![address.parse().unwrap()], ..config(&server) };
    let error = RedisStore::connect(&wrong, Clock::system()).await.unwrap_err();
    assert!(matches!(error, Error::Config(_)) && error.to_string().contains("REDIS_URL"), "{error}");

    let wrong = RedisConfig { port: SHARED.masters()[0].port(), db: 0, ..config_of(&SHARED) };
    let on = Setup::fixture(&RedisConfig { cluster: Vec::new(), ..wrong }).await;
    let error = on.store.read(&on.space, &["a", "b"], &[]).await.unwrap_err();
    assert!(error.to_string().contains("REDIS_CLUSTER"), "{error}");

    let wrong = RedisConfig { password: Some(SecretString::from("hunter2")), ..config_of(&SHARED) };
    let error = RedisStore::connect(&wrong, Clock::system()).await.unwrap_err();
    assert!(matches!(error, Error::Authentication(_)), "{error}");
}

#[tokio::test]
async fn one_node_that_answers_is_enough_to_find_the_others() {
    let gone = RedisServer::start();
    let address = format!("{}:{}", gone.host(), gone.port());
    drop(gone);
    let cluster = vec![address.parse().unwrap(), SHARED.addresses()[2].parse().unwrap()];
    let on = Setup::fixture(&RedisConfig { cluster: cluster.clone(), ..config_of(&SHARED) }).await;
    on.put("key", "1", &[]).await;

    let nobody = RedisConfig { cluster: cluster[..1].to_vec(), ..config_of(&SHARED) };
    let store = RedisStore::lazy(&nobody, Clock::system()).unwrap();
    let begun = Instant::now();
    let error = store.read(&on.space, &["x"], &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(2), "no time-out was waited for");
    assert_eq!(Store::breaker(&store).unwrap().state, BreakerState::Open);
}

/// The links of a fill and the servers behind them.
#[tokio::test]
async fn a_fill_over_another_link_vouches_for_nothing() {
    let cluster = RedisCluster::of_masters();
    let trusting = RedisConfig { restart_guard: false, connections: 1, ..config_of(&cluster) };
    let on = Setup::fixture(&trusting).await;
    let key = key_at(&cluster, &on, false);
    for replaced in [&names(&on).value(&key), &names(&on).nonce()] {
        let load = on.begin(&key, &["t"]).await;
        let _ = cluster.node_of(replaced).cli(&["CLIENT", "KILL", "TYPE", "normal"]);
        let outcome = loop {
            match on.store.fill(&on.space, load.fills(on.value("1", &["t"]))).await {
                Ok(outcome) => break outcome,
                Err(Error::Unavailable { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        };
        assert!(matches!(outcome, Filled::Overtaken | Filled::Rejected), "{outcome:?}");
        on.invalidate(&[&key]).await;
        let load = on.begin(&key, &["t"]).await;
        assert_eq!(filled(&on, &load).await, Filled::Current, "a reading on the new link");
        on.invalidate(&[&key]).await;
    }
}
