//! Settings of a cache.

use std::{sync::Arc, time::Duration};

use secrecy::SecretString;

use crate::{
    clock::Clock,
    codec::{Coding, coding::Codec},
    coherence::Coherence,
    config::{Backend, RedisConfig, SentinelConfig, Settings, TlsConfig, Variables},
    error::{Error, Result},
    policy::IntoTtl,
    store::Store,
};

mod build;

/// Builds a [`Cache`](crate::Cache). Each setter says its default.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build` is called and awaited"]
pub struct Builder {
    settings: Settings,
    /// `None` as long as nobody has given one.
    namespace: Option<String>,
    redis: RedisConfig,
    clock: Clock,
    store: Option<Arc<dyn Store>>,
    coherence: Option<Arc<Coherence>>,
    /// Whether the environment was read, so that what of it is not used is said.
    from_env: bool,
    /// Whether the store is one of ours on a server.
    on_server: bool,
    #[cfg(feature = "test-kit")]
    faults: Option<crate::test_kit::Faults>,
}

/// What stands in front of every key unless a namespace was given.
const DEFAULT_NAMESPACE: &str = "cache";

impl Default for Builder {
    fn default() -> Self {
        Self {
            settings: Settings::default(),
            namespace: None,
            redis: RedisConfig::default(),
            clock: Clock::system(),
            store: None,
            coherence: None,
            from_env: false,
            on_server: false,
            #[cfg(feature = "test-kit")]
            faults: None,
        }
    }
}

