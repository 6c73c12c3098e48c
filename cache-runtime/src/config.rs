//! Settings: from the environment or by hand.

use std::{fmt, time::Duration};

use secrecy::SecretString;

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
    /// Whether to speak TLS. Default no.
    pub tls: bool,
    /// How many connections the pool keeps; commands of many callers share each. Default 4.
    pub connections: u32,
    /// The longest that one operation may take, connecting included. Default 100 ms.
    pub operation_timeout: Duration,
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
            tls: false,
            connections: 4,
            operation_timeout: Duration::from_millis(100),
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
            .field("connections", &self.connections)
            .field("operation_timeout", &self.operation_timeout)
            .field("restart_guard", &self.restart_guard)
            .finish()
    }
}
