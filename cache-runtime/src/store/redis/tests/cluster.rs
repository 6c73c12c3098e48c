//! A cluster: the same rules, with names at several masters.

use std::sync::LazyLock;

use cache_test_support::RedisCluster;

use super::*;

/// One for all tests that lose no master and move no slot: it takes seconds to come up.
static SHARED: LazyLock<RedisCluster> = LazyLock::new(RedisCluster::of_masters);

pub(super) fn config_of(cluster: &RedisCluster) -> RedisConfig {
    RedisConfig {
        cluster: cluster.addresses().iter().map(|address| address.parse().unwrap()).collect(),
        password: Some(SecretString::from(cluster.password())),
        operation_timeout: Duration::from_secs(5),
        ..RedisConfig::default()
    }
}

async fn fixture() -> Fixture {
    Setup::fixture(&config_of(&SHARED)).await
}

conformance::tests!(fixture);
