//! A failover is followed, and brings nothing back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Address, Backend, BreakerState, Builder, Cache, Error, RedisConfig, SentinelConfig};
use cache_test_support::{FakeServer, RedisServer, Sentinels};
use secrecy::SecretString;

use crate::service::{Service, THRESHOLD, eventually, on};

fn known_by(group: &Sentinels) -> SentinelConfig {
    at(group, group.ports())
}

fn at(group: &Sentinels, ports: impl IntoIterator<Item = u16>) -> SentinelConfig {
    let addresses = ports.into_iter().map(|port| Address::new("127.0.0.1", port));
    let mut sentinel = SentinelConfig::new(Sentinels::MASTER, addresses);
    sentinel.password = Some(SecretString::from(group.sentinel_password()));
    sentinel
}

/// The port leads nowhere: the sentinels say where the server is.
fn follows(group: &Sentinels, sentinel: SentinelConfig) -> Builder {
    let mut redis = RedisConfig::default();
    redis.port = 1;
    redis.password = Some(SecretString::from(group.server_password()));
    redis.operation_timeout = Duration::from_millis(300);
    redis.sentinel = Some(sentinel);
    Cache::builder()
        .backend(Backend::Redis)
        .namespace("app")
        .redis(redis)
        .circuit_breaker(THRESHOLD, Duration::from_millis(20))
}

/// What follows is about the master of the moment.
fn on_master(group: &Sentinels, command: &[&str]) -> String {
    group.master().cli(command)
}

