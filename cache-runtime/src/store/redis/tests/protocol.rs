//! What is on the server, and what its loss or change does.

use cache_test_support::{Reply, Settings};

use super::*;
use crate::store::{Format, Life, Over, Value};

#[tokio::test]
async fn a_value_is_json_that_redis_cli_shows() {
    let setup = Setup::new().await;
    setup.on.put("user:1", r#"{"name":"Ada"}"#, &["org:1"]).await;

    let text = setup.server.cli(&["GET", &setup.names().value("user:1")]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["value"]["name"], "Ada");
    assert_eq!(json["tags"][0], "org:1");
    assert_eq!(json["format"], "json");
    assert!(text.starts_with(r#"{"token":""#), "{text}");
}

#[tokio::test]
async fn a_hit_is_one_command_and_a_miss_is_two_and_the_fill() {
    let server = RedisServer::start();
    // Each further connection would begin with the restart guard.
    let on = Setup::fixture(&RedisConfig { connections: 1, ..config(&server) }).await;
    let setup = Setup { server, on };
    setup.on.put("warm", "1", &["t"]).await;
    let trips = || (setup.calls("mget"), setup.calls("evalsha"), setup.calls("eval"));

    let before = trips();
    let reading = setup.on.read(&["warm"], &["t"]).await;
    assert!(reading.found[0].entry.is_some());
    assert_eq!(trips(), (before.0 + 1, before.1, before.2), "a hit");

    let before = trips();
    setup.on.put("cold", "1", &["t"]).await;
    // Read, lease, and the fill with its look at the stamps, which are sent together.
    assert_eq!(trips(), (before.0 + 1, before.1 + 3, before.2), "a miss");

    let before = trips();
    setup.on.invalidate(&["warm", "cold"]).await;
    setup.on.invalidate_tags(&["t"]).await;
    setup.on.clear().await;
    // Two of the three are taught to the server first.
    assert_eq!(trips(), (before.0, before.1 + 3, before.2 + 3), "invalidations");
}

#[tokio::test]
async fn what_is_no_entry_is_told_and_can_be_replaced() {
    let setup = Setup::new().await;
    let key = setup.names().value("key");
    let cut = r#"{"token":"00000000000000000000000000000001","inc":"#;
    for garbage in [&b"x"[..], b"garbage of some length", b"\xff\x00\x80", cut.as_bytes(), b"{\"a\":1}"] {
        let _ = setup.server.command(&[&b"SET"[..], key.as_bytes(), garbage]);
        let found = setup.on.find("key").await;
        assert!(found.unreadable && found.entry.is_none() && found.seen.is_some());
        setup.on.put("key", "1", &[]).await;
        assert!(!setup.on.find("key").await.unreadable);
    }
    for other in [&["LPUSH", &key, "x"][..], &["HSET", &key, "a", "b"]] {
        let _ = setup.server.cli(&["DEL", &key]);
        let _ = setup.server.cli(other);
        assert!(setup.on.find("key").await.entry.is_none());
        setup.on.put("key", "1", &[]).await;
    }
    let number = Increment { key: "key", by: 7, fresh: setup.on.value("7", &[]) };
    let _ = setup.server.cli(&["SET", &key, "garbage"]);
    let sum = setup.on.store.increment(&setup.on.space, number).await.unwrap();
    assert_eq!(sum, Incremented::To(7));
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_taught_them_again() {
    let setup = Setup::new().await;
    setup.on.put("warm", "1", &["t"]).await;
    let loads = [setup.on.begin("a", &["t"]).await, setup.on.begin("b", &["t"]).await];
    let _ = setup.server.cli(&["SCRIPT", "FLUSH"]);
    let fills = loads.iter().map(|load| load.fills(setup.on.value("1", &["t"]))).collect();
    let filled = setup.on.store.fill_many(&setup.on.space, fills).await.unwrap();
    assert_eq!(filled, [Filled::Current; 2]);

    let _ = setup.server.cli(&["SCRIPT", "FLUSH"]);
    setup.on.invalidate_tags(&["t"]).await;
    assert_eq!(setup.on.text("a").await, None);
}

#[tokio::test]
async fn a_lost_stamp_never_revives_an_entry() {
    let setup = Setup::new().await;
    let names = setup.names();
    setup.on.put("old", "1", &["t"]).await;
    setup.on.invalidate_tags(&["t"]).await;
    let _ = setup.server.cli(&["DEL", &names.tag("t")]);
    assert_eq!(setup.on.text("old").await, None, "the tag's stamp");

    for lost in [names.clock(), names.nonce()] {
        setup.on.put("new", "1", &["t"]).await;
        let _ = setup.server.cli(&["DEL", &lost]);
        assert_eq!(setup.on.text("new").await, None, "{lost}");
        assert_eq!(setup.on.text("old").await, None, "{lost}");
    }
    for broken in [names.clock(), names.nonce(), names.tag("t")] {
        setup.on.put("new", "1", &["t"]).await;
        let _ = setup.server.cli(&["SET", &broken, "garbage"]);
        setup.on.put("after", "1", &["t"]).await;
        assert_eq!(setup.on.text("after").await.as_deref(), Some("1"), "{broken}");
    }
}

#[tokio::test]
async fn a_lost_lease_rejects_its_fill_and_a_flush_loses_everything() {
    let setup = Setup::new().await;
    let load = setup.on.begin("key", &[]).await;
    let _ = setup.server.cli(&["DEL", &setup.names().lease("key")]);
    assert_eq!(setup.on.fill(load.fills(setup.on.value("1", &[]))).await, Filled::Rejected);

    let load = setup.on.begin("key", &[]).await;
    let _ = setup.server.cli(&["FLUSHALL"]);
    assert_eq!(setup.on.fill(load.fills(setup.on.value("1", &[]))).await, Filled::Rejected);
    setup.on.put("key", "2", &[]).await;
}

#[tokio::test]
async fn keys_go_by_themselves_and_stamps_outlive_their_entries() {
    let setup = Setup::new().await;
    let names = setup.names();
    let ttl = |name: &str| setup.server.cli(&["PTTL", name]).parse::<i64>().unwrap();

    let load = setup.on.begin("key", &["t"]).await;
    assert!((1..=60_000).contains(&ttl(&names.lease("key"))));
    let keep = Duration::from_secs(30 * 24 * 3600);
    let value = Value { keep, ..setup.on.value("1", &["t", "only of the value"]) };
    assert_eq!(setup.on.fill(load.fills(value)).await, Filled::Current);
    let life = ttl(&names.value("key"));
    assert!(life > 0 && life <= 30 * 24 * 3_600_000);
    assert!(ttl(&names.tag("t")) > life);
    assert!(ttl(&names.tag("only of the value")) > life);
    assert_eq!(ttl(&names.nonce()), -1);
    assert_eq!(ttl(&names.clock()), -1);

    let load = setup.on.begin("short", &[]).await;
    let value = Value { keep: Duration::ZERO, ..setup.on.value("1", &[]) };
    assert_eq!(setup.on.fill(load.fills(value)).await, Filled::Current);
    let load = setup.on.begin("for ever", &[]).await;
    let value = Value {
        keep: Duration::MAX,
        life: Life { since: 0, fresh_until: u64::MAX, dead_at: u64::MAX },
        format: Format::ABSENT,
        ..setup.on.value("null", &[])
    };
    assert_eq!(setup.on.fill(load.fills(value)).await, Filled::Current);
    assert!(setup.on.find("for ever").await.entry.is_some());
}

#[tokio::test]
async fn an_increment_keeps_the_ttl_and_leaves_nothing_behind() {
    let setup = Setup::new().await;
    let names = setup.names();
    setup.on.put("n", "1", &[]).await;
    let _ = setup.server.cli(&["PEXPIRE", &names.value("n"), "50000"]);
    for (by, sum) in [(1, Incremented::To(2)), (i64::MAX, Incremented::Overflow)] {
        let increment = Increment { key: "n", by, fresh: setup.on.value("1", &[]) };
        assert_eq!(setup.on.store.increment(&setup.on.space, increment).await.unwrap(), sum);
        assert_eq!(setup.server.command(&["EXISTS", &names.lease("n")]), Reply::Integer(0));
    }
    let ttl: i64 = setup.server.cli(&["PTTL", &names.value("n")]).parse().unwrap();
    assert!((1..=50_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_pattern_in_a_namespace_called_lease_touches_no_lease() {
    let setup = Setup::new().await;
    let load = setup.on.begin("key", &[]).await;
    for name in ["lease", "inc", "clock", "tag", "run"] {
        setup.on.store.invalidate_pattern(&Namespace::new(name), "*").await.unwrap();
    }
    assert_eq!(setup.on.fill(load.fills(setup.on.value("1", &[]))).await, Filled::Current);
}

#[tokio::test]
async fn at_maxmemory_invalidations_land_and_fills_are_refused() {
    let setup = Setup::on(Settings::new().arg("--maxmemory-policy").arg("noeviction").start()).await;
    let (store, space) = (&setup.on.store, &setup.on.space);
    for (key, tag) in [("keyed", "a"), ("tagged", "b"), ("matched", "c"), ("cleared", "d")] {
        setup.on.put(key, "1", &[tag]).await;
    }
    assert_eq!(setup.server.cli(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    assert!(setup.server.cli(&["SET", "x", "1"]).starts_with("OOM"));

    assert!(setup.on.read(&["keyed"], &["not seen yet"]).await.found[0].entry.is_some(), "its stamp is made");
    let load = setup.on.begin("new", &["a"]).await;
    let error = store.fill(space, load.fills(setup.on.value("1", &["a"]))).await.unwrap_err();
    assert!(error.to_string().contains("OOM"), "{error}");
    assert_eq!(setup.server.command(&["EXISTS", &setup.names().lease("new")]), Reply::Integer(0), "given back");

    assert_eq!(setup.on.invalidate(&["keyed"]).await, 1);
    setup.on.invalidate_tags(&["b", "never seen"]).await;
    assert_eq!(setup.on.invalidate_pattern("match*").await, 1);
    for key in ["keyed", "tagged", "matched"] {
        assert_eq!(setup.on.text(key).await, None, "{key}");
    }
    assert_eq!(setup.on.text("cleared").await.as_deref(), Some("1"));
    setup.on.clear().await;
    assert_eq!(setup.on.text("cleared").await, None);
}

#[tokio::test]
async fn the_server_tells_its_figures() {
    let setup = Setup::new().await;
    setup.on.put("key", "1", &[]).await;
    setup.on.find("key").await;
    let info = setup.on.store.info().await.unwrap().unwrap();
    assert!(info.total_connections_received > 0 && info.total_commands_processed > 0 && info.connected_clients > 0);
    assert!(info.keyspace_hits > 0 && info.keyspace_misses > 0 && info.used_memory_human.ends_with('M'));
    assert!(info.hit_rate_percent > 0.0 && info.hit_rate_percent < 100.0);
}

/// Lua shows numbers of so many digits as `1e+14` unless it is told otherwise.
#[tokio::test]
async fn a_counter_of_many_digits_stays_a_whole_number() {
    let setup = Setup::new().await;
    let (on, names) = (&setup.on, setup.names());
    let nonce = on.stamp(&[]).await.incarnation;
    let _ = setup.server.cli(&["SET", &names.clock(), &format!("{nonce}:{}", 99_999_999_999_999_u64)]);
    on.invalidate_tags(&["t"]).await;
    let stamp = on.stamp(&["t", "made by the read"]).await;
    let reached = 100_000_000_000_000;
    assert_eq!((stamp.incarnation, stamp.born, stamp.floor), (nonce, reached, reached));
    on.put("key", "1", &["t", "made by the read"]).await;
    assert_eq!(on.text("key").await.as_deref(), Some("1"));
    on.invalidate_tags(&["t"]).await;
    assert_eq!(on.text("key").await, None);

    let seizure =
        Seizure { key: "seized", ttl: conformance::LONG, tags: &conformance::tags(&["t"]), over: Over::Anything };
    on.store.seize(&on.space, seizure).await.unwrap();
    assert_eq!(on.try_begin("seized", &["t"], conformance::LONG).await.unwrap_err(), Lease::Held);
}

#[tokio::test]
async fn a_counter_of_another_incarnation_counts_as_lost() {
    let setup = Setup::new().await;
    let names = setup.names();
    setup.on.put("key", "1", &[]).await;
    let other = format!("{}:5", Token(7));
    let _ = setup.server.cli(&["SET", &names.clock(), &other]);
    setup.on.invalidate_tags(&["t"]).await;
    assert_ne!(setup.server.cli(&["GET", &names.clock()]), format!("{}:6", Token(7)));
    assert_eq!(setup.on.text("key").await, None);
    setup.on.put("key", "2", &["t"]).await;
}

/// The store itself, since the races lie between two of its trips.
async fn bare(server: &RedisServer) -> (RedisStore, Fixture) {
    let store = RedisStore::connect(&config(server), Clock::manual()).await.unwrap();
    (store, Setup::fixture(&config(server)).await)
}

#[tokio::test]
async fn an_increment_adds_to_what_was_written_since_only_if_that_is_as_young_as_its_reading() {
    let server = RedisServer::start();
    let (store, on) = bare(&server).await;
    let increment = Increment { key: "n", by: 1, fresh: on.value("1", &["t"]) };

    // Written since, under the counter of the reading or a later one: it counts.
    let reading = on.read(&["n"], &["t"]).await;
    on.put("n", "40", &["t"]).await;
    let sum = store.add(&on.space, &increment, &reading.found[0], reading.stamp).await.unwrap();
    assert_eq!(sum, Some(Incremented::To(41)));

    // 1. A load begins. 2. Its tag is invalidated. 3. The increment reads. 4. The load fills,
    // which its stamp makes invalid. 5. The increment must not build on that.
    on.invalidate(&["n"]).await;
    let doomed = on.begin("n", &["t"]).await;
    on.invalidate_tags(&["t"]).await;
    let reading = on.read(&["n"], &["t"]).await;
    assert_eq!(on.fill(doomed.fills(on.value("40", &["t"]))).await, Filled::Overtaken);
    let sum = store.add(&on.space, &increment, &reading.found[0], reading.stamp).await.unwrap();
    assert_eq!(sum, None, "read again");

    // The same with a clear in place of the tag.
    on.invalidate(&["n"]).await;
    on.invalidate_tags(&["u", "v"]).await;
    on.invalidate_tags(&["u", "v"]).await;
    let doomed = on.begin("n", &[]).await;
    on.clear().await;
    let reading = on.read(&["n"], &["t"]).await;
    on.fill(doomed.fills(on.value("40", &[]))).await;
    let sum = store.add(&on.space, &increment, &reading.found[0], reading.stamp).await.unwrap();
    assert_eq!(sum, None, "read again");
    assert_eq!(on.store.increment(&on.space, increment).await.unwrap(), Incremented::To(1));
}

#[tokio::test]
async fn an_expiry_changes_only_what_it_saw() {
    let server = RedisServer::start();
    let (store, on) = bare(&server).await;
    on.put("key", "1", &[]).await;
    let reading = on.read(&["key"], &[]).await;
    let head = reading.found[0].entry.as_ref().unwrap().head.clone();
    on.put("key", "2", &[]).await;
    let changed = store.set_deadlines(&on.space, "key", &head, Duration::from_secs(9), reading.stamp).await.unwrap();
    assert!(!changed);
    on.invalidate(&["key"]).await;
    let changed = store.set_deadlines(&on.space, "key", &head, Duration::from_secs(9), reading.stamp).await.unwrap();
    assert!(!changed, "it makes no entry");
    assert_eq!(on.text("key").await, None);
}
