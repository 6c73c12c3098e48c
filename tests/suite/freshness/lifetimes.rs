//! How long values live, loads that go on without their caller, and calls that are not cached.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Cache, cached};

use super::{Service, until_async};
use crate::backends::{Setup, on_each_backend};

on_each_backend!(
    a_hit_late_in_the_ttl_refreshes,
    a_detached_load_outlives_its_caller,
    a_panic_in_a_detached_load_reaches_its_caller,
    a_hit_slides_the_ttl,
    a_hit_slides_the_ttl_however_soon_it_comes,
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
    struct Panics(Cache, Arc<AtomicU32>);
    impl Panics {
        fn run(&self) {
            self.1.fetch_add(1, Ordering::SeqCst);
            panic!("on purpose")
        }

        #[cached(key = "panics", detached, cache = self.0)]
        async fn panics(&self) {
            self.run();
        }

        #[cached(each = ids, key = "panics:<ids>", detached, cache = self.0)]
        async fn each_panics(&self, ids: Vec<u32>) -> Vec<(u32, ())> {
            self.run();
            ids.into_iter().map(|id| (id, ())).collect()
        }
    }
    let service = Panics(setup.cache, Arc::default());
    let one = tokio::spawn({
        let service = service.clone();
        async move { service.panics().await }
    });
    assert!(one.await.unwrap_err().is_panic());
    let many = tokio::spawn({
        let service = service.clone();
        async move { service.each_panics(vec![1, 2]).await }
    });
    assert!(many.await.unwrap_err().is_panic());
    assert_eq!(service.1.load(Ordering::SeqCst), 2, "what has panicked is not run again for its caller");
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

/// To within a hundredth of the ttl.
async fn a_hit_slides_the_ttl_however_soon_it_comes(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.sliding(1).await, Ok(0));
    assert_eq!(service.sliding_here(1).await, 1);
    // Also where there was nothing to slide yet, after which the value might be at hand as it is.
    for passes in [0, 9_000, 1_000, 3_000, 9_800] {
        setup.clock.advance(Duration::from_millis(passes));
        assert_eq!((service.sliding(1).await, service.sliding_here(1).await), (Ok(0), 1), "after {passes} ms");
        until_async(async || setup.lives_a_whole_ttl("sliding:1").await).await;
    }
    setup.clock.advance(Duration::from_secs(10));
    assert_eq!((service.sliding(1).await, service.sliding_here(1).await), (Ok(2), 3));
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
    // The same for what is only in this process.
    for advance in [0, 2_999, 1] {
        setup.clock.advance(Duration::from_millis(advance));
        assert!(service.nobody_here().await.is_none());
    }
    assert_eq!(service.runs(), 5);
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
    // Where `when` says no, nothing is stored, and what is stored is no answer.
    let cache = &setup.cache;
    assert_eq!(cache.get::<u32>("when:0").await.unwrap(), None);
    cache.set("when:0", &100_u32).await.unwrap();
    assert_eq!(service.picky(0).await, Ok(5));
    assert_eq!(cache.get::<u32>("when:0").await.unwrap(), Some(100));
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
