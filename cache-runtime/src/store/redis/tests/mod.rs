//! Against real servers.

use std::{sync::Arc, time::Duration};

use cache_test_support::RedisServer;
use secrecy::SecretString;

use super::*;
use crate::store::conformance::{self, Fixture};

async fn fixture() -> Fixture {
    let server = RedisServer::start();
    let clock = Clock::manual();
    let store = RedisStore::connect(&config(&server), clock.clone()).await.unwrap();
    Fixture::new(Arc::new(store), clock).with_real_time().with_guard(server)
}

conformance::tests!(fixture);

/// Patient, so that a busy machine fails no test that is not about time.
fn config(server: &RedisServer) -> RedisConfig {
    RedisConfig {
        port: server.port(),
        password: Some(SecretString::from(server.password())),
        operation_timeout: Duration::from_secs(5),
        ..RedisConfig::default()
    }
}
