//! The options of the attribute, for many ids.

use std::{sync::atomic::Ordering, time::Duration};

use cache_runtime::Cache;

use super::{DbError, Service, missed, pairs, users};
use crate::backends::{Setup, eventually, on_each_backend};

on_each_backend!(
    stale_values_answer_an_err_if_there_is_one_for_each_id,
    stale_ids_are_served_and_refreshed_in_one_run,
    stale_ids_are_refreshed_beside_a_load_of_the_missing_ones,
    a_detached_load_outlives_its_caller,
    options_hold_for_each_id,
    scopes_hold_for_batches,
    hits_and_misses_count_ids_and_loads_count_runs,
);

async fn stale_values_answer_an_err_if_there_is_one_for_each_id(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.lasting(&[1, 2]).await.unwrap();
    setup.clock.advance(Duration::from_secs(10));
    service.fails.store(true, Ordering::SeqCst);
    assert_eq!(service.lasting(&[1, 3]).await, Err(DbError));
    assert_eq!(service.lasting(&[2, 1]).await, Ok(pairs(&[2, 1])));
    setup.clock.advance(Duration::from_secs(100));
    assert_eq!(service.lasting(&[2, 1]).await, Err(DbError));
    assert!(setup.cache.stats().await.total.stale >= 2);
}

async fn stale_ids_are_served_and_refreshed_in_one_run(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.revalidated(&[1, 2]).await.unwrap();
    setup.clock.advance(Duration::from_secs(10));
    service.revalidated(&[3]).await.unwrap();
    service.runs();
    service.write();
    assert_eq!(service.revalidated(&[1, 3, 2]).await, Ok(pairs(&[1, 3, 2])));
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while setup.cache.get::<String>("swr:1").await.unwrap().as_deref() != Some("1.1") {
        assert!(tokio::time::Instant::now() < limit);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(service.runs(), [[1, 2]]);
    let now = service.revalidated(&[1, 2, 3]).await.unwrap();
    assert_eq!(now.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), ["1.1", "2.1", "3.0"]);
}

async fn stale_ids_are_refreshed_beside_a_load_of_the_missing_ones(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.revalidated(&[1]).await.unwrap();
    setup.clock.advance(Duration::from_secs(10));
    service.write();
    let both = vec![(1, "1.0".to_owned()), (2, "2.1".to_owned())];
    assert_eq!(service.revalidated(&[1, 2]).await, Ok(both));
    eventually("the stale one is refreshed", async || {
        setup.cache.get::<String>("swr:1").await.unwrap().as_deref() == Some("1.1")
    })
    .await;
    let mut runs = service.runs();
    runs.sort();
    assert_eq!(runs, [[1], [1], [2]]);
}

async fn a_detached_load_outlives_its_caller(setup: Setup) {
    let service = Service::new(&setup.cache);
    let call = |service: Service| tokio::spawn(async move { service.detached(vec![1, 2]).await });
    let caller = call(service.clone());
    service.begun.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    let other = call(service.clone());
    missed(&setup.cache, 4).await;
    service.go_on.notify_one();
    assert_eq!(other.await.unwrap(), Ok(users(&[1, 2])));
    assert_eq!(service.runs(), [[1, 2]]);
}

async fn options_hold_for_each_id(setup: Setup) {
    let service = Service::new(&setup.cache);
    let ids = [1, 9, 10];
    assert_eq!(service.chosen(&ids).await, Ok(pairs(&ids)));
    assert_eq!(service.chosen(&ids).await, Ok(pairs(&ids)));
    assert_eq!(service.runs(), [vec![1, 9, 10], vec![9]]);
    // "1.0" lives for 30 s, "10.0" for 40 s.
    setup.clock.advance(Duration::from_secs(30));
    service.chosen(&[1, 10]).await.unwrap();
    assert_eq!(service.runs(), [[1]]);
    setup.cache.invalidate_tag("chosen:10").await.unwrap();
    service.chosen(&[1, 10]).await.unwrap();
    assert_eq!(service.runs(), [[10]]);
    setup.cache.invalidate_tag("name:1.0").await.unwrap();
    service.chosen(&[1, 10]).await.unwrap();
    assert_eq!(service.runs(), [[1]]);
    for _ in 0..2 {
        assert_eq!(service.chosen(&[77, 1, 77]).await, Ok(pairs(&[77, 1])));
    }
    assert_eq!(service.runs(), [[77, 1], [77, 1]]);
}

async fn scopes_hold_for_batches(setup: Setup) {
    let service = Service::new(&setup.cache);
    Cache::disabled(service.chosen(&[1])).await.unwrap();
    service.chosen(&[1, 2]).await.unwrap();
    service.write();
    assert_eq!(service.chosen(&[1, 2]).await, Ok(pairs(&[1, 2])));
    let new = vec![(1, "1.1".to_owned()), (2, "2.1".to_owned())];
    assert_eq!(service.refresh_chosen(&[1, 2]).await.as_ref(), Ok(&new));
    assert_eq!(service.chosen(&[1, 2]).await.as_ref(), Ok(&new));
    assert_eq!(service.runs(), [vec![1], vec![1, 2], vec![1, 2]]);
}

async fn hits_and_misses_count_ids_and_loads_count_runs(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.get_users(&[1, 2, 2]).await.unwrap();
    service.get_users(&[1, 2, 3]).await.unwrap();
    let total = setup.cache.stats().await.total;
    assert_eq!((total.hits, total.misses, total.loads), (2, 3, 2));
}
