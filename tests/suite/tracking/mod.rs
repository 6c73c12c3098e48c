//! `tiered`: what others change reaches the decoded values of this process, and nothing near is
//! served while it might not.

use std::sync::Arc;

use cache_runtime::{Backend, Builder, Cache};
use cache_test_support::{Client, Proxy, RedisServer};

use crate::backends::{builder_for, builder_through, eventually};

mod changes;
mod losses;

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
