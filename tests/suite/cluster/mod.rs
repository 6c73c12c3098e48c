//! A Redis Cluster under the public surface: three masters, whose slots move and whose servers die.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Backend, Builder, Cache, cached, invalidates};
use cache_test_support::{RedisCluster, RedisServer};
use secrecy::SecretString;

use crate::backends::eventually;

mod near;
mod traffic;

/// One for all tests that change nothing of it: it takes seconds to come up.
static SHARED: LazyLock<RedisCluster> = LazyLock::new(RedisCluster::of_masters);

/// A builder for a cache on a cluster. It is as if of another process for each `first` of the nodes: handles of
/// one process that name the same nodes, in whatever order, know of each other, so one is left out.
fn builder(cluster: &RedisCluster, backend: Backend, first: usize) -> Builder {
    let mut redis = cache_runtime::RedisConfig::default();
    redis.password = Some(SecretString::from(cluster.password().to_owned()));
    let mut nodes = cluster.addresses();
    nodes.rotate_left(first);
    nodes.pop();
    let builder = Cache::builder().backend(backend).redis(redis).redis_cluster(nodes).unwrap();
    builder.operation_timeout(Duration::from_secs(5))
}

/// Two processes on a namespace that no other test uses.
struct Setup {
    cache: Cache,
    neighbour: Cache,
}

impl Setup {
    async fn new(backend: Backend, namespace: &str) -> Self {
        let build = async |first| {
            let namespace = format!("{namespace}/{}", backend.name());
            builder(&SHARED, backend, first).namespace(namespace).build().await.unwrap()
        };
        Self { cache: build(0).await, neighbour: build(1).await }
    }
}

/// Runs each test on both backends: `async fn name(backend: Backend)`.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(cache_runtime::Backend::Redis).await;
            })+
        }
        mod tiered {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(cache_runtime::Backend::Tiered).await;
            })+
        }
    };
}
use on_both;

on_both!(
    functions_are_cached_and_invalidated,
    many_ids_are_read_from_all_masters,
    what_another_process_invalidates_is_gone,
    a_load_is_one_among_processes,
);

#[derive(Clone)]
struct Service {
    cache: Cache,
    version: Arc<AtomicU32>,
}

impl Service {
    fn new(cache: &Cache) -> Self {
        Self { cache: cache.clone(), version: Arc::default() }
    }

    fn version(&self) -> u32 {
        self.version.load(Ordering::SeqCst)
    }

    #[cached(key = "user:<id>:<org>", tags = ["org:<org>"], cache = self.cache)]
    async fn user(&self, org: u64, id: u64) -> u32 {
        let _ = (org, id);
        self.version()
    }

    #[cached(each = ids, key = "thing:<ids>", cache = self.cache)]
    async fn things(&self, ids: &[u64]) -> HashMap<u64, u32> {
        ids.iter().map(|id| (*id, self.version())).collect()
    }

