//! What a batch costs, and what it does without the server.

use std::time::Duration;

use cache_runtime::Cache;
use cache_test_support::Proxy;

use super::{Service, users};
use crate::backends::Setup;

#[tokio::test]
async fn all_keys_are_read_by_one_command() {
    let setup = Setup::redis().await;
    let server = setup.server.clone().unwrap();
    let service = Service::new(&setup.cache);
    let reads = || {
        let text = server.cli(&["INFO", "commandstats"]);
        let calls = |command: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
            line.and_then(|line| line.split(',').next()?.parse::<u64>().ok()).unwrap_or(0)
        };
        (calls("mget"), calls("get"))
    };
    let ids: Vec<u64> = (0..50).collect();
    service.get_users(&ids[..40]).await.unwrap();
    let before = reads();
    assert_eq!(service.get_users(&ids[..40]).await, Ok(users(&ids[..40])));
    // A new connection may look at a key or two of its own.
    assert!(reads().0 == before.0 + 1 && reads().1 < before.1 + 10, "{before:?} {:?}", reads());
    service.get_users(&ids).await.unwrap();
    assert_eq!(reads().0, before.0 + 2);
    assert_eq!(service.runs(), [&ids[..40], &ids[40..]]);
}

#[tokio::test]
async fn a_cold_batch_takes_three_trips_whatever_its_length() {
    let setup = Setup::redis().await;
    let server = setup.server.clone().unwrap();
    let proxy = Proxy::to(server.port());
    let mut redis = cache_runtime::RedisConfig::default();
    redis.port = proxy.port();
    redis.password = Some(secrecy::SecretString::from(server.password().to_owned()));
    let builder = Cache::builder().backend(cache_runtime::Backend::Redis).redis(redis);
    let cache = builder.operation_timeout(Duration::from_secs(5)).build().await.unwrap();
    let service = Service::new(&cache);
    // Each trip on its own, once the scripts are known and the connections are made.
    service.get_users(&[999]).await.unwrap();
    proxy.delay(Duration::from_millis(50));
    let begun = std::time::Instant::now();
    let ids: Vec<u64> = (0..100).collect();
    assert_eq!(service.get_users(&ids).await, Ok(users(&ids)));
    // 200 trips for 100 leases and 100 fills would take 10 s.
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn without_the_server_the_function_answers_once_for_all_ids() {
    let setup = Setup::redis().await;
    let service = Service::new(&setup.cache);
    service.get_users(&[1, 2]).await.unwrap();
    setup.server.as_ref().unwrap().kill();
    service.write();
    // This invalidation does not land, so until it does the id is not answered from the cache.
    assert!(service.invalidate_get_users(&[1]).await.is_err());
    service.runs();
    let now = service.get_users(&[1, 2]).await.unwrap();
    assert_eq!((&*now[&1], &*now[&2]), ("1.1", "2.1"));
    assert_eq!(service.runs(), [[1, 2]]);
}

#[tokio::test]
async fn an_id_with_a_pending_invalidation_is_loaded_and_not_kept() {
    let setup = Setup::redis().await;
    let service = Service::new(&setup.cache);
    service.unserializable(&[1, 2]).await;
    setup.server.as_ref().unwrap().kill();
    assert!(service.invalidate_unserializable(&[1]).await.is_err());
    for _ in 0..2 {
        service.unserializable(&[1, 2]).await;
    }
    let total = setup.cache.stats().await.total;
    assert_eq!((total.hits, total.misses, total.loads), (2, 4, 3));
    assert_eq!(service.runs(), [vec![1, 2], vec![1], vec![1]]);
}
