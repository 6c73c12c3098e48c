//! Past the ttl, near its end, and switched off.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Cache, cached};
use tokio::sync::Semaphore;

use crate::backends::{Setup, on_each_backend};

/// More than there are loads at a time.
const PERMITS: usize = 1_000;

/// A service whose loads wait for the test's permission.
#[derive(Clone)]
struct Service {
    cache: Cache,
    runs: Arc<AtomicU32>,
    gate: Arc<Semaphore>,
    fails: Arc<AtomicBool>,
}

impl Service {
    fn new(cache: &Cache) -> Self {
        let gate = Arc::new(Semaphore::new(PERMITS));
        Self { cache: cache.clone(), runs: Arc::default(), gate, fails: Arc::default() }
    }

    /// Holds all loads back until the guard is dropped.
    async fn hold(&self) -> impl Drop + use<> {
        struct Held(Option<tokio::sync::OwnedSemaphorePermit>);
        impl Drop for Held {
            fn drop(&mut self) {
                drop(self.0.take());
            }
        }
        let all = u32::try_from(PERMITS).unwrap();
        Held(Some(Arc::clone(&self.gate).acquire_many_owned(all).await.unwrap()))
    }

    async fn run(&self) -> Result<u32, String> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.acquire().await);
        if self.fails.load(Ordering::SeqCst) { Err(format!("run {run} failed")) } else { Ok(run) }
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    /// Waits until so many loads have begun.
    async fn begun(&self, runs: u32) {
        until(|| self.runs() >= runs).await;
    }

    #[cached(ttl = 10, key = "swr:<id>", stale_while_revalidate = 60, cache = self.cache)]
    async fn revalidated(&self, id: u32) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(ttl = 10, key = "sie:<id>", stale_if_error = 60, cache = self.cache)]
    async fn forgiving(&self, id: u32) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(ttl = 10, key = "ahead:<id>", refresh_ahead = 0.8, cache = self.cache)]
    async fn ahead(&self, id: u32) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(ttl = 10, key = "soft:<id>", stale_if_error = 60, soft_timeout = "50ms", cache = self.cache)]
    async fn impatient(&self, id: u32) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(ttl = 10, key = "detached:<id>", detached, cache = self.cache)]
    async fn detached(&self, id: u32) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(ttl = 10, key = "sliding:<id>", sliding, cache = self.cache)]
    async fn sliding(&self, id: u32) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(ttl = 10, key = "negative:<id>", negative_ttl = 3, cache = self.cache)]
    async fn negative(&self, id: u32) -> Result<Option<u32>, String> {
        let run = self.run().await?;
        Ok((id > 0).then_some(run))
    }

    /// A value until it is gone.
    #[cached(ttl = 10, key = "vanishing:<id>", stale_while_revalidate = 60, cache = self.cache, companions(refresh))]
    async fn vanishing(&self, id: u32) -> Result<Option<u32>, String> {
        let _ = id;
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        Ok((!self.fails.load(Ordering::SeqCst)).then_some(run))
    }

    #[cached(key = "here:<id>", near, cache = self.cache, companions(peek))]
    async fn here(&self, id: u32) -> u32 {
        let _ = id;
        self.runs.fetch_add(1, Ordering::SeqCst)
    }

    #[cached(ttl = 10, key = "by_value:<ttl>", ttl_with = |value: &(u32, u64)| value.1, cache = self.cache)]
    async fn token(&self, ttl: u64) -> Result<(u32, u64), String> {
        Ok((self.run().await?, ttl))
    }

    #[cached(ttl = 10, key = "when:<id>", when = id > 0, unless = |value| value % 2 == 1, cache = self.cache)]
    async fn picky(&self, id: u32) -> Result<u32, String> {
        self.run().await
    }
}

/// Polls a condition that another task brings about.
async fn until(holds: impl Fn() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(tokio::time::Instant::now() < limit, "it never came about");
        tokio::time::sleep(Duration::from_millis(1)).await; // lets the other task run
    }
}

on_each_backend!(
    a_refresh_that_finds_nothing_drops_the_value,
    an_error_is_answered_with_the_last_good_value_to_those_who_waited,
    a_value_that_dies_while_a_slow_load_runs_is_not_served,
    peeking_finds_values_that_are_only_here,
    a_stale_value_is_served_while_one_refresh_runs,
    a_stale_value_is_not_served_past_its_window,
    an_invalidated_value_is_not_served_stale,
    an_error_is_answered_with_the_last_good_value,
    after_a_failure_the_upstream_rests,
    a_hit_late_in_the_ttl_refreshes,
    a_slow_load_is_answered_with_the_stale_value,
    those_who_wait_for_a_slow_load_get_the_stale_value_too,
    a_detached_load_outlives_its_caller,
    a_panic_in_a_detached_load_reaches_its_caller,
    a_hit_slides_the_ttl,
    none_is_cached_under_its_own_ttl,
    a_ttl_may_come_from_the_value,
    when_and_unless_decide,
    scopes_switch_the_cache_off,
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
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(service.forgiving(1).await, Ok(0));
    assert_eq!(service.runs(), 3);
    service.fails.store(false, Ordering::SeqCst);
    setup.clock.advance(Duration::from_secs(1));
    assert_eq!(service.forgiving(1).await, Ok(3));
}

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
        while !lives(&setup.cache, "sliding:1", &setup).await {
            left -= 1;
            assert!(left > 0, "the life was not lengthened");
            tokio::time::sleep(Duration::from_millis(1)).await; // lets the write end
        }
    }
    setup.clock.advance(Duration::from_secs(10));
    assert_eq!(service.sliding(1).await, Ok(1));
}

/// Whether the stored deadline of an entry is a whole ttl of 10 s ahead.
async fn lives(cache: &Cache, key: &str, setup: &Setup) -> bool {
    let Some(server) = &setup.server else { return cache.exists(key).await.unwrap() };
    let stored: serde_json::Value = serde_json::from_str(&server.cli(&["GET", &format!("app:{key}")])).unwrap();
    stored["fresh"].as_u64().unwrap() >= setup.clock.now() + 9_900
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

async fn peeking_finds_values_that_are_only_here(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.peek_here(1).await, None);
    assert_eq!(service.here(1).await, 0);
    assert_eq!(service.peek_here(1).await, Some(0));
    service.invalidate_here(1).await.unwrap();
    assert_eq!(service.peek_here(1).await, None);
}
