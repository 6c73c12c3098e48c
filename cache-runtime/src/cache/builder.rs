//! Settings of a cache, and how it is put together.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use secrecy::SecretString;

use super::{Cache, Inner, Space};
use crate::{
    clock::Clock,
    config::{Backend, RedisConfig, Settings, Variables},
    epoch::Epochs,
    error::{Error, Result},
    flight::Flights,
    invalidate::Pending,
    near::Near,
    policy::IntoTtl,
    registry,
    report::Report,
    stats::Counters,
    store::{Store, local::LocalStore, redis::RedisStore},
    task::OneTask,
};

/// Builds a [`Cache`]. Each setter says its default.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called and awaited"]
pub struct Builder {
    settings: Settings,
    namespace: String,
    redis: RedisConfig,
    clock: Clock,
    store: Option<Arc<dyn Store>>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            namespace: "cache".to_owned(),
            redis: RedisConfig::default(),
            clock: Clock::system(),
            store: None,
        }
    }
}

impl Builder {
    /// The settings in the environment, for a program that changes some of them by hand.
    ///
    /// # Errors
    ///
    /// A variable that cannot be used; the error names it and says what is accepted.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(&Variables(&|name| std::env::var(name).ok()))
    }

    pub(crate) fn from_variables(variables: &Variables<'_>) -> Result<Self> {
        let defaults = Self::default();
        let settings = Settings {
            backend: variables.text("CACHE_BACKEND").map_or(Ok(Backend::default()), |name| name.parse())?,
            ttl: variables.duration("CACHE_TTL")?.unwrap_or(defaults.settings.ttl),
            near_max_bytes: variables.number("CACHE_NEAR_MAX_BYTES")?.unwrap_or(defaults.settings.near_max_bytes),
            local_max_bytes: variables.number("CACHE_LOCAL_MAX_BYTES")?.unwrap_or(defaults.settings.local_max_bytes),
            ..defaults.settings
        };
        Ok(Self {
            settings,
            namespace: variables.text("CACHE_NAMESPACE").unwrap_or(defaults.namespace),
            redis: RedisConfig::from_variables(variables)?,
            ..Self::default()
        })
    }

    /// Where values are kept. Default [`Backend::Local`].
    pub fn backend(mut self, backend: Backend) -> Self {
        self.settings.backend = backend;
        self
    }

    /// What stands in front of every key. Default `cache`. Two namespaces on one server never
    /// see each other.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How long values live that say nothing of it: seconds or a `Duration`. Default 300 s.
    pub fn ttl(mut self, ttl: impl IntoTtl) -> Self {
        self.settings.ttl = ttl.into_ttl();
        self
    }

    /// The Redis server. Default `127.0.0.1:6379`, database 1, no password.
    pub fn redis(mut self, redis: RedisConfig) -> Self {
        self.redis = redis;
        self
    }

    /// The Redis server as a URL: `redis://user:password@host:6379/1`.
    ///
    /// # Errors
    ///
    /// When it is not a Redis URL.
    pub fn redis_url(mut self, url: impl Into<String>) -> Result<Self> {
        let kept = (self.redis.connections, self.redis.operation_timeout);
        self.redis = RedisConfig::from_url(&SecretString::from(url.into()))?;
        (self.redis.connections, self.redis.operation_timeout) = kept;
        Ok(self)
    }

    /// The longest that one operation on the backend may take, connecting included; a call of an
    /// annotated function is never held up longer. Default 100 ms.
    pub fn operation_timeout(mut self, limit: Duration) -> Self {
        self.redis.operation_timeout = limit;
        self
    }

    /// How many bytes of encoded values the decoded ones in this process may stand for.
    /// Default 64 MiB; 0 turns them off.
    pub fn near_max_bytes(mut self, bytes: u64) -> Self {
        self.settings.near_max_bytes = bytes;
        self
    }

    /// How many bytes the embedded store may hold. Default 256 MiB.
    pub fn local_max_bytes(mut self, bytes: u64) -> Self {
        self.settings.local_max_bytes = bytes;
        self
    }

    /// The longest encoded value that is stored; a longer one is answered, counted and not kept.
    /// Default 1 MiB.
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_value_bytes = bytes;
        self
    }

    /// How long another process waits for the load of a process that died. A load that takes
    /// longer renews its lease. Default 5 s.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// Where the time comes from; tests give a [`Clock::manual`]. Default the system's clock.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// A backend of yours in place of the two that come with the crate. With the default setting of
    /// [`Builder::backend`] decoded values are kept in front of it, which is right only for a
    /// store that no other process changes.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Connects and builds the cache.
    ///
    /// # Errors
    ///
    /// A setting that cannot be used, or credentials that the server refuses. A server that
    /// cannot be reached is no error: it is logged once, and used as soon as it is there.
    pub async fn build(mut self) -> Result<Cache> {
        self.check()?;
        if self.store.is_none() && self.settings.backend == Backend::Redis {
            let store = match RedisStore::connect(&self.redis, self.clock.clone()).await {
                Ok(store) => store,
                Err(error @ (Error::Unavailable { .. } | Error::Timeout { .. })) => {
                    tracing::warn!(%error, "starting without Redis; it is used as soon as it answers");
                    RedisStore::lazy(&self.redis, self.clock.clone())?
                }
                Err(error) => return Err(error),
            };
            self.store = Some(Arc::new(store));
        }
        Ok(self.assemble())
    }

    /// Builds the cache without asking the server for anything.
    pub(crate) fn build_lazily(mut self) -> Result<Cache> {
        self.check()?;
        if self.store.is_none() && self.settings.backend == Backend::Redis {
            self.store = Some(Arc::new(RedisStore::lazy(&self.redis, self.clock.clone())?));
        }
        Ok(self.assemble())
    }

    fn check(&self) -> Result<()> {
        if self.namespace.is_empty() {
            return Err(Error::config("the namespace is empty; give the name of your service"));
        }
        if self.settings.ttl.is_zero() {
            return Err(Error::config("the default ttl is 0; give at least one millisecond"));
        }
        if self.redis.tls {
            return Err(Error::config("TLS to Redis is not supported yet; leave REDIS_TLS unset and use `redis://`"));
        }
        Ok(())
    }

    pub(super) fn assemble(self) -> Cache {
        let Self { settings, namespace, redis: _, clock, store } = self;
        let store = store.unwrap_or_else(|| Arc::new(LocalStore::new(settings.local_max_bytes, clock.clone())));
        let space = Arc::new(Space::new(&namespace));
        let inner = Inner {
            store,
            near: Near::new(settings.near_max_bytes),
            // Redis alone answers when Redis is the backend, so that all processes read the same.
            near_before_store: settings.backend == Backend::Local,
            flights: Arc::new(Flights::new()),
            epochs: Arc::new(Epochs::new()),
            pending: Pending::default(),
            claims: Arc::default(),
            counters: Counters::new(),
            values: registry::Values::default(),
            clock,
            settings,
            report: Report::default(),
            retrying: OneTask::default(),
            maintaining: OneTask::default(),
            spaces: Mutex::new(HashMap::from([(namespace, Arc::clone(&space))])),
        };
        let inner = Arc::new(inner);
        super::maintain::start(&inner);
        registry::check();
        Cache { inner, space }
    }
}
