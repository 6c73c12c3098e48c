//! The path of a call, without the macros: what they expand to is written out here.

use std::{
    future::Future,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::{Enter, enter_by_hand};
use crate::{
    __private::{Errors as _, Inner as _, L1, Outer as _, stored},
    Cache, Clock,
};

async fn cache() -> (Cache, Clock) {
    let clock = Clock::manual();
    let cache = Cache::builder().namespace("test").clock(clock.clone()).build().await.unwrap();
    (cache, clock)
}

macro_rules! cached_call {
    ($cache:expr, $key:expr, $return:ty, $body:expr) => {{
        let shape = L1::<$return>::NEW.outer().inner().errors();
        match enter_by_hand(shape, stored(shape), &$cache, $key) {
            Enter::Hit(value) | Enter::Stale(value, _) => value,
            Enter::Miss(call) => call.load($body).await,
        }
    }};
}

async fn load(cache: &Cache, loads: &AtomicU32) -> Result<Option<u32>, String> {
    cached_call!(cache, "n", Result<Option<u32>, String>, async { Ok(Some(loads.fetch_add(1, Ordering::Relaxed))) })
}

#[tokio::test]
async fn a_second_call_is_a_hit() {
    let (cache, clock) = cache().await;
    let loads = AtomicU32::new(0);
    assert_eq!(load(&cache, &loads).await, Ok(Some(0)));
    assert_eq!(load(&cache, &loads).await, Ok(Some(0)));
    clock.advance(Duration::from_secs(301));
    assert_eq!(load(&cache, &loads).await, Ok(Some(1)));
    let total = cache.stats().await.total;
    assert_eq!((total.hits, total.misses, total.loads), (1, 2, 2));
}

#[tokio::test]
async fn a_load_that_takes_longer_than_a_lease_is_stored() {
    let (cache, clock) = cache().await;
    let loaded = cached_call!(cache, "n", u32, async {
        clock.advance(Duration::from_secs(60));
        1
    });
    assert_eq!(loaded, 1);
    assert_eq!(cache.get::<u32>("n").await.unwrap(), Some(1));
}

#[tokio::test]
async fn an_invalidation_during_a_load_keeps_the_old_value_out() {
    let (cache, _) = cache().await;
    let old: Result<u32, String> = cached_call!(cache, "n", Result<u32, String>, async {
        assert!(!cache.delete("n").await.unwrap());
        Ok(1)
    });
    assert_eq!(old, Ok(1));
    assert_eq!(cache.get::<u32>("n").await.unwrap(), None);
    assert_eq!(cache.stats().await.total.rejected, 1);
}

#[tokio::test]
async fn a_dropped_leader_hands_over_to_a_waiter() {
    let (cache, _) = cache().await;
    let call = |body: std::pin::Pin<Box<dyn Future<Output = Option<u32>> + Send>>| {
        let cache = cache.clone();
        async move { cached_call!(cache, "n", Option<u32>, body) }
    };
    let leader = tokio::spawn(call(Box::pin(std::future::pending())));
    while cache.inner.counters.total().loads == 0 {
        tokio::task::yield_now().await;
    }
    let waiter = tokio::spawn(call(Box::pin(async { Some(2) })));
    while cache.inner.counters.total().misses < 2 {
        tokio::task::yield_now().await;
    }
    leader.abort();
    assert_eq!(waiter.await.unwrap(), Some(2));
}
