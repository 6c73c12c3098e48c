//! How long values live, loads that go on without their caller, and calls that are not cached.

use std::time::Duration;

use cache_runtime::{Cache, cached};

use super::Service;
use crate::backends::{Setup, on_each_backend};

on_each_backend!(
    a_hit_late_in_the_ttl_refreshes,
    a_detached_load_outlives_its_caller,
    a_panic_in_a_detached_load_reaches_its_caller,
    a_hit_slides_the_ttl,
    none_is_cached_under_its_own_ttl,
    a_ttl_may_come_from_the_value,
    when_and_unless_decide,
    scopes_switch_the_cache_off,
    peeking_finds_values_that_are_only_here,
);

async fn a_hit_late_in_the_ttl_refreshes(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.ahead(1).await, Ok(0));
    setup.clock.advance(Duration::from_millis(7_999));
    assert_eq!(service.ahead(1).await, Ok(0));
    assert_eq!(service.runs(), 1);
    setup.clock.advance(Duration::from_millis(1));
    let held = service.hold().await;
    for _ in 0..10 {
        assert_eq!(service.ahead(1).await, Ok(0));
    }
    service.begun(2).await;
    drop(held);
    let cache = &setup.cache;
    let mut left = 2_000;
    while cache.get::<u32>("ahead:1").await.unwrap() != Some(1) {
        left -= 1;
        assert!(left > 0, "the refreshed value never came");
        tokio::time::sleep(Duration::from_millis(1)).await; // lets the refresh end
    }
    // The new value lives for a ttl of its own, so that a hot key never misses.
    setup.clock.advance(Duration::from_secs(7));
    assert_eq!(service.ahead(1).await, Ok(1));
    assert_eq!(service.runs(), 2);
    assert_eq!(setup.cache.stats().await.total.stale, 0);
}

async fn a_detached_load_outlives_its_caller(setup: Setup) {
    let service = Service::new(&setup.cache);
    let held = service.hold().await;
    let caller = tokio::spawn({
        let service = service.clone();
        async move { service.detached(1).await }
    });
    service.begun(1).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    drop(held);
    assert_eq!(service.detached(1).await, Ok(0));
    assert_eq!(service.runs(), 1);
}

async fn a_panic_in_a_detached_load_reaches_its_caller(setup: Setup) {
    #[derive(Clone)]
    struct Panics(Cache);
    impl Panics {
        #[cached(key = "panics", detached, cache = self.0)]
        async fn panics(&self) -> u32 {
            panic!("on purpose")
        }
    }
    let service = Panics(setup.cache);
    let caller = tokio::spawn(async move { service.panics().await });
    assert!(caller.await.unwrap_err().is_panic());
}

async fn a_hit_slides_the_ttl(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.sliding(1).await, Ok(0));
    for _ in 0..5 {
        setup.clock.advance(Duration::from_secs(6));
        assert_eq!(service.sliding(1).await, Ok(0));
        // On a server the longer life is written beside the caller.
        let mut left = 2_000;
        while !setup.lives_a_whole_ttl("sliding:1").await {
            left -= 1;
            assert!(left > 0, "the life was not lengthened");
            tokio::time::sleep(Duration::from_millis(1)).await; // lets the write end
        }
    }
    setup.clock.advance(Duration::from_secs(10));
    assert_eq!(service.sliding(1).await, Ok(1));
}

#[tokio::test]
async fn a_hit_slides_no_value_that_was_set_since() {
    let setup = Setup::local().await;
    let service = Service::new(&setup.cache);
    service.sliding(1).await.unwrap();
    setup.clock.advance(Duration::from_secs(6));
    // On this one thread the longer life is written only when this task waits, so after the `set`.
    service.sliding(1).await.unwrap();
    setup.cache.set("sliding:1", &7).ttl(2).await.unwrap();
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(setup.cache.get::<u32>("sliding:1").await.unwrap(), Some(7));
    setup.clock.advance(Duration::from_secs(2));
    assert_eq!(setup.cache.get::<u32>("sliding:1").await.unwrap(), None, "it has the ttl that it was set with");
}

async fn none_is_cached_under_its_own_ttl(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.negative(0).await, Ok(None));
    assert_eq!(service.negative(0).await, Ok(None));
    assert_eq!(service.runs(), 1);
    assert_eq!(setup.cache.stats().await.total.hits, 1);
    setup.clock.advance(Duration::from_secs(3));
    assert_eq!(service.negative(0).await, Ok(None));
    assert_eq!(service.runs(), 2);
    service.invalidate_negative(0).await.unwrap();
    assert_eq!(service.negative(0).await, Ok(None));
    assert_eq!(service.runs(), 3);
}

async fn a_ttl_may_come_from_the_value(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.token(2).await, Ok((0, 2)));
    setup.clock.advance(Duration::from_secs(2));
    assert_eq!(service.token(2).await, Ok((1, 2)));
    assert_eq!(service.token(100).await, Ok((2, 100)));
    setup.clock.advance(Duration::from_secs(99));
    assert_eq!(service.token(100).await, Ok((2, 100)));
}

async fn when_and_unless_decide(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!((service.picky(0).await, service.picky(0).await), (Ok(0), Ok(1)));
    assert_eq!((service.picky(1).await, service.picky(1).await), (Ok(2), Ok(2)));
    assert_eq!((service.picky(2).await, service.picky(2).await), (Ok(3), Ok(4)));
    assert_eq!(service.picky(2).await, Ok(4));
}

async fn scopes_switch_the_cache_off(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.sliding(1).await, Ok(0));
    assert_eq!(Cache::disabled(service.sliding(1)).await, Ok(1));
    assert_eq!(service.sliding(1).await, Ok(0));
    assert_eq!(Cache::bypass(service.sliding(1)).await, Ok(2));
    assert_eq!(service.sliding(1).await, Ok(2));
}

async fn peeking_finds_values_that_are_only_here(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.peek_here(1).await, None);
    assert_eq!(service.here(1).await, 0);
    assert_eq!(service.peek_here(1).await, Some(0));
    service.invalidate_here(1).await.unwrap();
    assert_eq!(service.peek_here(1).await, None);
}
