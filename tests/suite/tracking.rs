//! `tiered`: what others change reaches the decoded values of this process, and nothing near is
//! served while it might not.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cache_runtime::{Backend, Builder, Cache};
use cache_test_support::{Client, Proxy, RedisServer};

use crate::backends::{builder_for, builder_through, eventually};

/// A tiered cache, and what changes things behind its back.
struct Setup {
    server: Arc<RedisServer>,
    cache: Cache,
    /// Leads to the server; what comes through it knows nothing of this process's handles.
    door: Proxy,
}

impl Setup {
    async fn new() -> Self {
        Self::with(|builder| builder).await
    }

    async fn with(settings: impl FnOnce(Builder) -> Builder) -> Self {
        let server = Arc::new(RedisServer::start());
        let cache = settings(tiered(server.port(), &server)).build().await.unwrap();
        let door = Proxy::to(server.port());
        Self { server, cache, door }
    }

    /// The cache goes through the proxy, on which faults are made.
    async fn behind_proxy(settings: impl FnOnce(Builder) -> Builder) -> Self {
        let server = Arc::new(RedisServer::start());
        let door = Proxy::to(server.port());
        let cache = settings(tiered(door.port(), &server)).build().await.unwrap();
        Self { server, cache, door }
    }

    /// As another process has it.
    async fn neighbour(&self) -> Cache {
        builder_through(self.door.port(), &self.server).namespace("app").build().await.unwrap()
    }

    /// A cache of this process that does not share a proxy with the first.
    async fn direct(&self) -> Cache {
        builder_for(&self.server).namespace("app").build().await.unwrap()
    }

    fn redis(&self) -> Client {
        self.server.client()
    }

