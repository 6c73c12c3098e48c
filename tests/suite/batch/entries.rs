//! What the entries of a batch are: one for each id, shared with the function of one id.

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use super::{DbError, Service, pairs, users};
use crate::backends::{Setup, on_each_backend};

on_each_backend!(
    the_body_runs_with_the_missing_ids_only,
    a_batch_reads_what_a_single_call_stored,
    a_single_call_reads_what_a_batch_stored,
    duplicates_are_asked_for_and_returned_once_in_order,
    an_absent_id_is_not_in_the_result,
    an_absence_is_remembered_under_negative_ttl_only,
    ids_and_results_of_any_form,
    values_without_a_stored_form_stay_here,
    an_err_is_returned_and_nothing_is_cached,
    no_ids_run_nothing,
    invalidation_drops_each_id,
    an_invalidation_during_the_load_keeps_the_old_value_out,
    neighbours_read_what_a_batch_stored,
);

async fn the_body_runs_with_the_missing_ids_only(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.get_users(&[2, 1]).await, Ok(users(&[1, 2])));
    assert_eq!(service.get_users(&[4, 1, 3, 2]).await, Ok(users(&[1, 2, 3, 4])));
    assert_eq!(service.get_users(&[1, 2, 3, 4]).await, Ok(users(&[1, 2, 3, 4])));
    assert_eq!(service.runs(), [vec![2, 1], vec![4, 3]]);
    setup.clock.advance(Duration::from_secs(60));
    service.get_users(&[1, 2]).await.unwrap();
    assert_eq!(service.runs(), [[1, 2]]);
}

async fn a_batch_reads_what_a_single_call_stored(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.get_user(1).await.unwrap();
    assert_eq!(service.get_users(&[1, 2]).await, Ok(users(&[1, 2])));
    assert_eq!(service.runs(), [[1], [2]]);
    service.write();
    service.invalidate_get_user(1).await.unwrap();
    assert_eq!(service.get_users(&[1, 2]).await.unwrap()[&1], "1.1");
}

async fn a_single_call_reads_what_a_batch_stored(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.get_users(&[1, 2]).await.unwrap();
    assert_eq!(service.get_user(1).await, Ok(Some("1.0".into())));
    assert_eq!(service.runs(), [[1, 2]]);
    assert_eq!(setup.cache.get::<String>("user:2").await.unwrap().as_deref(), Some("2.0"));
}

async fn duplicates_are_asked_for_and_returned_once_in_order(setup: Setup) {
    let service = Service::new(&setup.cache);
    let ids = vec![5, 3, 5, 4, 3];
    assert_eq!(service.all_known(ids.clone()).await, Ok(pairs(&[5, 3, 4])));
    assert_eq!(service.runs(), [[5, 3, 4]]);
    assert_eq!(service.all_known(ids).await, Ok(pairs(&[5, 3, 4])));
    assert_eq!(service.all_known(vec![4, 9, 5, 4]).await, Ok(pairs(&[4, 9, 5])));
    assert_eq!(service.runs(), [[9]]);
}

async fn an_absent_id_is_not_in_the_result(setup: Setup) {
    let service = Service::new(&setup.cache);
    for _ in 0..2 {
        assert_eq!(service.get_users(&[1, 5_000, 2]).await, Ok(users(&[1, 2])));
    }
    assert_eq!(service.runs(), [vec![1, 5_000, 2], vec![5_000]]);
    assert_eq!(service.get_user(5_000).await, Ok(None));
    assert_eq!(service.runs(), [[5_000]]);
}

async fn an_absence_is_remembered_under_negative_ttl_only(setup: Setup) {
    let service = Service::new(&setup.cache);
    for _ in 0..2 {
        assert_eq!(service.all_known(vec![1, 5_000]).await, Ok(pairs(&[1])));
        assert_eq!(service.get_known(5_000).await, Ok(None));
    }
    assert_eq!(service.get_known(6_000).await, Ok(None));
    assert_eq!(service.all_known(vec![6_000]).await, Ok(vec![]));
    assert_eq!(service.runs(), [vec![1, 5_000], vec![6_000]]);
    setup.clock.advance(Duration::from_secs(10));
    assert_eq!(service.all_known(vec![1, 5_000]).await, Ok(pairs(&[1])));
    assert_eq!(service.runs(), [[5_000]]);
}

