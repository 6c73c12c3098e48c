//! How to reach a Redis server.

use std::{fmt, time::Duration};

use secrecy::SecretString;

use super::{Address, SentinelConfig, TlsConfig, Variables, url::RedisUrl, variables::is_host};
use crate::error::{Error, Result};

/// How to reach a Redis server.
#[derive(Clone)]
#[non_exhaustive]
pub struct RedisConfig {
    /// The host. Default `127.0.0.1`.
    pub host: String,
    /// The port. Default 6379.
    pub port: u16,
    /// The ACL user; the server's default user if not given.
    pub username: Option<String>,
    /// The password; none by default.
    pub password: Option<SecretString>,
    /// The database number. Default 1.
    pub db: u32,
    /// How to speak TLS; `None`, the default, for not at all.
    pub tls: Option<TlsConfig>,
    /// Who knows where the server is, in place of `host` and `port`. Default nobody.
    pub sentinel: Option<SentinelConfig>,
    /// Some nodes of a Redis Cluster, in place of `host` and `port`; from one that answers the others
    /// are found. A cluster has only the database 0: `db` must be 0 or left at its default. Default
    /// none: a single server.
    pub cluster: Vec<Address>,
    /// How many connections the pool keeps; commands of many callers share each, and several keep
    /// a small answer from waiting behind a large one. Default 4.
    pub connections: u32,
    /// The longest that one operation may take, connecting included. Default 100 ms.
    pub operation_timeout: Duration,
    /// So many operations in a row without an answer open the circuit breaker: then nothing is sent,
    /// and calls run their functions at once. Default 3; at least 1.
    pub breaker_threshold: u32,
    /// How long the open breaker waits before it tries the server again, and between two tries.
    /// Default 250 ms.
    pub breaker_pause: Duration,
    /// Whether a restart of the server makes what it still holds invalid, since a snapshot may be
    /// older than an invalidation that was acknowledged. Default yes; the price is a cold start.
    pub restart_guard: bool,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 6379,
            username: None,
            password: None,
            db: 1,
            tls: None,
            sentinel: None,
            cluster: Vec::new(),
            connections: 4,
            operation_timeout: Duration::from_millis(100),
            breaker_threshold: 3,
            breaker_pause: Duration::from_millis(250),
            restart_guard: true,
        }
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("username", &self.username)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .field("db", &self.db)
            .field("tls", &self.tls)
            .field("sentinel", &self.sentinel)
            .field("cluster", &self.cluster)
            .field("connections", &self.connections)
            .field("operation_timeout", &self.operation_timeout)
            .field("breaker_threshold", &self.breaker_threshold)
            .field("breaker_pause", &self.breaker_pause)
            .field("restart_guard", &self.restart_guard)
            .finish()
    }
}

impl RedisConfig {
    /// The address and credentials in `REDIS_URL`, or in `REDIS_HOST` and its companions.
    pub(crate) fn from_variables(variables: &Variables<'_>) -> Result<Self> {
        let defaults = Self::default();
        let url = variables.text("REDIS_URL");
        // Kubernetes writes there the address of a service of that name, which need not be the URL's.
        let is_of_a_service = variables.text("REDIS_PORT").is_some_and(|port| port.contains("://"));
        let port = variables.port("REDIS_PORT")?.filter(|_| url.is_none() || !is_of_a_service);
        let single = Self {
            host: variables.host("REDIS_HOST")?.unwrap_or(defaults.host),
            port: port.unwrap_or(defaults.port),
            db: variables.number("REDIS_DB")?.unwrap_or(defaults.db),
            username: variables.text("REDIS_USERNAME"),
            password: variables.text("REDIS_PASSWORD").map(SecretString::from),
            ..Self::default()
        };
        let mut config = match url {
            Some(url) => Self::of(RedisUrl::read(&SecretString::from(url))?, &single),
            None => single,
        };
        config.tls = TlsConfig::from_variables(variables, config.tls.is_some())?;
        config.sentinel = SentinelConfig::from_variables(variables)?;
        config.cluster = variables.addresses("REDIS_CLUSTER")?;
        if config.is_cluster() {
            if let Some(other) = ["REDIS_URL", "REDIS_HOST"].into_iter().find(|name| variables.text(name).is_some()) {
                return Err(Error::config(format!(
                    "both REDIS_CLUSTER and {other} are set; set the one that is meant"
                )));
            }
            config.db = variables.number("REDIS_DB")?.unwrap_or(0);
            if config.db != 0 {
                return Err(config.wrong_database());
            }
        }
        Ok(config)
    }

    /// Whether this is a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        !self.cluster.is_empty()
    }

    /// What cannot be meant.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_cluster() && self.sentinel.is_some() {
            return Err(Error::config("both a cluster and sentinels are named; a cluster needs no sentinels"));
        }
        // Not repeated: whoever puts a whole URL here has a password in it.
        if !is_host(&self.host) {
            return Err(Error::config(
                "the host of the Redis server must be a name or an address alone; a port belongs into `port`, and a URL \
                 into `redis_url`",
            ));
        }
        match self.is_cluster() && self.db != 0 && self.db != Self::default().db {
            true => Err(self.wrong_database()),
            false => Ok(()),
        }
    }

    fn wrong_database(&self) -> Error {
        Error::config(format!(
            "REDIS_DB is {}, and a cluster has only the database 0; leave it unset and choose a namespace",
            self.db
        ))
    }

    /// An address such as `redis://user:password@host:6379/1`, or `rediss://…` for TLS.
    ///
    /// # Errors
    ///
    /// When it is not a Redis URL. The error does not repeat it, since it may hold a password.
    pub fn from_url(url: &SecretString) -> Result<Self> {
        RedisUrl::read(url).map(|url| Self::of(url, &Self::default()))
    }

    /// What the URL says, and the address's other parts where it leaves them open.
    fn of(url: RedisUrl, open: &Self) -> Self {
        let RedisUrl { host, port, username, password, db, tls } = url;
        Self {
            host,
            port: port.unwrap_or(open.port),
            username: username.or_else(|| open.username.clone()),
            password: password.or_else(|| open.password.clone()),
            // A URL's own default is 0; ours is 1, beside what others keep in 0.
            db: db.unwrap_or(open.db),
            tls,
            ..Self::default()
        }
    }

    /// The database that is used. A cluster has one alone.
    pub(crate) fn database(&self) -> u32 {
        if self.is_cluster() { 0 } else { self.db }
    }

    /// Which server this is, for people, and to tell whether two handles share one.
    pub(crate) fn server(&self) -> String {
        match &self.sentinel {
            _ if self.is_cluster() => {
                let mut nodes: Vec<String> =
                    self.cluster.iter().map(|node| node.to_string().to_ascii_lowercase()).collect();
                nodes.sort_unstable();
                nodes.join(",")
            }
            Some(sentinel) => sentinel.name().to_ascii_lowercase(),
            None => Address::new(self.host.to_ascii_lowercase(), self.port).to_string(),
        }
    }

    /// The hosts that are connected to first.
    pub(crate) fn hosts(&self) -> Vec<&str> {
        match &self.sentinel {
            _ if self.is_cluster() => self.cluster.iter().map(|node| node.host.as_str()).collect(),
            Some(sentinel) => sentinel.addresses.iter().map(|address| address.host.as_str()).collect(),
            None => vec![&self.host],
        }
    }
}
