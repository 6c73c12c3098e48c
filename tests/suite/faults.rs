//! Never worse than no cache: whatever fails, an annotated function answers by itself.

use std::{
    future::Future,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use cache_runtime::{Backend, Cache, Error, RedisConfig, cached};
use cache_test_support::{Proxy, RedisServer};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{backends::builder_for, logs::Log};

const SECRET_VALUE: &str = "the-value-nobody-logs";

struct Service {
    cache: Cache,
    runs: AtomicU32,
}

impl Service {
    fn new(cache: Cache) -> Self {
        Self { cache, runs: AtomicU32::new(0) }
    }

    #[cached(key = "secret:<id>", cache = self.cache)]
    async fn load(&self, id: u32) -> Result<String, String> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        Ok(format!("{SECRET_VALUE} {id} {run}"))
    }

    async fn answers(&self, id: u32) {
        let value = self.load(id).await.unwrap();
        assert!(value.starts_with(SECRET_VALUE), "{value}");
    }
}

fn config(port: u16, password: &str) -> RedisConfig {
    let mut config = RedisConfig::default();
    config.port = port;
    config.password = Some(SecretString::from(password.to_owned()));
    config
}

/// A port on which nothing listens.
fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn a_server_that_is_not_there_stops_neither_the_start_nor_a_call() {
    let (log, _guard) = Log::collect();
    let redis = config(closed_port(), "the-password");
    let cache = Cache::builder().backend(Backend::Redis).redis(redis).build().await.unwrap();
    let service = Service::new(cache.clone());
    for id in 0..20 {
        service.answers(id).await;
    }
    let total = cache.stats().await.total;
    assert_eq!((total.hits, total.misses, total.loads), (0, 20, 20));
    assert!(total.errors >= 20, "{total:?}");
    assert!(matches!(cache.delete("x").await, Err(Error::Unavailable { .. } | Error::Timeout { .. })));
    assert!(service.invalidate_load(1).await.is_err());
    let text = log.text();
    let warnings = text.lines().filter(|line| line.contains("WARN")).count();
    assert_eq!(warnings, 1, "it says so once, not on every call:\n{text}");
    assert!(!text.contains("the-password") && !text.contains(SECRET_VALUE), "{text}");
}

#[tokio::test]
async fn a_wrong_password_ends_the_start_at_once_and_says_so() {
    let (log, _guard) = Log::collect();
    let server = RedisServer::start();
    let redis = config(server.port(), "not-the-password");
    let began = Instant::now();
    let error = Cache::builder()
        .backend(Backend::Redis)
        .redis(redis.clone())
        .operation_timeout(Duration::from_secs(30))
        .build()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("authentication failed"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(15), "it waited for a time-out");
    let told = format!("{error} {error:?} {redis:?} {}", log.text());
    assert!(!told.contains("not-the-password"), "{told}");
}

#[tokio::test]
async fn a_password_that_changes_half_way_fails_no_call() {
    let server = RedisServer::start();
    let cache = builder_for(&server).build().await.unwrap();
    let service = Service::new(cache.clone());
    service.answers(1).await;
    assert!(server.cli(&["CONFIG", "SET", "requirepass", "another"]).contains("OK"));
    let mut admin = server.client_with("another");
    admin.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    for id in 0..5 {
        service.answers(id).await;
    }
    assert!(cache.stats().await.total.errors > 0);
    assert!(matches!(cache.get::<u8>("x").await, Err(Error::Authentication(_))));
}

#[tokio::test]
async fn a_server_that_dies_and_returns_is_used_again() {
    let server = RedisServer::start();
    let cache = builder_for(&server).operation_timeout(Duration::from_millis(500)).build().await.unwrap();
    let service = Service::new(cache.clone());
    service.answers(1).await;
    server.kill();
    service.answers(1).await;
    assert!(cache.stats().await.server.is_none());
    server.restart();
    // The first command may still meet the connection that died.
    let mut left = 100;
    while cache.set("back", &true).await.is_err() {
        left -= 1;
        assert!(left > 0, "the cache does not come back");
        tokio::time::sleep(Duration::from_millis(20)).await; // the time that the server takes to come back
    }
    service.answers(2).await;
    let before = service.runs.load(Ordering::SeqCst);
    service.answers(2).await;
    assert_eq!(service.runs.load(Ordering::SeqCst), before);
}

