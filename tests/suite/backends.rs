//! A cache of each backend for each test.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use cache_runtime::{Backend, Builder, Cache, Clock};
use cache_test_support::{Proxy, RedisServer};
use secrecy::SecretString;

/// A cache on a backend of its own, and the clock that it goes by.
pub struct Setup {
    pub cache: Cache,
    pub clock: Clock,
    /// `None` on the embedded backend.
    pub server: Option<Arc<RedisServer>>,
    pub backend: Backend,
    /// Where neighbours go in: handles of one process on one address know of each other, those of
    /// two processes do not.
    door: Option<Proxy>,
}

impl Setup {
    pub async fn local() -> Self {
        Self::on(Backend::Local).await
    }

    pub async fn redis() -> Self {
        Self::on(Backend::Redis).await
    }

    pub async fn tiered() -> Self {
        Self::on(Backend::Tiered).await
    }

    async fn on(backend: Backend) -> Self {
        let server = (backend != Backend::Local).then(|| Arc::new(RedisServer::start()));
        let door = server.as_ref().map(|server| Proxy::to(server.port()));
        let builder = server.as_ref().map_or_else(Cache::builder, |server| builder_for(server).backend(backend));
        let clock = Clock::manual();
        let cache = builder.namespace("app").clock(clock.clone()).build().await.unwrap();
        Self { cache, clock, server, backend, door }
    }

    /// Whether the stored deadline of an entry with a ttl of 10 s is a whole ttl ahead.
    pub async fn lives_a_whole_ttl(&self, key: &str) -> bool {
        let Some(server) = &self.server else { return self.cache.exists(key).await.unwrap() };
        let stored: serde_json::Value = serde_json::from_str(&server.cli(&["GET", &format!("app:{key}")])).unwrap();
        stored["fresh"].as_u64().unwrap() >= self.clock.now() + 9_900
    }

    /// Another cache on the same server, as another process would have it; on the embedded
    /// backend, where there is none, the same cache.
    pub async fn neighbour(&self) -> Cache {
        match (&self.server, &self.door) {
            (Some(server), Some(door)) => {
                let builder = builder_through(door.port(), server).backend(self.backend);
                builder.namespace("app").clock(self.clock.clone()).build().await.unwrap()
            }
            _ => self.cache.clone(),
        }
    }
}

/// A builder for this server. The time-out is long, so that a busy machine fails no test.
pub fn builder_for(server: &RedisServer) -> Builder {
    builder_through(server.port(), server)
}

/// The same through another port, of a proxy.
pub fn builder_through(port: u16, server: &RedisServer) -> Builder {
    let mut redis = cache_runtime::RedisConfig::default();
    redis.host = server.host().to_owned();
    redis.port = port;
    redis.password = Some(SecretString::from(server.password().to_owned()));
    Cache::builder().backend(Backend::Redis).redis(redis).operation_timeout(Duration::from_secs(5))
}

/// Waits for what another process's change leads to, and returns how long it took. The bound
/// is for a busy machine; it is reached only by a failure.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) -> Duration {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(10), "in vain waited for: {what}");
        tokio::time::sleep(Duration::from_micros(200)).await; // between two looks
    }
    began.elapsed()
}

/// Runs each test on each backend that has a server: `async fn name(setup: Setup)`.
macro_rules! on_each_server {
    ($($name:ident),+ $(,)?) => {
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::backends::Setup::redis().await).await;
            })+
        }
        mod tiered {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::backends::Setup::tiered().await).await;
            })+
        }
    };
}
pub(crate) use on_each_server;

/// Runs each test on each backend: `async fn name(setup: Setup)`.
macro_rules! on_each_backend {
    ($($name:ident),+ $(,)?) => {
        mod local {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::backends::Setup::local().await).await;
            })+
        }
        $crate::backends::on_each_server!($($name),+);
    };
}
pub(crate) use on_each_backend;
