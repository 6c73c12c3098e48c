//! Answers past the ttl: while a refresh runs, when loading fails, and when it is slow.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Backend, Cache, Clock, cached};
use futures_util::FutureExt as _;

use super::{Service, until_async};
use crate::backends::{Setup, on_each_backend};

on_each_backend!(
    a_stale_value_is_served_while_one_refresh_runs,
    a_stale_value_is_not_served_past_its_window,
    an_invalidated_value_is_not_served_stale,
    an_error_is_answered_with_the_last_good_value,
    after_a_failure_the_upstream_rests,
    after_a_refresh_that_failed_the_upstream_rests,
    a_slow_load_is_answered_with_the_stale_value,
    those_who_wait_for_a_slow_load_get_the_stale_value_too,
    an_error_is_answered_with_the_last_good_value_to_those_who_waited,
    a_value_that_dies_while_a_slow_load_runs_is_not_served,
    a_refresh_that_finds_nothing_drops_the_value,
    what_was_set_does_not_come_back_once_a_refresh_has_replaced_it,
);

async fn a_stale_value_is_served_while_one_refresh_runs(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.revalidated(1).await, Ok(0));
    setup.clock.advance(Duration::from_secs(11));
    let held = service.hold().await;
    for _ in 0..20 {
        assert_eq!(service.revalidated(1).await, Ok(0));
    }
    service.begun(2).await;
    assert_eq!(service.revalidated(1).await, Ok(0));
    assert_eq!(service.runs(), 2);
    drop(held);
    let refreshed = service.clone();
    let mut left = 2_000;
    while refreshed.revalidated(1).await != Ok(1) {
        left -= 1;
        assert!(left > 0, "the refreshed value never came");
        tokio::time::sleep(Duration::from_millis(1)).await; // lets the refresh end
    }
    assert_eq!(service.runs(), 2);
    assert!(setup.cache.stats().await.total.stale >= 21);
}

async fn a_stale_value_is_not_served_past_its_window(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.revalidated(1).await, Ok(0));
    setup.clock.advance(Duration::from_secs(70));
    assert_eq!(service.revalidated(1).await, Ok(1));
}

async fn an_invalidated_value_is_not_served_stale(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.revalidated(1).await, Ok(0));
    assert_eq!(service.forgiving(1).await, Ok(1));
    setup.clock.advance(Duration::from_secs(11));
    service.invalidate_revalidated(1).await.unwrap();
    assert_eq!(service.revalidated(1).await, Ok(2));
    service.invalidate_forgiving(1).await.unwrap();
    service.fails.store(true, Ordering::SeqCst);
    assert!(service.forgiving(1).await.is_err());
}

async fn an_error_is_answered_with_the_last_good_value(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.forgiving(1).await, Ok(0));
    service.fails.store(true, Ordering::SeqCst);
    setup.clock.advance(Duration::from_secs(11));
    assert_eq!(service.forgiving(1).await, Ok(0));
    let total = setup.cache.stats().await.total;
    assert_eq!((total.stale, total.load_errors), (1, 1));
    setup.clock.advance(Duration::from_secs(60));
    assert_eq!(service.forgiving(1).await, Err("run 2 failed".to_owned()));
}

async fn after_a_failure_the_upstream_rests(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.forgiving(1).await, Ok(0));
    service.fails.store(true, Ordering::SeqCst);
    setup.clock.advance(Duration::from_secs(11));
    for _ in 0..10 {
        assert_eq!(service.forgiving(1).await, Ok(0));
    }
    assert_eq!(service.runs(), 2);
    setup.clock.advance(Duration::from_millis(999));
    assert_eq!((service.forgiving(1).await, service.runs()), (Ok(0), 2));
    setup.clock.advance(Duration::from_millis(1));
    assert_eq!(service.forgiving(1).await, Ok(0));
    assert_eq!(service.runs(), 3);
    service.fails.store(false, Ordering::SeqCst);
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(service.forgiving(1).await, Ok(3));
}

async fn after_a_refresh_that_failed_the_upstream_rests(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.revalidated(1).await, Ok(0));
    service.fails.store(true, Ordering::SeqCst);
    setup.clock.advance(Duration::from_secs(11));
    for failed in 1..3 {
        until_async(async || {
            assert_eq!(service.revalidated(1).await, Ok(0));
            setup.cache.stats().await.total.load_errors == failed
        })
        .await;
        setup.clock.advance(Duration::from_millis(999));
        for _ in 0..10 {
            assert_eq!(service.revalidated(1).await, Ok(0));
            tokio::time::sleep(Duration::from_millis(1)).await; // lets a refresh begin, if there is one
        }
        assert_eq!(u64::from(service.runs()), 1 + failed);
        setup.clock.advance(Duration::from_millis(1));
    }
}

async fn a_slow_load_is_answered_with_the_stale_value(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.impatient(1).await, Ok(0));
    setup.clock.advance(Duration::from_secs(11));
    let held = service.hold().await;
    assert_eq!(service.impatient(1).await, Ok(0));
    assert_eq!(service.runs(), 2);
    drop(held);
    let mut left = 2_000;
    while service.impatient(1).await != Ok(1) {
        left -= 1;
        assert!(left > 0, "the load did not go on");
        tokio::time::sleep(Duration::from_millis(1)).await; // lets the load end
    }
    assert_eq!(service.runs(), 2);
}

