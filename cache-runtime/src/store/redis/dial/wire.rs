//! One connection: TCP, TLS over it where that is wanted, and the login.

use std::{future::Future, io, time::Duration};

use bb8_redis::redis::{
    self, AsyncConnectionConfig, RedisConnectionInfo,
    aio::MultiplexedConnection,
    io::tcp::socket2::{SockRef, TcpKeepalive},
};
use futures_util::future::select_ok;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, lookup_host},
    task::AbortHandle,
    time::Instant,
};

use crate::{
    config::{Address, TlsConfig},
    error::{Error, Result},
};

use super::{
    super::{BACKEND, fault},
    tls::Tls,
};

/// What a connection runs on.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// The task that reads and writes for one connection and its clones. It ends with this: on a link that is half
/// open it would wait for answers for ever.
pub(in super::super) struct Driver(AbortHandle);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// How the server is spoken to.
pub(super) struct Wire {
    tls: Option<Tls>,
    limit: Duration,
}

impl Wire {
    pub(super) fn new(tls: Option<&TlsConfig>, limit: Duration) -> Result<Self> {
        Ok(Self { tls: tls.map(Tls::new).transpose()?, limit })
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// Connects and logs in, within the time that an operation may take.
    pub(super) async fn connect(
        &self,
        address: &Address,
        login: &RedisConnectionInfo,
        config: AsyncConnectionConfig,
    ) -> Result<(MultiplexedConnection, Driver)> {
        let deadline = Instant::now() + self.limit;
        let connecting = async {
            let stream = self.open(address, deadline).await?;
            // Answers are bounded by the deadline of the operation that waits for them, not here.
            let config = config.set_response_timeout(None);
            let logging_in = MultiplexedConnection::new_with_config(login, stream, config);
            let (connection, driver) = logging_in.await.map_err(|error| fault::of_client(error, self.limit))?;
            Ok((connection, Driver(tokio::spawn(driver).abort_handle())))
        };
        match tokio::time::timeout_at(deadline, connecting).await {
            Ok(connected) => connected.map_err(|error| fault::at(address, error)),
            Err(_) => Err(fault::timeout(self.limit)),
        }
    }

    async fn open(&self, address: &Address, deadline: Instant) -> Result<Box<dyn Stream>> {
        let stream = open_tcp(address).await.map_err(fault::of_network)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(stream)) };
        match tokio::time::timeout_at(deadline, tls.over(stream, &address.host)).await {
            Ok(stream) => Ok(Box::new(stream?)),
            // A server without TLS takes our greeting for the beginning of a long command.
            Err(_) => Err(Error::unavailable(
                BACKEND,
                format!("no TLS handshake within {:?}; is this its `tls-port`?", self.limit),
            )),
        }
    }

    /// One step, within the time that an operation may take.
    pub(super) async fn within<T>(&self, step: impl Future<Output = redis::RedisResult<T>>) -> Result<T> {
        match tokio::time::timeout(self.limit, step).await {
            Ok(answer) => answer.map_err(|error| fault::of_client(error, self.limit)),
            Err(_) => Err(fault::timeout(self.limit)),
        }
    }
}

/// A name may have several addresses, of which some lead nowhere: the first that answers is taken.
async fn open_tcp(address: &Address) -> io::Result<TcpStream> {
    let found = lookup_host((address.host.as_str(), address.port)).await?;
    let attempts: Vec<_> = found.map(|socket| Box::pin(TcpStream::connect(socket))).collect();
    if attempts.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    let (stream, _) = select_ok(attempts).await?;
    // Both are off unless asked for. Keepalive finds a dead peer under an idle connection.
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(15)))?;
    Ok(stream)
}
