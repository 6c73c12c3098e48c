//! A cache of each backend for each test.

use std::{sync::Arc, time::Duration};

use cache_runtime::{Backend, Builder, Cache, Clock};
use cache_test_support::RedisServer;
use secrecy::SecretString;

/// A cache on a backend of its own, and the clock that it goes by.
pub struct Setup {
    pub cache: Cache,
    pub clock: Clock,
    /// `None` on the embedded backend.
    pub server: Option<Arc<RedisServer>>,
}

impl Setup {
    pub async fn local() -> Self {
        Self::build(Cache::builder(), None).await
    }

    pub async fn redis() -> Self {
        let server = Arc::new(RedisServer::start());
        Self::build(builder_for(&server), Some(server)).await
    }

    async fn build(builder: Builder, server: Option<Arc<RedisServer>>) -> Self {
        let clock = Clock::manual();
        let cache = builder.namespace("app").clock(clock.clone()).build().await.unwrap();
        Self { cache, clock, server }
    }

    /// Another cache on the same server, as another process would have it; on the embedded
    /// backend, where there is none, the same cache.
    pub async fn neighbour(&self) -> Cache {
        match &self.server {
            None => self.cache.clone(),
            Some(server) => builder_for(server).namespace("app").clock(self.clock.clone()).build().await.unwrap(),
        }
    }
}

/// A builder for this server. The time-out is long, so that a busy machine fails no test.
pub fn builder_for(server: &RedisServer) -> Builder {
    let mut redis = cache_runtime::RedisConfig::default();
    redis.host = server.host().to_owned();
    redis.port = server.port();
    redis.password = Some(SecretString::from(server.password().to_owned()));
    Cache::builder().backend(Backend::Redis).redis(redis).operation_timeout(Duration::from_secs(5))
}

/// Runs each test on each backend: `async fn name(setup: Setup)`.
macro_rules! on_each_backend {
    ($($name:ident),+ $(,)?) => {
        mod local {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::backends::Setup::local().await).await;
            })+
        }
        mod redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::backends::Setup::redis().await).await;
            })+
        }
    };
}
pub(crate) use on_each_backend;