    #[invalidates(user(org, id), cache = self.cache)]
    async fn rename(&self, org: u64, id: u64) -> Result<(), String> {
        self.version.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    /// What all users are read as.
    async fn users(&self) -> Vec<u32> {
        let mut users = Vec::new();
        for id in 0..20 {
            users.push(self.user(id % 2, id).await);
        }
        users
    }
}

async fn functions_are_cached_and_invalidated(backend: Backend) {
    let setup = Setup::new(backend, "functions").await;
    let service = Service::new(&setup.cache);
    service.cache.clear().await.unwrap();
    assert_eq!(service.users().await, [0; 20]);
    for id in 0..20 {
        service.rename(id % 2, id).await.unwrap();
    }
    let users = service.users().await;
    assert_eq!(users, [20; 20], "each was invalidated");
    service.version.store(30, Ordering::SeqCst);
    assert_eq!(service.users().await, [20; 20], "cached");

    service.cache.invalidate_tag("org:1").await.unwrap();
    assert_eq!(service.users().await, [20, 30].repeat(10));
    service.version.store(40, Ordering::SeqCst);
    assert_eq!(service.cache.delete_pattern("user:1*").await.unwrap(), 11);
    let of_pattern = service.users().await.iter().filter(|user| **user == 40).count();
    assert_eq!(of_pattern, 11);
    service.cache.clear().await.unwrap();
    assert_eq!(service.users().await, [40; 20]);
    assert_eq!(service.cache.stats().await.total.errors, 0);
}

async fn many_ids_are_read_from_all_masters(backend: Backend) {
    let setup = Setup::new(backend, "ids").await;
    let service = Service::new(&setup.cache);
    service.cache.clear().await.unwrap();
    let ids: Vec<u64> = (0..50).collect();
    let all = |version| ids.iter().map(|id| (*id, version)).collect::<HashMap<u64, u32>>();
    assert_eq!(service.things(&ids).await, all(0));
    service.version.store(1, Ordering::SeqCst);
    assert_eq!(service.things(&ids).await, all(0));
    // Another process reads the same.
    let mut other = service.clone();
    other.cache = setup.neighbour.clone();
    assert_eq!(other.things(&ids).await, all(0));
    assert_eq!(service.cache.delete_pattern("thing:*").await.unwrap(), 50);
    assert_eq!(service.things(&ids).await, all(1));
    assert_eq!(service.cache.stats().await.total.errors, 0);
}

async fn load(cache: &Cache, key: &str, fresh: &str) -> String {
    let fresh = fresh.to_owned();
    cache.get_or_load(key, || async move { Ok::<_, String>(fresh) }).tags(["t"]).await.unwrap()
}

async fn what_another_process_invalidates_is_gone(backend: Backend) {
    let Setup { cache, neighbour } = Setup::new(backend, "others").await;
    cache.clear().await.unwrap();
    for way in ["key", "tag", "pattern", "clear"] {
        for number in 0..10 {
            let key = format!("k{number}");
            assert_eq!(load(&cache, &key, way).await, way);
            load(&cache, &key, "near by now").await;
        }
        match way {
            "key" => {
                for number in 0..10 {
                    assert!(neighbour.delete(&format!("k{number}")).await.unwrap());
                }
            }
            "tag" => neighbour.invalidate_tag("t").await.unwrap(),
            "pattern" => assert_eq!(neighbour.delete_pattern("k*").await.unwrap(), 10),
            _ => neighbour.clear().await.unwrap(),
        }
        for number in 0..10 {
            let key = format!("k{number}");
            if backend == Backend::Redis {
                assert_eq!(load(&cache, &key, "new").await, "new", "{way}");
            }
            eventually(way, || async { load(&cache, &key, "new").await == "new" }).await;
        }
        cache.clear().await.unwrap();
    }
}

async fn a_load_is_one_among_processes(backend: Backend) {
    let Setup { cache, neighbour } = Setup::new(backend, "leases").await;
    cache.clear().await.unwrap();
    for number in 0..6 {
        let key = format!("k{number}");
        let (begun, begins) = tokio::sync::oneshot::channel();
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        let (theirs, of) = (neighbour.clone(), key.clone());
        let running = tokio::spawn(async move {
            let load = || async move {
                begun.send(()).unwrap();
                ended.await.map_err(|_| "nobody ended it".to_owned())?;
                Ok::<_, String>("theirs".to_owned())
            };
            theirs.get_or_load(&of, load).await
        });
        begins.await.unwrap();
        let mut waiting = std::pin::pin!(load(&cache, &key, "ours"));
        // It waits for the other's load.
        assert!(tokio::time::timeout(Duration::from_millis(30), &mut waiting).await.is_err());
        end.send(()).unwrap();
        assert_eq!(running.await.unwrap().unwrap(), "theirs");
        assert_eq!(waiting.await, "theirs");
    }
}