#[tokio::test]
async fn a_link_that_swallows_everything_costs_at_most_the_time_out() {
    let server = RedisServer::start();
    let proxy = Proxy::to(server.port());
    let cache = Cache::builder()
        .backend(Backend::Redis)
        .redis(config(proxy.port(), server.password()))
        .operation_timeout(Duration::from_millis(200))
        .build()
        .await
        .unwrap();
    let service = Service::new(cache.clone());
    service.answers(1).await;
    proxy.blackhole();
    let began = Instant::now();
    service.answers(2).await;
    // One operation waits; the margin is for a busy machine.
    assert!(began.elapsed() < Duration::from_millis(2_000), "{:?}", began.elapsed());
    assert!(matches!(cache.get::<u8>("x").await, Err(Error::Timeout { .. } | Error::Unavailable { .. })));
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Shape {
    sides: u8,
}

struct Shapes(Cache);

impl Shapes {
    #[cached(key = "shape:<id>", cache = self.0)]
    async fn shape(&self, id: u32) -> Shape {
        Shape { sides: u8::try_from(id).unwrap() }
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_a_counted_miss_and_is_replaced() {
    let (log, _guard) = Log::collect();
    let server = RedisServer::start();
    let cache = builder_for(&server).namespace("app").build().await.unwrap();
    let shapes = Shapes(cache.clone());
    let mut client = server.client();
    client.command(&["SELECT", "1"]).unwrap();
    let damaged: [&[u8]; 6] = [
        b"\xff\xfe\0",
        b"{",
        b"null",
        br#"{"token":"x"}"#,
        b"[[[[[[[[[[",
        b"{\"token\":\"00000000000000000000000000000000\"",
    ];
    for (id, bytes) in (1..).zip(damaged) {
        let key = format!("app:shape:{id}");
        client.command(&[b"SET".as_slice(), key.as_bytes(), bytes]).unwrap();
        assert_eq!(shapes.shape(id).await, Shape { sides: u8::try_from(id).unwrap() });
        let runs = cache.stats().await.total.loads;
        assert_eq!(shapes.shape(id).await, Shape { sides: u8::try_from(id).unwrap() });
        assert_eq!(cache.stats().await.total.loads, runs, "{id}: the damaged entry was not replaced");
    }
    cache.set("shape:9", &"of another type").await.unwrap();
    assert_eq!(shapes.shape(9).await, Shape { sides: 9 });
    assert_eq!(cache.get::<Shape>("shape:9").await.unwrap(), Some(Shape { sides: 9 }));
    assert_eq!(cache.stats().await.total.unreadable, damaged.len() as u64 + 1);
    assert!(!log.text().contains("of another type"), "{}", log.text());
}

#[derive(Clone, Deserialize)]
struct Refuses;

impl Serialize for Refuses {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom(SECRET_VALUE))
    }
}

struct Refusing(Cache);

impl Refusing {
    #[cached(key = "refuses", cache = self.0)]
    async fn value(&self) -> Refuses {
        Refuses
    }

    #[cached(key = "refused:<argument:hash>", cache = self.0)]
    async fn by_argument(&self, argument: &Refuses) -> u8 {
        let _ = argument;
        1
    }

    #[cached(each = arguments, key = "refused:<arguments:hash>", cache = self.0)]
    async fn by_each(&self, arguments: &[Refuses]) -> Vec<(Refuses, u8)> {
        arguments.iter().map(|argument| (argument.clone(), 1)).collect()
    }
}

#[tokio::test]
async fn values_and_arguments_that_do_not_serialize_fail_no_call() {
    let (log, _guard) = Log::collect();
    let cache = Cache::builder().build().await.unwrap();
    let refusing = Refusing(cache.clone());
    let Refuses = refusing.value().await;
    assert_eq!(refusing.by_argument(&Refuses).await, 1);
    assert!(matches!(refusing.invalidate_by_argument(&Refuses).await, Err(Error::Encode { .. })));
    assert_eq!(refusing.by_each(&[Refuses, Refuses]).await.len(), 2);
    let total = cache.stats().await.total;
    assert_eq!((total.errors, total.loads), (3, 3));
    assert!(!log.text().contains(SECRET_VALUE), "{}", log.text());
}

struct Stuck(Cache);

impl Stuck {
    #[cached(key = "stuck", cache = self.0)]
    async fn value(&self) -> u8 {
        std::future::pending().await
    }
}

#[test]
fn outside_of_any_runtime_a_call_answers_by_itself() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cache = runtime.block_on(builder_for(&server).build()).unwrap();
    let service = Service::new(cache.clone());
    let mut context = Context::from_waker(Waker::noop());
    let mut call = std::pin::pin!(service.load(1));
    assert!(matches!(call.as_mut().poll(&mut context), Poll::Ready(Ok(_))));
    // A load that holds a lease is dropped where nothing can be sent.
    let stuck = Stuck(cache);
    let mut load = Box::pin(stuck.value());
    let waited = runtime.block_on(async { tokio::time::timeout(Duration::from_millis(300), &mut load).await });
    assert!(waited.is_err());
    drop(load);
}

#[tokio::test]
async fn an_invalidation_that_cannot_land_keeps_no_other_from_landing() {
    let server = RedisServer::start();
    let cache = builder_for(&server).build().await.unwrap();
    cache.set("key", &1).await.unwrap();
    let allow = |rules: &[&str]| {
        let answer = server.cli(&[&["ACL", "SETUSER", "default"], rules].concat());
        assert!(answer.contains("OK"), "{answer}");
    };
    allow(&["-scan", "-eval", "-evalsha"]);
    cache.delete_pattern("report:*").await.unwrap_err();
    cache.delete("key").await.unwrap_err();
    assert_eq!(cache.stats().await.pending_invalidations, 2);
    allow(&["+eval", "+evalsha"]);
    let limit = Instant::now() + Duration::from_secs(20);
    while cache.stats().await.pending_invalidations > 1 {
        assert!(Instant::now() < limit, "the pattern, which may not be scanned for, holds up the key");
        tokio::time::sleep(Duration::from_millis(10)).await; // the retries' own pauses
    }
    assert_eq!(cache.get::<u8>("key").await.unwrap(), None);
}
