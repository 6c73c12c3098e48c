//! How connections are made.

use std::{fmt, future::Future, time::Duration};

use bb8_redis::redis::{
    self, AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion, PushInfo,
    RedisConnectionInfo,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};
use secrecy::ExposeSecret;

use crate::{
    config::RedisConfig,
    error::{Error, Result},
};

use super::{fault, link::Link};

/// What a server calls itself from its start to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunId(Box<str>);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Knows the address and the credentials.
#[derive(Clone)]
pub(super) struct Dialer {
    client: Client,
    /// `host:port`, for errors.
    address: String,
    limit: Duration,
    /// Whether each link asks which run of the server it has reached: one more trip.
    identifies: bool,
}

impl Dialer {
    pub(super) fn new(config: &RedisConfig) -> Result<Self> {
        if config.tls {
            return Err(Error::config("REDIS_TLS: this build cannot speak TLS; unset it"));
        }
        let mut login = RedisConnectionInfo::default().set_db(config.db.into()).set_skip_set_lib_name();
        if let Some(username) = &config.username {
            login = login.set_username(username);
        }
        if let Some(password) = &config.password {
            login = login.set_password(password.expose_secret());
        }
        // Both are off unless asked for. Keepalive finds a dead peer under an idle connection.
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(Duration::from_secs(15)));
        let info = ConnectionAddr::Tcp(config.host.clone(), config.port)
            .into_connection_info()
            .map_err(|error| fault::of_client(error, config.operation_timeout))?
            .set_redis_settings(login)
            .set_tcp_settings(tcp);
        let client = Client::open(info).map_err(|error| fault::of_client(error, config.operation_timeout))?;
        let address = format!("{}:{}", config.host, config.port);
        Ok(Self { client, address, limit: config.operation_timeout, identifies: false })
    }

    /// From now on links know which run of the server they have reached.
    pub(super) fn identifying(mut self) -> Self {
        self.identifies = true;
        self
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
        let config = self.config();
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = self.within(connecting).await.map_err(|error| fault::at(&self.address, error))?;
        let run_id = match self.identifies {
            true => Some(self.run_id(&mut connection).await?),
            false => None,
        };
        Ok(Link::new(connection, run_id))
    }

    /// A connection on which the server speaks first too. `hear` is called where it is read,
    /// in the order of what the server sends, and must not wait.
    pub(super) async fn dial_listener(
        &self,
        hear: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection> {
        let info = self.client.get_connection_info().clone();
        let login = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client =
            Client::open(info.set_redis_settings(login)).map_err(|error| fault::of_client(error, self.limit))?;
        let config = self.config().set_push_sender(move |push| {
            hear(push);
            Ok::<(), std::convert::Infallible>(())
        });
        let connecting = client.get_multiplexed_async_connection_with_config(&config);
        self.within(connecting).await.map_err(|error| fault::at(&self.address, error))
    }

    /// The run of the server behind a connection.
    pub(super) async fn run_id(&self, connection: &mut MultiplexedConnection) -> Result<RunId> {
        let mut info = redis::cmd("INFO");
        info.arg("server");
        let text: String = self.within(info.query_async(connection)).await?;
        let run_id = text.lines().find_map(|line| line.trim_end().strip_prefix("run_id:"));
        run_id.map(|run_id| RunId(run_id.into())).ok_or_else(|| fault::unexpected("INFO"))
    }

    /// One step, within the time that an operation may take.
    pub(super) async fn within<T>(&self, step: impl Future<Output = redis::RedisResult<T>>) -> Result<T> {
        match tokio::time::timeout(self.limit, step).await {
            Ok(answer) => answer.map_err(|error| fault::of_client(error, self.limit)),
            Err(_) => Err(fault::timeout(self.limit)),
        }
    }

    fn config(&self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new().set_connection_timeout(Some(self.limit)).set_response_timeout(None)
    }
}
