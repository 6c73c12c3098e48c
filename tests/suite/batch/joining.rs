//! Batches and calls of one id that load at the same time.

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use super::{DbError, Service, missed, pairs, users};
use crate::backends::{Setup, on_each_backend};

on_each_backend!(
    a_single_call_joins_a_batch,
    a_batch_joins_a_single_call,
    an_err_is_shared_with_those_who_joined,
    overlapping_batches_load_each_id_once,
    a_dropped_batch_hands_its_ids_over,
    a_load_that_asks_for_its_own_ids_does_not_deadlock,
);

async fn a_single_call_joins_a_batch(setup: Setup) {
    let service = Service::new(&setup.cache);
    let batch = service.clone();
    let batch = tokio::spawn(async move { batch.slow(&[1, 2]).await });
    service.begun.notified().await;
    let single = service.clone();
    let single = tokio::spawn(async move { single.slow_one(2).await });
    missed(&setup.cache, 3).await;
    service.go_on.notify_one();
    assert_eq!(batch.await.unwrap(), Ok(users(&[1, 2])));
    assert_eq!(single.await.unwrap().as_deref(), Some("2.0"));
    assert_eq!(service.runs(), [[1, 2]]);
    assert_eq!(setup.cache.stats().await.total.joined, 1);
}

async fn a_batch_joins_a_single_call(setup: Setup) {
    let service = Service::new(&setup.cache);
    let single = service.clone();
    let single = tokio::spawn(async move { single.slow_one(2).await });
    service.begun.notified().await;
    let batch = service.clone();
    let batch = tokio::spawn(async move { batch.slow(&[1, 2]).await });
    missed(&setup.cache, 3).await;
    service.go_on.notify_one();
    assert_eq!(single.await.unwrap().as_deref(), Some("2.0"));
    service.go_on.notify_one();
    assert_eq!(batch.await.unwrap(), Ok(users(&[1, 2])));
    assert_eq!(service.runs(), [[2], [1]]);
}

async fn an_err_is_shared_with_those_who_joined(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.fails.store(true, Ordering::SeqCst);
    let call = |ids: [u64; 2]| {
        let service = service.clone();
        tokio::spawn(async move { service.slow(&ids).await })
    };
    let first = call([1, 2]);
    service.begun.notified().await;
    let second = call([2, 3]);
    missed(&setup.cache, 4).await;
    // On a shared store nobody proves that nothing was invalidated, and the second loads for itself.
    service.go_on.notify_one();
    assert_eq!(first.await.unwrap(), Err(DbError));
    service.go_on.notify_one();
    assert_eq!(second.await.unwrap(), Err(DbError));
    assert_eq!(service.runs().len(), if setup.server.is_some() { 2 } else { 1 });
}

async fn overlapping_batches_load_each_id_once(setup: Setup) {
    let service = Service::new(&setup.cache);
    let calls: Vec<_> = (0..40u64)
        .map(|call| {
            let service = service.clone();
            tokio::spawn(async move {
                let mut ids: Vec<u64> = (0..30).map(|n| (call * 3 + n * 7) % 60).collect();
                if call % 2 == 0 {
                    ids.reverse();
                }
                let expected: Vec<_> = pairs(&ids);
                assert_eq!(service.brief(&ids).await, expected);
            })
        })
        .collect();
    for call in calls {
        tokio::time::timeout(Duration::from_secs(30), call).await.expect("no deadlock").unwrap();
    }
    let mut loaded: Vec<u64> = service.runs().concat();
    loaded.sort_unstable();
    assert_eq!(loaded, (0..60).collect::<Vec<_>>());
}

async fn a_dropped_batch_hands_its_ids_over(setup: Setup) {
    let service = Service::new(&setup.cache);
    let call = |service: Service, ids: [u64; 2]| tokio::spawn(async move { service.slow(&ids).await });
    let leader = call(service.clone(), [1, 2]);
    service.begun.notified().await;
    let waiters = [call(service.clone(), [2, 1]), call(service.clone(), [2, 3])];
    missed(&setup.cache, 6).await;
    leader.abort();
    service.begun.notified().await;
    service.go_on.notify_one();
    let first_or_second = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            service.go_on.notify_one();
            tokio::task::yield_now().await;
            if waiters.iter().all(tokio::task::JoinHandle::is_finished) {
                break;
            }
        }
    });
    first_or_second.await.expect("nobody is stranded");
    let [same, other] = waiters;
    assert_eq!(same.await.unwrap(), Ok(users(&[1, 2])));
    assert_eq!(other.await.unwrap(), Ok(users(&[2, 3])));
    let mut loaded = service.runs().concat();
    loaded.sort_unstable();
    assert_eq!(loaded, [1, 1, 2, 2, 3]);
}

async fn a_load_that_asks_for_its_own_ids_does_not_deadlock(setup: Setup) {
    let service = Service::new(&setup.cache);
    let loaded = tokio::time::timeout(Duration::from_secs(20), service.nested(&[3, 2, 1])).await;
    assert_eq!(loaded.expect("no deadlock"), HashMap::from([(3, 6), (2, 3), (1, 1)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn overlapping_batches_of_two_processes_load_each_id_once() {
    let setup = Setup::redis().await;
    let service = Service::new(&setup.cache);
    let neighbour = service.with_cache(&setup.neighbour().await);
    let calls: Vec<_> = (0..20u64)
        .map(|call| {
            let service = if call % 2 == 0 { service.clone() } else { neighbour.clone() };
            tokio::spawn(async move {
                let ids: Vec<u64> = (0..20).map(|n| (call * 5 + n * 3) % 40).collect();
                assert_eq!(service.brief(&ids).await, pairs(&ids));
            })
        })
        .collect();
    for call in calls {
        tokio::time::timeout(Duration::from_secs(20), call).await.expect("no deadlock").unwrap();
    }
    let mut loaded: Vec<u64> = service.runs().concat();
    loaded.sort_unstable();
    assert_eq!(loaded, (0..40).collect::<Vec<_>>());
}