async fn ids_and_results_of_any_form(setup: Setup) {
    let service = Service::new(&setup.cache);
    for _ in 0..2 {
        assert_eq!(service.get_users(&[1]).await, Ok(users(&[1])));
        assert_eq!(service.all_known(vec![1]).await, Ok(pairs(&[1])));
        assert_eq!(service.ordered([2, 1]).await, Some(pairs(&[1, 2]).into_iter().collect()));
        assert_eq!(service.ordered(3..5).await.map(|users| users.len()), Some(2));
        let text = String::from("a:b*");
        let lengths = service.lengths(&["x", &text, ""], 7).await;
        assert_eq!(lengths, [("x".to_owned(), 8), ("a:b*".to_owned(), 11), (String::new(), 7)]);
    }
    assert_eq!(service.runs().len(), 5);
    assert_eq!(service.lengths(&["x"], 8).await, [("x".to_owned(), 9)]);
}

async fn values_without_a_stored_form_stay_here(setup: Setup) {
    let service = Service::new(&setup.cache);
    for _ in 0..2 {
        let all = service.unserializable(&[2, 1]).await;
        assert_eq!(all.iter().map(|(id, make)| (*id, make())).collect::<Vec<_>>(), [(2, 1), (1, 1)]);
    }
    service.unserializable(&[1, 3]).await;
    service.invalidate_unserializable(&[2]).await.unwrap();
    service.unserializable(&[1, 2, 3]).await;
    assert_eq!(service.runs(), [vec![2, 1], vec![3], vec![2]]);
}

async fn an_err_is_returned_and_nothing_is_cached(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.get_users(&[1]).await.unwrap();
    service.fails.store(true, Ordering::SeqCst);
    assert_eq!(service.get_users(&[1, 2]).await, Err(DbError));
    assert_eq!(service.get_users(&[1]).await, Ok(users(&[1])));
    assert_eq!(service.ordered([1, 2]).await, None);
    service.fails.store(false, Ordering::SeqCst);
    assert_eq!(service.get_users(&[1, 2]).await, Ok(users(&[1, 2])));
    assert_eq!(service.ordered([1]).await.map(|users| users.len()), Some(1));
    assert_eq!(service.runs(), [vec![1], vec![2], vec![1, 2], vec![2], vec![1]]);
    assert_eq!(setup.cache.stats().await.total.load_errors, 1);
}

async fn no_ids_run_nothing(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.get_users(&[]).await, Ok(HashMap::new()));
    assert!(service.runs().is_empty());
}

async fn invalidation_drops_each_id(setup: Setup) {
    let service = Service::new(&setup.cache);
    service.get_users(&[1, 2, 3]).await.unwrap();
    service.write();
    service.invalidate_get_users(&[1, 3]).await.unwrap();
    let now = service.get_users(&[1, 2, 3]).await.unwrap();
    assert_eq!((&*now[&1], &*now[&2], &*now[&3]), ("1.1", "2.0", "3.1"));
}

async fn an_invalidation_during_the_load_keeps_the_old_value_out(setup: Setup) {
    let service = Service::new(&setup.cache);
    let old = service.clone();
    let old = tokio::spawn(async move { old.slow(&[1, 2]).await });
    service.begun.notified().await;
    service.write();
    service.invalidate_slow(&[2]).await.unwrap();
    service.go_on.notify_one();
    assert_eq!(old.await.unwrap(), Ok(users(&[1, 2])));
    assert_eq!(setup.cache.get::<String>("slow:2").await.unwrap(), None);
    service.go_on.notify_one();
    let now = service.slow(&[1, 2]).await.unwrap();
    assert_eq!((&*now[&1], &*now[&2]), ("1.0", "2.1"));
    assert_eq!(service.runs(), [vec![1, 2], vec![2]]);
    assert_eq!(setup.cache.stats().await.total.rejected, 1);
}

async fn neighbours_read_what_a_batch_stored(setup: Setup) {
    let here = Service::new(&setup.cache);
    let there = here.with_cache(&setup.neighbour().await);
    here.get_users(&[1, 2]).await.unwrap();
    assert_eq!(there.get_users(&[1, 2]).await, Ok(users(&[1, 2])));
    there.invalidate_get_users(&[1]).await.unwrap();
    here.get_users(&[1, 2]).await.unwrap();
    assert_eq!(here.runs(), [vec![1, 2], vec![1]]);
}
