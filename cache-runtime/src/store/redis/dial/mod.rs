//! How connections are made: to whom, in which words, and what must be true of the server.

use std::{fmt, future::Future, sync::Arc};

use bb8_redis::redis::{
    self, AsyncConnectionConfig, ProtocolVersion, PushInfo, RedisConnectionInfo, aio::MultiplexedConnection,
};
use secrecy::ExposeSecret;

use crate::{
    config::{Address, RedisConfig},
    error::{Error, Result},
};

use super::{fault, link::Link};

mod sentinel;
#[cfg_attr(not(feature = "tls"), path = "no_tls.rs")]
mod tls;
mod wire;

use sentinel::Sentinels;
pub(super) use tls::fault_of as tls_fault;
pub(super) use wire::Driver;
use wire::Wire;

/// Which run of which server this is: the same as long as what the server holds is what it was told.
/// A restart changes the first part, a promotion the second. A master that was demoted, took
/// over the data of another one and is promoted again runs on, so the first alone would not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunId(Box<str>);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Knows where the server is and the credentials.
#[derive(Clone)]
pub(super) struct Dialer {
    server: Whereabouts,
    wire: Arc<Wire>,
    login: RedisConnectionInfo,
    /// Whether each link asks which run of the server it has reached: one more trip.
    identifies: bool,
}

#[derive(Clone)]
enum Whereabouts {
    At(Address),
    /// Wherever these say, at each connection anew.
    Known(Arc<Sentinels>),
}

impl Dialer {
    pub(super) fn new(config: &RedisConfig) -> Result<Self> {
        let server = match &config.sentinel {
            Some(sentinel) => Whereabouts::Known(Arc::new(Sentinels::new(sentinel)?)),
            None => Whereabouts::At(Address::new(&config.host, config.port)),
        };
        let password = config.password.as_ref().map(|password| password.expose_secret());
        let login = login(config.username.as_deref(), password).set_db(config.db.into());
        let wire = Arc::new(Wire::new(config.tls.as_ref(), config.operation_timeout)?);
        Ok(Self { server, wire, login, identifies: false })
    }

    /// The same way to another server. Certificates are not read again.
    pub(super) fn to(&self, address: &Address) -> Self {
        Self { server: Whereabouts::At(address.clone()), ..self.clone() }
    }

    /// From now on links know which run of the server they have reached.
    pub(super) fn identifying(mut self) -> Self {
        self.identifies = true;
        self
    }

    /// Whether another server takes over where this one is demoted, and is found by dialling again.
    pub(super) fn follows_failover(&self) -> bool {
        matches!(self.server, Whereabouts::Known(_))
    }

    /// Connects and asks for one answer: a server that wants a password may accept a connection
    /// without one and refuse the first command.
    pub(super) async fn probe(&self) -> Result<()> {
        let mut link = self.dial().await?;
        let ping = redis::cmd("PING");
        self.within(ping.exec_async(&mut link.connection)).await
    }

    /// One connection, authenticated, outside any pool.
    pub(super) async fn dial(&self) -> Result<Link> {
        // Answers are bounded by the deadline of the operation that waits for them, not here.
        let (mut connection, driver) = self.connect(&self.login, AsyncConnectionConfig::new()).await?;
        let run_id = match self.identifies {
            true => Some(self.run_id(&mut connection).await?),
            false => None,
        };
        Ok(Link::new(connection, driver, run_id))
    }

    /// A connection on which the server speaks first too, as long as its driver lives. `hear` is
    /// called where it is read, in the order of what the server sends, and must not wait.
    pub(super) async fn dial_listener(
        &self,
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<(MultiplexedConnection, Driver)> {
        let login = self.login.clone().set_protocol(ProtocolVersion::RESP3);
        let config = AsyncConnectionConfig::new().set_push_sender(move |push| {
            hear(push);
            Ok::<(), std::convert::Infallible>(())
        });
        self.connect(&login, config).await
    }

    async fn connect(
        &self,
        login: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> Result<(MultiplexedConnection, Driver)> {
        match &self.server {
            Whereabouts::At(address) => self.wire.connect(address, login, config).await,
            Whereabouts::Known(sentinels) => {
                let address = sentinels.master(&self.wire).await?;
                let (mut connection, driver) = self.wire.connect(&address, login, config).await?;
                self.check_role(&address, &mut connection).await?;
                Ok((connection, driver))
            }
        }
    }

    /// Sentinels may be late: they still name a master that was demoted, or already one that is
    /// not yet promoted.
    async fn check_role(&self, address: &Address, connection: &mut MultiplexedConnection) -> Result<()> {
        let answer: redis::Value = self.within(redis::cmd("ROLE").query_async(connection)).await?;
        let redis::Value::Array(parts) = &answer else { return Err(fault::unexpected("ROLE")) };
        match parts.first() {
            Some(redis::Value::BulkString(role)) if role == b"master" => Ok(()),
            _ => Err(Error::unavailable(
                super::BACKEND,
                format!(
                    "the sentinels say that {address} is the master, and it says that it is not; a failover goes on"
                ),
            )),
        }
    }

    /// The run of the server behind a connection.
    pub(super) async fn run_id(&self, connection: &mut MultiplexedConnection) -> Result<RunId> {
        let mut info = redis::cmd("INFO");
        info.arg("server").arg("replication");
        let text: String = self.within(info.query_async(connection)).await?;
        let field = |name: &str| text.lines().find_map(|line| line.trim_end().strip_prefix(name));
        let run_id = field("run_id:").ok_or_else(|| fault::unexpected("INFO"))?;
        Ok(RunId(format!("{run_id}:{}", field("master_replid:").unwrap_or_default()).into()))
    }

    /// One step, within the time that an operation may take.
    pub(super) async fn within<T>(&self, step: impl Future<Output = redis::RedisResult<T>>) -> Result<T> {
        self.wire.within(step).await
    }
}

fn login(username: Option<&str>, password: Option<&str>) -> RedisConnectionInfo {
    let mut login = RedisConnectionInfo::default().set_skip_set_lib_name();
    if let Some(username) = username {
        login = login.set_username(username);
    }
    if let Some(password) = password {
        login = login.set_password(password);
    }
    login
}