/// Rows that are read and written from all sides for as long as this lives.
struct Traffic {
    over: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Traffic {
    /// None that the test itself reads: it does not know what is written meanwhile.
    const ROWS: std::ops::Range<u32> = 100..120;

    /// Each row has one writer, so that what it holds is known: a call that begins after an
    /// acknowledged invalidation gets no older value, and none fails.
    fn on(service: &Arc<Service>) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let write_and_read = |id| {
            let (service, over) = (Arc::clone(service), Arc::clone(&over));
            tokio::spawn(async move {
                for value in 1.. {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    // Whether acknowledged or kept: nothing older is served from here on.
                    let _ = service.write(id, value).await;
                    for _ in 0..5 {
                        service.answers(id).await;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await; // between two writes
                }
            })
        };
        let tasks = Self::ROWS.map(write_and_read).collect();
        Self { over, tasks }
    }

    async fn ends(self) {
        self.over.store(true, Ordering::SeqCst);
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_killed_under_traffic_is_followed() {
    let group = Sentinels::start();
    for backend in [Backend::Redis, Backend::Tiered] {
        let builder = follows(&group, known_by(&group)).backend(backend).namespace(backend.name());
        let service = Arc::new(Service::new(builder).await);
        let traffic = Traffic::on(&service);
        eventually("hits", || async { service.cache.stats().await.total.hits > 100 }).await;
        let killed = group.master();
        killed.kill();
        eventually("the outage is known", || async { service.breaker().await.openings > 0 }).await;
        group.wait_until_master_is_another_than(killed.port());
        service.recovers().await;
        let hits = service.cache.stats().await.total.hits;
        eventually("traffic goes on", || async { service.cache.stats().await.total.hits > hits + 100 }).await;
        traffic.ends().await;
        // It comes back as a replica, and the group is whole for the next backend.
        killed.restart();
        group.wait_until_whole();
    }
}

/// Replication is asynchronous, so a value may be back that an acknowledged invalidation had removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_promoted_replica_has_not_heard_of_is_not_served() {
    let group = Sentinels::start();
    for backend in [Backend::Redis, Backend::Tiered] {
        let builder = follows(&group, known_by(&group)).backend(backend).namespace(backend.name());
        let service = Service::new(builder).await;
        service.answers(1).await;
        let name = format!("{}:row:1", backend.name());
        let replicated = || group.servers().iter().all(|server| server.cli(&["EXISTS", &name]) == "1");
        eventually("all have the value", || async { replicated() }).await;
        let old = group.master();
        // From here on the replicas hear nothing.
        group.cut_replication();
        service.write(1, 7).await.unwrap();
        assert_eq!(old.cli(&["EXISTS", &name]), "0");
        old.kill();
        group.wait_until_master_is_another_than(old.port());
        assert_eq!(on_master(&group, &["EXISTS", &name]), "1", "the promoted one has the old value");
        service.recovers().await;
        assert_eq!(service.row(1).await, Ok(7));
        // As another process has it.
        let other =
            Service::new(follows(&group, at(&group, group.ports().into_iter().rev())).namespace(backend.name())).await;
        assert_eq!(other.cache.get::<u64>("row:1").await.unwrap(), Some(7));
        old.restart();
        group.wait_until_whole();
    }
}

/// 1. An invalidation is acknowledged by A and reaches no replica.
/// 2. B is promoted; A becomes its replica, and gets back what the invalidation had removed.
/// 3. A is promoted again. It has run all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_was_a_replica_for_a_while_counts_as_another_one() {
    let group = Sentinels::start();
    let a = group.master();
    let before = on(a).namespace("app").build().await.unwrap();
    before.set("key", &"old").await.unwrap();
    let b = group.servers().iter().find(|server| server.port() != a.port()).unwrap();
    eventually("B has it", || async { b.cli(&["EXISTS", "app:key"]) == "1" }).await;
    group.cut_replication();
    before.delete("key").await.unwrap();
    drop(before);

    // As sentinels do it; by hand, so that nobody looks at B meanwhile.
    assert_eq!(b.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    assert_eq!(a.cli(&["REPLICAOF", "127.0.0.1", &b.port().to_string()]), "OK");
    eventually("A has what B has", || async { a.cli(&["EXISTS", "app:key"]) == "1" }).await;
    assert_eq!(a.cli(&["REPLICAOF", "NO", "ONE"]), "OK");

    let after = on(a).namespace("app").build().await.unwrap();
    assert_eq!(after.get::<String>("key").await.unwrap(), None);
}

/// Whether it closes its connections or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_is_demoted_is_left() {
    let group = Sentinels::start();
    for backend in [Backend::Redis, Backend::Tiered] {
        let builder = follows(&group, known_by(&group)).backend(backend).namespace(backend.name());
        let service = Service::new(builder).await;
        service.answers(1).await;
        let old = group.master().port();
        group.fail_over();
        service.write(1, 7).await.ok();
        eventually("the cache is used again", || async {
            service.answers(1).await;
            let before = service.runs();
            service.answers(1).await;
            service.runs() == before
        })
        .await;
        let name = format!("{}:row:1", backend.name());
        assert_ne!(group.master().port(), old);
        assert_eq!(on_master(&group, &["EXISTS", &name]), "1", "it is on the new one");
        assert_eq!(service.pending().await, 0);
        group.wait_until_whole();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_master_that_takes_no_writes_any_more_is_dialled_anew() {
    let group = Sentinels::start();
    let service = Service::new(follows(&group, known_by(&group))).await;
    service.answers(1).await;
    let master = group.master();
    // Its connections stay open.
    let port = group.servers().iter().map(RedisServer::port).find(|port| *port != master.port()).unwrap();
    let links = |server: &RedisServer| server.cli(&["CLIENT", "LIST"]).matches("db=1").count();
    assert_eq!(master.cli(&["REPLICAOF", "127.0.0.1", &port.to_string()]), "OK");
    service.write(1, 7).await.unwrap_err();
    service.calls_until_open().await;
    service.is_not_held_up().await;
    eventually("the links are gone", || async { links(master) <= 1 }).await;
    // Until one is the master again, whichever it is.
    assert_eq!(master.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    service.recovers().await;
    assert_eq!(service.row(1).await, Ok(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_sentinel_that_answers_is_enough() {
    let mut group = Sentinels::start();
    let ports = group.ports();
    group.kill_sentinel(0);
    // One is gone, one hangs, one knows.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let sentinel = at(&group, [ports[0], silent.local_addr().unwrap().port(), ports[2]]);
    let service = Service::new(follows(&group, sentinel)).await;
    service.answers(1).await;
    service.hits(1).await;
    assert_eq!(service.state().await, BreakerState::Closed);
}

#[tokio::test]
async fn sentinels_that_cannot_help_say_why_at_once() {
    let group = Sentinels::start();
    let error = |sentinel| async { follows(&group, sentinel).build().await.unwrap_err() };

    let mut sentinel = known_by(&group);
    sentinel.master = "another".to_owned();
    let unknown = error(sentinel).await.to_string();
    assert!(unknown.contains("`another`") && unknown.contains("REDIS_SENTINEL_MASTER"), "{unknown}");

    let mut sentinel = known_by(&group);
    sentinel.password = None;
    let refused = error(sentinel.clone()).await;
    assert!(matches!(refused, Error::Authentication(_)), "{refused:?}");
    sentinel.password = Some(SecretString::from("secret-word"));
    let refused = error(sentinel).await.to_string();
    assert!(refused.contains("REDIS_SENTINEL_PASSWORD") && !refused.contains("secret-word"), "{refused}");

    let nobody = error(at(&group, [])).await.to_string();
    assert!(nobody.contains("REDIS_SENTINELS"), "{nobody}");
}

#[tokio::test]
async fn a_replica_that_is_named_as_the_master_is_not_used() {
    let group = Sentinels::start();
    let replica = group.servers().iter().find(|server| server.port() != group.master().port()).unwrap();
    // A sentinel that is late.
    let late = FakeServer::answering(&format!(
        "*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{}",
        replica.port().to_string().len(),
        replica.port()
    ));
    let cache = follows(&group, at(&group, [late.port()])).build().await.unwrap();
    let error = cache.set("key", &1).await.unwrap_err().to_string();
    assert!(error.contains("failover") && error.contains(&replica.port().to_string()), "{error}");
    assert_eq!(replica.cli(&["DBSIZE"]), "0");
}
