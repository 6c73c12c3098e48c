//! Asking the sentinels for the master.

use std::sync::atomic::{AtomicUsize, Ordering};

use bb8_redis::redis::{self, AsyncConnectionConfig, RedisConnectionInfo};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::{
    config::{Address, SentinelConfig},
    error::{Error, Result},
};

use super::{super::fault, login, wire::Wire};

/// Those who watch one master.
pub(super) struct Sentinels {
    addresses: Vec<Address>,
    master: String,
    login: RedisConnectionInfo,
    /// Who answered last, and is asked first.
    first: AtomicUsize,
}

impl Sentinels {
    pub(super) fn new(config: &SentinelConfig) -> Result<Self> {
        let SentinelConfig { addresses, master, username, password } = config;
        if addresses.is_empty() {
            return Err(Error::config(
                "no sentinel is named; set REDIS_SENTINELS to `host:26379`, several with commas",
            ));
        }
        let password = password.as_ref().map(|password| password.expose_secret());
        Ok(Self {
            addresses: addresses.clone(),
            master: master.clone(),
            login: login(username.as_deref(), password),
            first: AtomicUsize::new(0),
        })
    }

    /// Where the master is, as the first says who answers. Each has an equal share of what is left of
    /// the time, so that one that hangs does not take all of it.
    pub(super) async fn master(&self, wire: &Wire) -> Result<Address> {
        let deadline = Instant::now() + wire.limit();
        let first = self.first.load(Ordering::Relaxed);
        let mut failure = fault::timeout(wire.limit());
        for (turn, left) in (1..=self.addresses.len()).rev().enumerate() {
            let index = (first + turn) % self.addresses.len();
            let share = deadline.saturating_duration_since(Instant::now()) / u32::try_from(left).unwrap_or(u32::MAX);
            match tokio::time::timeout(share, self.ask(wire, &self.addresses[index])).await {
                Ok(Ok(master)) => {
                    self.first.store(index, Ordering::Relaxed);
                    return Ok(master);
                }
                // That one is down says less than that another one refuses us.
                Ok(Err(error)) if !failure.is_for_the_operator() => failure = error,
                _ => {}
            }
        }
        Err(failure)
    }

    async fn ask(&self, wire: &Wire, sentinel: &Address) -> Result<Address> {
        let refused = |error| match error {
            Error::Authentication(_) => Error::Authentication(
                format!(
                    "the sentinel at {sentinel} refused us; set REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD"
                )
                .into(),
            ),
            other => other,
        };
        let (mut connection, _driver) =
            wire.connect(sentinel, &self.login, AsyncConnectionConfig::new()).await.map_err(refused)?;
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let answer: Option<(String, u16)> =
            wire.within(question.query_async(&mut connection)).await.map_err(refused)?;
        match answer {
            Some((host, port)) => Ok(Address::new(host, port)),
            None => Err(Error::config(format!(
                "the sentinel at {sentinel} knows no master called `{}`; set REDIS_SENTINEL_MASTER to the name in its \
                 `sentinel monitor`",
                self.master
            ))),
        }
    }
}
