//! Against real servers.

use std::{sync::Arc, time::Duration};

use cache_test_support::RedisServer;
use secrecy::SecretString;

use super::*;
use crate::store::conformance::{self, Fixture};

mod cluster;
mod ending;
mod faults;
mod joined;
mod protocol;
mod races;
mod recovery;
mod resending;
mod waking;

async fn fixture() -> Fixture {
    let server = RedisServer::start();
    let clock = Clock::manual();
    let store = RedisStore::connect(&config(&server), clock.clone()).await.unwrap();
    Fixture::new(Arc::new(store), clock).with_real_time().with_guard(server)
}

conformance::tests!(fixture);

#[tokio::test]
async fn nobody_waits_for_a_seized_lease_that_is_doomed() {
    conformance::nobody_waits_for_a_seized_lease_that_is_doomed(fixture().await).await;
}

impl RedisStore {
    /// A store on a server that answers.
    async fn connect(config: &RedisConfig, clock: Clock) -> Result<Self> {
        Self::probe(config).await?;
        Self::lazy(config, clock)
    }
}

/// Patient, so that a busy machine fails no test that is not about time.
fn config(server: &RedisServer) -> RedisConfig {
    RedisConfig {
        port: server.port(),
        password: Some(SecretString::from(server.password())),
        operation_timeout: Duration::from_secs(5),
        ..RedisConfig::default()
    }
}

/// A store on a server of its own, with what tests of the wire need.
struct Setup {
    server: RedisServer,
    on: Fixture,
}

impl Setup {
    async fn new() -> Self {
        Self::on(RedisServer::start()).await
    }

    async fn on(server: RedisServer) -> Self {
        let on = Self::fixture(&config(&server)).await;
        Self { server, on }
    }

    async fn fixture(config: &RedisConfig) -> Fixture {
        let clock = Clock::manual();
        let store = RedisStore::connect(config, clock.clone()).await.unwrap();
        Fixture::new(Arc::new(store), clock).with_real_time()
    }

    /// The names that the store gives to things.
    fn names(&self) -> names::Names<'_> {
        names::Names::of(&self.on.space)
    }

    /// How often the server has executed a command, calls from scripts included.
    fn calls(&self, command: &str) -> u64 {
        calls(&self.server, command)
    }
}

/// How often a server has executed a command, calls from scripts included.
fn calls(server: &RedisServer, command: &str) -> u64 {
    let stats = server.cli(&["INFO", "commandstats"]);
    let prefix = format!("cmdstat_{command}:calls=");
    let calls = stats.lines().find_map(|line| line.strip_prefix(&prefix)?.split(',').next()?.parse().ok());
    calls.unwrap_or(0)
}