fn env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl Builder {
    /// The settings in the environment, for a program that changes some of them by hand.
    ///
    /// # Errors
    ///
    /// A variable that cannot be used; the error names it and says what is accepted.
    pub fn from_env() -> Result<Self> {
        Ok(Self { from_env: true, ..Self::from_variables(&Variables(&env))? })
    }

    pub(crate) fn from_variables(variables: &Variables<'_>) -> Result<Self> {
        let defaults = Self::default();
        let settings = Settings {
            backend: variables.text("CACHE_BACKEND").map_or(Ok(Backend::default()), |name| name.parse())?,
            ttl: variables.duration("CACHE_TTL")?.unwrap_or(defaults.settings.ttl),
            near_max_bytes: variables.bytes("CACHE_NEAR_MAX_BYTES")?.unwrap_or(defaults.settings.near_max_bytes),
            local_max_bytes: variables.bytes("CACHE_LOCAL_MAX_BYTES")?.unwrap_or(defaults.settings.local_max_bytes),
            max_value_bytes: variables.bytes("CACHE_MAX_VALUE_BYTES")?.unwrap_or(defaults.settings.max_value_bytes),
            coding: Coding::from_variables(variables)?,
            ..defaults.settings
        };
        Ok(Self {
            settings,
            namespace: variables.text("CACHE_NAMESPACE"),
            redis: RedisConfig::from_variables(variables)?,
            ..Self::default()
        })
    }

    /// Says what of the environment is not used: by the backend that is built in the end.
    fn advise(&self) {
        if self.from_env && self.store.is_none() {
            for advice in Variables(&env).unused(self.settings.backend) {
                tracing::warn!("{advice}");
            }
        }
    }

    /// Where values are kept. Default [`Backend::Local`].
    pub fn backend(mut self, backend: Backend) -> Self {
        self.settings.backend = backend;
        self
    }

    /// What stands in front of every key. Default `cache`. Two namespaces on one server never
    /// see each other.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The namespace unless one was given already, by [`Builder::namespace`] or `CACHE_NAMESPACE`:
    /// the name of your service, which the environment can replace.
    pub fn default_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace.get_or_insert_with(|| namespace.into());
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

    /// The Redis server as a URL: `redis://user:password@host:6379/1`, or `rediss://…` for TLS.
    ///
    /// # Errors
    ///
    /// When it is not a Redis URL.
    pub fn redis_url(mut self, url: impl Into<String>) -> Result<Self> {
        let RedisConfig { host, port, username, password, db, tls, .. } =
            RedisConfig::from_url(&SecretString::from(url.into()))?;
        let tls = tls.map(|asked| self.redis.tls.take().unwrap_or(asked));
        self.redis = RedisConfig { host, port, username, password, db, tls, ..self.redis };
        Ok(self)
    }

    /// TLS to the server and to its sentinels: `.redis_tls(TlsConfig::default())`. Default: none, unless the URL
    /// begins with `rediss://`.
    pub fn redis_tls(mut self, tls: TlsConfig) -> Self {
        self.redis.tls = Some(tls);
        self
    }

    /// Sentinels that know where the server is; its host and port are then not used. Default: none.
    pub fn redis_sentinel(mut self, sentinel: SentinelConfig) -> Self {
        self.redis.sentinel = Some(sentinel);
        self
    }

    /// Some nodes of a Redis Cluster, such as `["10.0.0.1:6379", "10.0.0.2:6379"]`; from one that answers
    /// the others are found. Default: none, a single server.
    ///
    /// # Errors
    ///
    /// When one is no address.
    pub fn redis_cluster<N: AsRef<str>>(mut self, nodes: impl IntoIterator<Item = N>) -> Result<Self> {
        self.redis.cluster = nodes.into_iter().map(|node| node.as_ref().parse()).collect::<Result<_>>()?;
        Ok(self)
    }

    /// The longest that one operation on the backend may take, connecting included; a call of an
    /// annotated function is never held up longer. Default 100 ms.
    pub fn operation_timeout(mut self, limit: Duration) -> Self {
        self.redis.operation_timeout = limit;
        self
    }

    /// The circuit breaker in front of the server: so many operations in a row without an answer open
    /// it, and then the server is tried again each time that the pause is over. Default 3, and
    /// 250 ms. While it is open calls run their functions at once, and invalidations are kept
    /// and sent before anything is read again.
    pub fn circuit_breaker(mut self, failures: u32, pause: Duration) -> Self {
        (self.redis.breaker_threshold, self.redis.breaker_pause) = (failures, pause);
        self
    }

    /// How many bytes of encoded values the decoded ones in front of a store may stand for: those of
    /// [`Backend::Tiered`], of `near` functions, and before a store of your own. Default 64 MiB; 0 turns them off, and has the embedded store keep encoded values only.
    pub fn near_max_bytes(mut self, bytes: u64) -> Self {
        self.settings.near_max_bytes = bytes;
        self
    }

    /// How many bytes the embedded store may hold, each value counted by its encoded length. What functions
    /// have loaded is kept as it is, which may take several times that in memory; what was set by hand is kept
    /// encoded and takes seven eighths at most. A value that is longer than what is left is not kept.
    /// Default 256 MiB.
    pub fn local_max_bytes(mut self, bytes: u64) -> Self {
        self.settings.local_max_bytes = bytes;
        self
    }

    /// The longest encoded value that is stored, in bytes before compression; a longer one is
    /// answered, counted and not kept. Default 1 MiB.
    pub fn max_value_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_value_bytes = bytes;
        self
    }

    /// How values are written. Default [`Codec::Json`]. Entries say how they
    /// were written, so those of another setting are read, too.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.settings.coding.codec = codec;
        self
    }

    /// Compresses encoded values of more than so many bytes (LZ4), if they become shorter and are longer
    /// than 64 bytes. What the embedded store keeps as it is, is not. Default: none.
    #[cfg(feature = "lz4")]
    pub fn compress_above(mut self, bytes: usize) -> Self {
        self.settings.coding.compress_above = Some(bytes);
        self
    }

    /// Encrypts values with AES-256-GCM. The first key that is given writes; the others read what
    /// was written before a rotation. What the embedded store keeps as it is stays in this process and is not
    /// encrypted. Default: none, and values are readable on the server.
    ///
    /// An entry that is not encrypted is then a miss that counts as unreadable, so a program begins
    /// cold. Keys, tags, the length of values and the numbers of
    /// [`Cache::increment`](super::Cache::increment) stay readable; the README says more. Change the key before
    /// 2³² values were stored with it.
    ///
    /// # Errors
    ///
    /// The key has not 32 bytes, or the id is not 1 to 32 letters, digits, `-` and `_`, or was given before.
    #[cfg(feature = "encrypt")]
    pub fn encrypt_key(mut self, id: &str, key: &secrecy::SecretSlice<u8>) -> Result<Self> {
        let keys = self.settings.coding.keys.take();
        self.settings.coding.keys = Some(crate::codec::Keys::with(keys, id, key)?);
        Ok(self)
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

    /// The same for a test: by a clock that the test moves, with faults that the test injects.
    #[cfg(feature = "test-kit")]
    pub(crate) fn for_test(mut self, faults: crate::test_kit::Faults) -> (Self, Clock) {
        if !self.clock.is_manual() {
            self.clock = Clock::manual();
        }
        let clock = self.clock.clone();
        self.faults = Some(faults);
        (self, clock)
    }

    /// Takes the fences out: each load stores its value whatever was invalidated meanwhile, as a
    /// cache without them does. Only to show that the checker finds what they keep out.
    #[cfg(feature = "test-kit")]
    #[doc(hidden)]
    pub fn without_fence_for_checker(mut self) -> Self {
        self.settings.unfenced = true;
        self
    }

    /// How long values are kept at most that were loaded while Redis could not be asked. Only so that what the
    /// checker promises of other processes holds of one that is cut off, too.
    #[cfg(feature = "test-kit")]
    #[doc(hidden)]
    pub fn outage_ttl_for_checker(mut self, ttl: Duration) -> Self {
        self.settings.outage_ttl = ttl;
        self
    }

    /// What cannot be meant.
    fn check(&self) -> Result<()> {
        if self.namespace.as_ref().is_some_and(String::is_empty) {
            return Err(Error::config("the namespace is empty; give the name of your service"));
        }
        if self.settings.ttl.is_zero() {
            return Err(Error::config("the default ttl is 0; give at least one millisecond"));
        }
        self.redis.check()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