async fn those_who_wait_for_a_slow_load_get_the_stale_value_too(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.impatient(1).await, Ok(0));
    setup.clock.advance(Duration::from_secs(11));
    let held = service.hold().await;
    let both = async { tokio::join!(service.impatient(1), service.impatient(1)) };
    let both = tokio::time::timeout(Duration::from_secs(20), both).await;
    assert_eq!(both.expect("nobody waits for the load"), (Ok(0), Ok(0)));
    assert_eq!(service.runs(), 2);
    drop(held);
}

async fn an_error_is_answered_with_the_last_good_value_to_those_who_waited(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.impatient(1).await, Ok(0));
    setup.clock.advance(Duration::from_secs(11));
    service.fails.store(true, Ordering::SeqCst);
    let held = service.hold().await;
    // Answered when its patience ends; the load goes on.
    assert_eq!(service.impatient(1).await, Ok(0));
    let waits = tokio::spawn({
        let service = service.clone();
        async move { service.impatient(1).await }
    });
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while setup.cache.stats().await.total.misses < 3 {
        assert!(tokio::time::Instant::now() < limit, "{:?}", setup.cache.stats().await.total);
        tokio::task::yield_now().await;
    }
    drop(held);
    assert_eq!(waits.await.unwrap(), Ok(0));
}

#[derive(Clone)]
struct Late {
    cache: Cache,
    clock: cache_runtime::Clock,
    runs: Arc<AtomicU32>,
}

impl Late {
    #[cached(ttl = 10, key = "late", stale_if_error = 60, soft_timeout = "50ms", cache = self.cache)]
    async fn value(&self) -> Result<u32, String> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        if run > 0 {
            self.clock.advance(Duration::from_secs(60));
            tokio::time::sleep(Duration::from_millis(500)).await; // longer than the patience
        }
        Ok(run)
    }
}

async fn a_value_that_dies_while_a_slow_load_runs_is_not_served(setup: Setup) {
    let late = Late { cache: setup.cache.clone(), clock: setup.clock.clone(), runs: Arc::default() };
    assert_eq!(late.value().await, Ok(0));
    setup.clock.advance(Duration::from_secs(11));
    assert_eq!(late.value().await, Ok(1));
}

async fn a_refresh_that_finds_nothing_drops_the_value(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.vanishing(1).await, Ok(Some(0)));
    assert_eq!(service.vanishing(2).await, Ok(Some(1)));
    service.fails.store(true, Ordering::SeqCst);
    assert_eq!(service.refresh_vanishing(1).await, Ok(None));
    assert_eq!(service.vanishing(1).await, Ok(None));
    // The same by a refresh in the background.
    setup.clock.advance(Duration::from_secs(11));
    assert_eq!(service.vanishing(2).await, Ok(Some(1)));
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while service.vanishing(2).await != Ok(None) {
        assert!(tokio::time::Instant::now() < limit, "the value that is gone is served on");
        tokio::task::yield_now().await;
    }
}

async fn what_was_set_does_not_come_back_once_a_refresh_has_replaced_it(setup: Setup) {
    let service = Service::new(&setup.cache);
    setup.cache.set("ahead:1", &100_u32).ttl(3_600).await.unwrap();
    assert_eq!(service.ahead(1).await, Ok(100));
    setup.clock.advance(Duration::from_secs(3_000));
    until_async(async || service.ahead(1).await == Ok(0)).await;
    // The new one has ended, and the one before it would not have yet.
    setup.clock.advance(Duration::from_secs(11));
    assert_eq!(service.ahead(1).await, Ok(1));
}

/// Loads go in tasks of their own, and there is no runtime here to run one.
#[test]
fn a_stale_value_stands_in_for_an_error_where_no_task_can_load() {
    #[cached(detached, ttl = 10, key = "one:<id>", stale_if_error = 60, skip(cache, fails), cache = cache)]
    async fn one(cache: Cache, fails: bool, id: u32) -> Result<u32, String> {
        if fails { Err("the upstream is down".to_owned()) } else { Ok(id) }
    }
    #[cached(detached, each = ids, ttl = 10, key = "each:<ids>", stale_if_error = 60, skip(cache, fails), cache = cache)]
    async fn each(cache: Cache, fails: bool, ids: Vec<u32>) -> Result<HashMap<u32, u32>, String> {
        if fails { Err("the upstream is down".to_owned()) } else { Ok(ids.into_iter().map(|id| (id, id)).collect()) }
    }
    let clock = Clock::manual();
    let builder = Cache::builder().backend(Backend::Local).clock(clock.clone());
    let cache = builder.build().now_or_never().unwrap().unwrap();
    let both = HashMap::from([(1, 1), (2, 2)]);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        assert_eq!(one(cache.clone(), false, 1).await, Ok(1));
        assert_eq!(each(cache.clone(), false, vec![1, 2]).await, Ok(both.clone()));
    });
    clock.advance(Duration::from_secs(11));
    assert_eq!(one(cache.clone(), true, 1).now_or_never(), Some(Ok(1)));
    assert_eq!(each(cache.clone(), true, vec![1, 2]).now_or_never(), Some(Ok(both)));
}