    /// Cuts the cache's connections of one kind at the server.
    fn kill(&self, which: Listens) {
        let clients = self.server.cli(&["CLIENT", "LIST"]);
        let is_meant =
            |line: &&str| !line.contains("cmd=client|list") && line.contains("resp=3") == (which == Listens::Yes);
        for line in clients.lines().filter(is_meant) {
            let id = line.split(' ').find_map(|field| field.strip_prefix("id=")).unwrap();
            let _ = self.server.cli(&["CLIENT", "KILL", "ID", id]);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Listens {
    Yes,
    No,
}

fn tiered(port: u16, server: &RedisServer) -> Builder {
    builder_through(port, server).backend(Backend::Tiered).namespace("app")
}

/// A call of a function that would load `fresh`: what it answers says where that came from.
async fn load(cache: &Cache, key: &str, fresh: &str) -> String {
    let fresh = fresh.to_owned();
    cache.get_or_load(key, || async move { Ok::<_, String>(fresh) }).tags(["t"]).await.unwrap()
}

/// How many commands the server has been sent.
async fn reads(server: &RedisServer) -> u64 {
    let stats = server.cli(&["INFO", "commandstats"]);
    let calls =
        stats.lines().find_map(|line| line.strip_prefix("cmdstat_mget:calls=")?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}

/// Whether a call is answered without asking the server.
async fn is_near(server: &RedisServer, cache: &Cache, key: &str) -> bool {
    let before = reads(server).await;
    load(cache, key, "loaded anew").await;
    reads(server).await == before
}

/// Loads a value and reads it until it is answered from here.
async fn bring_near(server: &RedisServer, cache: &Cache, key: &str, value: &str) {
    assert_eq!(load(cache, key, value).await, value);
    eventually("the value is near", || is_near(server, cache, key)).await;
    assert_eq!(load(cache, key, "loaded anew").await, value);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hit_asks_the_server_nothing() {
    let setup = Setup::new().await;
    bring_near(&setup.server, &setup.cache, "k", "old").await;
    // Once the message about this process's own fill has passed.
    let hits = || async {
        let before = reads(&setup.server).await;
        for _ in 0..100 {
            assert_eq!(load(&setup.cache, "k", "new").await, "old");
        }
        reads(&setup.server).await == before
    };
    eventually("hits that ask nothing", hits).await;
    assert_eq!(setup.cache.stats().await.near_entries, 1);
}

/// Every way in which a value can go away behind this process's back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_removes_a_value_reaches_this_process() {
    let setup = Setup::new().await;
    let neighbour = setup.neighbour().await;
    let mut redis = setup.redis();
    for way in ["invalidate", "tag", "pattern", "clear", "DEL", "expiry", "FLUSHDB", "FLUSHDB of another", "FLUSHALL"] {
        bring_near(&setup.server, &setup.cache, "k", way).await;
        match way {
            "invalidate" => assert!(neighbour.delete("k").await.unwrap()),
            "tag" => neighbour.invalidate_tag("t").await.unwrap(),
            "pattern" => assert_eq!(neighbour.delete_pattern("k*").await.unwrap(), 1),
            "clear" => neighbour.clear().await.unwrap(),
            "DEL" => drop(redis.command(&["DEL", "app:k"]).unwrap()),
            "expiry" => drop(redis.command(&["PEXPIRE", "app:k", "1"]).unwrap()),
            "FLUSHDB" => drop(redis.command(&["FLUSHDB"]).unwrap()),
            "FLUSHDB of another" => {
                let mut other = setup.redis();
                other.command(&["SELECT", "5"]).unwrap();
                other.command(&["FLUSHDB"]).unwrap();
                // It is told as if everything were gone; the value is read anew.
                eventually(way, || async { !is_near(&setup.server, &setup.cache, "k").await }).await;
                assert!(setup.cache.delete("k").await.unwrap());
                continue;
            }
            _ => drop(redis.command(&["FLUSHALL"]).unwrap()),
        }
        eventually(way, || async { load(&setup.cache, "k", "new").await == "new" }).await;
        setup.cache.delete("k").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_writes_is_read_here() {
    let setup = Setup::new().await;
    let neighbour = setup.neighbour().await;
    bring_near(&setup.server, &setup.cache, "k", "old").await;
    neighbour.set("k", &"theirs").await.unwrap();
    eventually("their value", || async { load(&setup.cache, "k", "new").await == "theirs" }).await;
    bring_near(&setup.server, &setup.cache, "n", "1").await;
    assert!(neighbour.expire("n", 0).await.unwrap());
    eventually("the value is gone", || async { load(&setup.cache, "n", "2").await == "2" }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tag_takes_what_has_it_and_leaves_the_rest_near() {
    let setup = Setup::new().await;
    let neighbour = setup.neighbour().await;
    bring_near(&setup.server, &setup.cache, "tagged", "old").await;
    let plain = || async { setup.cache.get_or_load("plain", || async { Ok::<_, String>(1) }).await };
    let asks = || async {
        let before = reads(&setup.server).await;
        plain().await.unwrap();
        reads(&setup.server).await > before
    };
    eventually("the other value is near", || async { !asks().await }).await;
    // More than once: the message about the fill of the other value may come late.
    for _ in 0..5 {
        neighbour.invalidate_tag("t").await.unwrap();
        eventually("the tag", || async { load(&setup.cache, "tagged", "new").await == "new" }).await;
        if !asks().await {
            return;
        }
        bring_near(&setup.server, &setup.cache, "tagged", "new").await;
    }
    panic!("a value without the tag always went too");
}

/// Prints the figures. The bound is that of the docs, for the median; one round may meet a busy machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_arrives_soon() {
    let setup = Setup::new().await;
    let neighbour = setup.neighbour().await;
    let mut took = Vec::new();
    for round in 0..50 {
        let key = format!("k{round}");
        bring_near(&setup.server, &setup.cache, &key, "old").await;
        neighbour.delete(&key).await.unwrap();
        let began = Instant::now();
        while load(&setup.cache, &key, "new").await != "new" {
            tokio::task::yield_now().await;
            assert!(began.elapsed() < Duration::from_secs(10));
        }
        took.push(began.elapsed());
    }
    took.sort_unstable();
    println!(
        "from the acknowledgement there to the first new answer here: median {:?}, worst {:?}",
        took[25], took[49]
    );
    assert!(took[25] < Duration::from_millis(50), "{:?}", took[25]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_comes_later_is_heard_before_it_is_near() {
    let setup = Setup::new().await;
    // Names that begin with each other, and one that covers the names of tags.
    for name in ["later", "later/inner", "tag"] {
        let here = match name {
            "tag" => tiered(setup.server.port(), &setup.server).namespace("tag").build().await.unwrap().namespace("x"),
            name => setup.cache.namespace(name),
        };
        let there = match name {
            "tag" => {
                builder_through(setup.door.port(), &setup.server).namespace("tag").build().await.unwrap().namespace("x")
            }
            name => setup.neighbour().await.namespace(name),
        };
        bring_near(&setup.server, &here, "k", "old").await;
        there.delete("k").await.unwrap();
        eventually(name, || async { load(&here, "k", "new").await == "new" }).await;
        bring_near(&setup.server, &here, "tagged", "old").await;
        there.invalidate_tag("t").await.unwrap();
        eventually(name, || async { load(&here, "tagged", "new").await == "new" }).await;
        bring_near(&setup.server, &here, "cleared", "old").await;
        there.clear().await.unwrap();
        eventually(name, || async { load(&here, "cleared", "new").await == "new" }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_covers_others_names_is_heard_in_one_cache() {
    let setup = Setup::new().await;
    let here = setup.cache.namespace("x");
    bring_near(&setup.server, &here, "k", "old").await;
    // Its values' prefix, `tag:`, is the beginning of the tags' prefixes that are registered.
    let cache = builder_for(&setup.server).backend(Backend::Tiered).namespace("tag").build().await.unwrap();
    bring_near(&setup.server, &cache, "k", "old").await;
    setup.redis().command(&["DEL", "tag:k"]).unwrap();
    eventually("a namespace called `tag`", || async { load(&cache, "k", "new").await == "new" }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_empties_near_until_changes_are_heard_again() {
    let setup = Setup::behind_proxy(|builder| builder).await;
    let (server, cache) = (&setup.server, &setup.cache);
    bring_near(server, cache, "k", "old").await;
    // Only the connection that listens is lost, and none can be made for a while.
    setup.door.refuse(true);
    setup.kill(Listens::Yes);
    eventually("near is emptied", || async { cache.stats().await.near_entries == 0 }).await;
    // Nobody tells of this one.
    setup.direct().await.delete("k").await.unwrap();
    assert_eq!(load(cache, "k", "new").await, "new");
    for _ in 0..3 {
        assert!(!is_near(server, cache, "k").await, "near is used while nothing is heard");
    }
    assert_eq!(cache.stats().await.near_entries, 0);
    setup.door.heal();
    eventually("near is used again", || is_near(server, cache, "k")).await;
    setup.direct().await.delete("k").await.unwrap();
    eventually("changes are heard again", || async { load(cache, "k", "newer").await == "newer" }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_the_server_cannot_be_reached_is_not_missed() {
    let setup = Setup::behind_proxy(|builder| builder.operation_timeout(Duration::from_millis(500))).await;
    let direct = setup.direct().await;
    for fault in ["cut", "blackhole"] {
        bring_near(&setup.server, &setup.cache, "k", "old").await;
        match fault {
            "cut" => setup.door.cut(),
            _ => setup.door.blackhole(),
        }
        direct.delete("k").await.unwrap();
        // Cut: the client says so. Swallowed: the unanswered ping does.
        eventually(fault, || async { load(&setup.cache, "k", "new").await == "new" }).await;
        setup.door.cut();
        setup.door.heal();
        eventually("near is used again", || is_near(&setup.server, &setup.cache, "k")).await;
        direct.delete("k").await.unwrap();
        eventually("heard again", || async { load(&setup.cache, "k", "newer").await == "newer" }).await;
        direct.delete("k").await.unwrap();
        eventually("gone", || async { setup.cache.get::<String>("k").await.unwrap().is_none() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_leaves_nothing_near() {
    let setup = Setup::new().await;
    bring_near(&setup.server, &setup.cache, "k", "old").await;
    setup.server.restart();
    eventually("the restart", || async { load(&setup.cache, "k", "new").await == "new" }).await;
    eventually("near is used again", || is_near(&setup.server, &setup.cache, "k")).await;
}

/// 1. A read is answered with the old value, and the answer is on its way. 2. The value is removed,
/// and the message about that arrives. 3. The answer arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_overtakes_an_answer_leaves_no_old_value() {
    let setup = Setup::behind_proxy(|builder| builder).await;
    let (server, cache) = (&setup.server, &setup.cache);
    let direct = setup.direct().await;
    bring_near(server, cache, "marker", "old").await;
    direct.set("k", &"the-old-value").await.unwrap();
    setup.door.hold_replies_with(Some("the-old-value"));
    let before = reads(server).await;
    let reader = tokio::spawn({
        let cache = cache.clone();
        async move { load(&cache, "k", "new").await }
    });
    eventually("the server has answered", || async { reads(server).await > before }).await;
    direct.delete("k").await.unwrap();
    direct.delete("marker").await.unwrap();
    // Messages come in order. The look may go by the connection that is held; the next one does not.
    let look = || async {
        let looked = tokio::time::timeout(Duration::from_millis(200), load(cache, "marker", "new")).await;
        looked.is_ok_and(|value| value == "new")
    };
    eventually("the message", look).await;
    setup.door.hold_replies_with(None);
    assert_eq!(reader.await.unwrap(), "the-old-value");
    assert_eq!(load(cache, "k", "new").await, "new");
}

/// Behind one address there may be another server from one connection to the next.
async fn read_from_two_servers(moves: Listens) {
    let setup = Setup::behind_proxy(|builder| builder).await;
    bring_near(&setup.server, &setup.cache, "k", "old").await;
    let other = RedisServer::start();
    // The same credentials lead to both.
    let password = format!(">{}", setup.server.password());
    assert!(other.cli(&["ACL", "SETUSER", "default", &password]).contains("OK"));
    setup.door.lead_to(other.port());
    setup.kill(moves);
    let remove = |key: &str| {
        for server in [&*setup.server, &other] {
            let _ = server.cli(&["DEL", &format!("app:{key}")]);
        }
    };
    for round in 0..20 {
        let key = format!("n{round}");
        load(&setup.cache, &key, "old").await;
        load(&setup.cache, &key, "old").await;
        load(&setup.cache, &key, "old").await;
        remove(&key);
        eventually("what is read is heard", || async { load(&setup.cache, &key, "new").await == "new" }).await;
    }
    eventually("near is used again", || is_near(&other, &setup.cache, "n0")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_from_another_server_than_the_one_that_is_heard_is_not_near() {
    read_from_two_servers(Listens::No).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_another_server_is_heard_reads_go_there_too() {
    read_from_two_servers(Listens::Yes).await;
}

/// The unanswered ping would find it too, but later. The best of several is not for a busy machine.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_that_the_system_reports_is_known_at_once() {
    let setup = Setup::new().await;
    let mut best = Duration::MAX;
    for round in 0..20 {
        bring_near(&setup.server, &setup.cache, &format!("k{round}"), "old").await;
        setup.kill(Listens::Yes);
        let looks = || async { setup.cache.stats().await.near_entries == 0 };
        best = best.min(eventually("near is emptied", looks).await);
        if best < Duration::from_millis(50) {
            return;
        }
    }
    panic!("the best of 20 took {best:?}");
}

/// Tests of a user have a runtime each, and may share one cache.
#[test]
fn a_cache_outlives_the_runtime_that_it_was_made_in() {
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    let setup = first.block_on(Setup::new());
    first.block_on(bring_near(&setup.server, &setup.cache, "k", "old"));
    first.shutdown_timeout(Duration::from_secs(10));
    // Nobody is there to hear it.
    setup.redis().command(&["DEL", "app:k"]).unwrap();
    second.block_on(async {
        let after = "the first call after the runtime's end";
        assert_eq!(load(&setup.cache, "k", "new").await, "new", "{after}");
        bring_near(&setup.server, &setup.cache, "n", "old").await;
        setup.neighbour().await.delete("n").await.unwrap();
        eventually("it is heard again", || async { load(&setup.cache, "n", "new").await == "new" }).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handles_of_one_process_see_each_others_invalidations_at_once() {
    let setup = Setup::new().await;
    let (server, here) = (&setup.server, &setup.cache);
    let others = [
        tiered(server.port(), server).build().await.unwrap(),
        builder_for(server).namespace("app").build().await.unwrap(),
    ];
    for there in others {
        for _ in 0..10 {
            bring_near(server, here, "k", "old").await;
            there.delete("k").await.unwrap();
            assert_eq!(load(here, "k", "new").await, "new");
            there.invalidate_tag("t").await.unwrap();
            bring_near(server, here, "k", "old").await;
            there.invalidate_tag("t").await.unwrap();
            assert_eq!(load(here, "k", "new").await, "new");
            there.clear().await.unwrap();
        }
    }
}
