//! TLS where several servers belong together: each of them is spoken to so, and whoever they name.

use std::time::Duration;

use cache_runtime::{Address, Backend, Builder, Cache, Error, RedisConfig, SentinelConfig, TlsConfig};
use cache_test_support::{Authority, RedisCluster, RedisServer, Sentinels};
use secrecy::SecretString;

use crate::service::{Service, THRESHOLD, eventually};

const HERE: [&str; 1] = ["127.0.0.1"];

/// A group of servers that ask for a certificate, and who has signed all of them.
struct Vouched<G> {
    authority: Authority,
    stranger: Authority,
    group: G,
}

impl<G> Vouched<G> {
    fn start(start: impl FnOnce(&Authority) -> G) -> Self {
        let authority = Authority::new();
        let group = start(&authority);
        Self { authority, stranger: Authority::new(), group }
    }

    fn trusted(&self) -> TlsConfig {
        TlsConfig::default().ca(self.authority.ca())
    }

    /// With a certificate of our own, which is asked for.
    fn tls(&self) -> TlsConfig {
        let ours = self.authority.certify(&["client"]);
        self.trusted().client_certificate(ours.cert, ours.key)
    }

    /// Each way in which one side does not accept the other, and what the error must say.
    fn misfits(&self) -> [(TlsConfig, &'static str); 3] {
        let theirs = self.stranger.certify(&["client"]);
        [
            (TlsConfig::default().ca(self.stranger.ca()), "REDIS_TLS_CA"),
            (self.trusted(), "asks for a client certificate"),
            (self.trusted().client_certificate(theirs.cert, theirs.key), "refuses our certificate"),
        ]
    }
}

fn cluster() -> Vouched<RedisCluster> {
    Vouched::start(|authority| RedisCluster::over_tls(&authority.certify(&HERE), authority.ca()))
}

fn sentinels() -> Vouched<Sentinels> {
    Vouched::start(|authority| Sentinels::over_tls(&authority.certify(&HERE), authority.ca()))
}

fn on_cluster(cluster: &RedisCluster, tls: TlsConfig) -> Builder {
    let mut redis = RedisConfig::default();
    redis.password = Some(SecretString::from(cluster.password()));
    let builder = Cache::builder().redis(redis).redis_cluster(cluster.addresses()).unwrap();
    builder.redis_tls(tls).operation_timeout(Duration::from_secs(5))
}

fn behind_sentinels(group: &Sentinels, tls: TlsConfig) -> Builder {
    let addresses = group.ports().into_iter().map(|port| Address::new("127.0.0.1", port));
    let mut sentinel = SentinelConfig::new(Sentinels::MASTER, addresses);
    sentinel.password = Some(SecretString::from(group.sentinel_password()));
    let mut redis = RedisConfig::default();
    redis.password = Some(SecretString::from(group.server_password()));
    redis.sentinel = Some(sentinel);
    redis.operation_timeout = Duration::from_millis(500);
    let builder = Cache::builder().backend(Backend::Redis).namespace("app").redis(redis).redis_tls(tls);
    builder.circuit_breaker(THRESHOLD, Duration::from_millis(20))
}

/// The plain port is there for the test alone, whose one question this is.
fn is_spoken_to_over_tls_alone(server: &RedisServer) {
    let clients = server.cli(&["CLIENT", "LIST"]);
    let at = |port| clients.lines().filter(|line| line.contains(&format!("laddr=127.0.0.1:{port} "))).count();
    assert_eq!(at(server.port()), 1, "{clients}");
    assert!(at(server.tls_port()) > 0, "{clients}");
}

async fn is_refused(builder: Builder, said: &str) {
    let error = builder.build().await.expect_err("it was built");
    assert!(matches!(&error, Error::Tls(_)) && error.to_string().contains(said), "{error:?}");
}

/// Keys, scripts, tags and scans, over all masters.
async fn everything_works(cache: &Cache) {
    let keys: Vec<String> = (0..20).map(|number| format!("k{number}")).collect();
    for key in &keys {
        cache.set(key, key).tags(["t"]).await.unwrap();
    }
    let found = cache.get_many::<String, _>(&keys).await.unwrap();
    assert!(found.iter().flatten().eq(&keys), "{found:?}");
    cache.invalidate_tag("t").await.unwrap();
    assert_eq!(cache.get::<String>("k0").await.unwrap(), None);
    for key in &keys {
        cache.increment(&format!("count:{key}"), 2).await.unwrap();
    }
    assert_eq!(cache.increment("count:k0", 2).await.unwrap(), 4);
    assert_eq!(cache.delete_pattern("count:*").await.unwrap(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_spoken_to_over_tls_alone() {
    let on = cluster();
    for backend in [Backend::Redis, Backend::Tiered] {
        let namespace = backend.name();
        let service = Service::new(on_cluster(&on.group, on.tls()).backend(backend).namespace(namespace)).await;
        everything_works(&service.cache).await;
        for id in 0..10 {
            service.answers(id).await;
            service.hits(id).await;
            service.write(id, 7).await.unwrap();
            service.answers(id).await;
        }
        // What is changed at any of the masters is heard.
        for id in 0..10 {
            service.changes_elsewhere(id, 8);
            let name = format!("{namespace}:row:{id}");
            assert_eq!(on.group.node_of(&name).cli(&["DEL", &name]), "1");
            eventually("their value", || async { service.row(id).await == Ok(8) }).await;
        }
        assert_eq!(service.cache.stats().await.total.errors, 0);
        on.group.masters().iter().for_each(is_spoken_to_over_tls_alone);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_are_followed_over_tls() {
    let on = cluster();
    for backend in [Backend::Redis, Backend::Tiered] {
        let namespace = backend.name();
        let service = Service::new(on_cluster(&on.group, on.tls()).backend(backend).namespace(namespace)).await;
        service.answers(1).await;
        let name = format!("{namespace}:row:1");
        let slot = on.group.slot_of(&name);
        let (from, to) = (on.group.owner_of(slot), on.group.other_than(on.group.owner_of(slot)));
        on.group.begin_move(slot, to);
        on.group.move_names(&[&name], from, to);
        service.hits(1).await; // at the other node already: `ASK`
        on.group.end_move(slot, from, to);
        service.hits(1).await; // `MOVED`
        service.write(1, 7).await.unwrap();
        service.answers(1).await;
        assert_eq!(to.cli(&["EXISTS", &name]), "1");
        assert_eq!(service.cache.stats().await.total.errors, 0);
        on.group.masters().iter().for_each(is_spoken_to_over_tls_alone);
    }
}

#[tokio::test]
async fn a_cluster_that_does_not_accept_us_or_is_not_trusted_says_so_at_once() {
    let on = cluster();
    for backend in [Backend::Redis, Backend::Tiered] {
        for (tls, said) in on.misfits() {
            is_refused(on_cluster(&on.group, tls).backend(backend), said).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinels_are_asked_over_tls_and_a_failover_is_followed() {
    let on = sentinels();
    let service = Service::new(behind_sentinels(&on.group, on.tls())).await;
    service.answers(1).await;
    service.hits(1).await;
    let old = on.group.master();
    is_spoken_to_over_tls_alone(old);
    old.kill();
    on.group.wait_until_master_is_another_than(old.port());
    service.recovers().await;
    service.hits(1).await;
    is_spoken_to_over_tls_alone(on.group.master());
}

#[tokio::test]
async fn sentinels_that_do_not_accept_us_or_are_not_trusted_say_so_at_once() {
    let on = sentinels();
    for (tls, said) in on.misfits() {
        is_refused(behind_sentinels(&on.group, tls), said).await;
    }
}
