//! The freshness options together, for one id and for many, stored and kept here, on each backend.

mod pairs;
mod scopes;
mod waiters;
mod windows;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Cache, cached};
use tokio::sync::Semaphore;

use crate::backends::{Setup, on_each_backend};

/// A service whose loads can be held back and made to fail or to panic.
#[derive(Clone)]
struct Service {
    cache: Cache,
    runs: Arc<AtomicU32>,
    gate: Arc<Semaphore>,
    fails: Arc<AtomicBool>,
    /// Once.
    panics: Arc<AtomicBool>,
}

/// A value that has no stored form.
#[derive(Clone)]
struct Here(u32);

#[derive(Clone, Copy)]
enum How {
    One,
    Many,
    /// Only in this process.
    Here,
    ManyHere,
}

impl Service {
    fn new(cache: &Cache) -> Self {
        Self {
            cache: cache.clone(),
            runs: Arc::default(),
            gate: Arc::new(Semaphore::new(1)),
            fails: Arc::default(),
            panics: Arc::default(),
        }
    }

    /// The same service in another process.
    fn with_cache(&self, cache: Cache) -> Self {
        Self { cache, ..self.clone() }
    }

    async fn run(&self) -> Result<u32, String> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        drop(self.gate.acquire().await);
        if self.panics.swap(false, Ordering::SeqCst) {
            // As a panic, without its message in the log.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        if self.fails.load(Ordering::SeqCst) { Err(format!("run {run} failed")) } else { Ok(run) }
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    /// Waits until so many loads have begun; none more has.
    async fn begun(&self, runs: u32) {
        wait_until(async || self.runs() >= runs).await;
        assert_eq!(self.runs(), runs);
    }

    /// Calls until so many loads have begun; none more has.
    ///
    /// 1. The value of a refresh is stored, and seen. 2. A hit is to refresh it. 3. The refresh ends, which keeps
    ///    others away until then.
    async fn begun_by(&self, runs: u32, call: impl AsyncFn()) {
        wait_until(async || {
            call().await;
            self.runs() >= runs
        })
        .await;
        assert_eq!(self.runs(), runs);
    }

    /// Calls until the value of a run is there.
    async fn answers(&self, how: How, run: u32) {
        wait_until(async || self.call(how).await == Ok(run)).await;
    }

    async fn call(&self, how: How) -> Result<u32, String> {
        match how {
            How::One => self.one(1).await,
            How::Many => self.many(&[1, 2]).await.map(|all| all[&1]),
            How::Here => self.here(1).await.map(|Here(run)| run),
            How::ManyHere => self.many_here(&[1, 2]).await.map(|all| all[&1].0),
        }
    }

    async fn invalidate(&self, how: How) {
        let invalidation = match how {
            How::One => self.invalidate_one(1),
            How::Many => self.invalidate_many(&[1, 2]),
            How::Here => self.invalidate_here(1),
            How::ManyHere => self.invalidate_many_here(&[1, 2]),
        };
        invalidation.await.unwrap();
    }

    #[cached(
        key = "all:<id>",
        ttl = 10,
        stale_while_revalidate = 10,
        stale_if_error = 50,
        refresh_ahead = 0.8,
        soft_timeout = "50ms",
        detached,
        cache = self.cache
    )]
    async fn one(&self, id: u64) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(
        each = ids,
        key = "each:<ids>",
        ttl = 10,
        stale_while_revalidate = 10,
        stale_if_error = 50,
        refresh_ahead = 0.8,
        soft_timeout = "50ms",
        detached,
        cache = self.cache
    )]
    async fn many(&self, ids: &[u64]) -> Result<HashMap<u64, u32>, String> {
        let run = self.run().await?;
        Ok(ids.iter().map(|id| (*id, run)).collect())
    }

    #[cached(
        key = "here:<id>",
        near,
        ttl = 10,
        stale_while_revalidate = 10,
        stale_if_error = 50,
        refresh_ahead = 0.8,
        soft_timeout = "50ms",
        detached,
        cache = self.cache
    )]
    async fn here(&self, id: u64) -> Result<Here, String> {
        let _ = id;
        self.run().await.map(Here)
    }

    #[cached(
        each = ids,
        key = "each_here:<ids>",
        near,
        ttl = 10,
        stale_while_revalidate = 10,
        stale_if_error = 50,
        refresh_ahead = 0.8,
        soft_timeout = "50ms",
        detached,
        cache = self.cache
    )]
    async fn many_here(&self, ids: &[u64]) -> Result<HashMap<u64, Here>, String> {
        let run = self.run().await?;
        Ok(ids.iter().map(|id| (*id, Here(run))).collect())
    }

    #[cached(key = "slides:<id>", ttl = 10, sliding, refresh_ahead = 0.8, stale_while_revalidate = 10, cache = self.cache)]
    async fn slides(&self, id: u64) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(each = ids, key = "slide:<ids>", ttl = 10, sliding, stale_if_error = 20, cache = self.cache)]
    async fn slide_each(&self, ids: &[u64]) -> Result<HashMap<u64, u32>, String> {
        let run = self.run().await?;
        Ok(ids.iter().map(|id| (*id, run)).collect())
    }
}

/// Asks again and again for what another task brings about.
async fn wait_until(holds: impl AsyncFn() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(tokio::time::Instant::now() < limit, "it never came about");
        tokio::time::sleep(Duration::from_millis(1)).await; // lets the other task run
    }
}

/// An answer that must not wait for a load that is held back.
async fn soon<T>(call: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), call).await.expect("the call waits for the load")
}

on_each_backend!(
    one_value_has_all_options,
    many_values_have_all_options,
    one_value_that_is_only_here_has_all_options,
    many_values_that_are_only_here_have_all_options,
    one_refresh_runs_in_all_processes,
    one_refresh_of_many_runs_in_all_processes,
    another_processs_load_is_waited_for_no_longer_than_the_soft_timeout,
    another_processs_batch_is_waited_for_no_longer_than_the_soft_timeout,
    a_sliding_value_is_refreshed_ahead_and_served_stale,
    sliding_values_stand_in_for_an_error,
);

async fn one_value_has_all_options(setup: Setup) {
    all_options(setup, How::One).await;
}

async fn many_values_have_all_options(setup: Setup) {
    all_options(setup, How::Many).await;
}

async fn one_value_that_is_only_here_has_all_options(setup: Setup) {
    all_options(setup, How::Here).await;
}

async fn many_values_that_are_only_here_have_all_options(setup: Setup) {
    all_options(setup, How::ManyHere).await;
}

async fn all_options(setup: Setup, how: How) {
    let service = Service::new(&setup.cache);
    let advance = |seconds| setup.clock.advance(Duration::from_secs(seconds));
    assert_eq!(service.call(how).await, Ok(0));
    // In the last fifth of the ttl: a hit, and a refresh.
    advance(8);
    assert_eq!(service.call(how).await, Ok(0));
    service.begun(2).await;
    service.answers(how, 1).await;
    // Past the ttl, at once, although loading is slow and fails.
    let held = service.gate.acquire().await.unwrap();
    service.fails.store(true, Ordering::SeqCst);
    advance(11);
    service.begun_by(3, async || assert_eq!(soon(service.call(how)).await, Ok(1))).await;
    assert_eq!(soon(service.call(how)).await, Ok(1));
    drop(held);
    wait_until(async || service.cache.stats().await.total.load_errors == 1).await;
    // Past the window of that, in the one for errors.
    advance(20);
    assert_eq!(service.call(how).await, Ok(1));
    service.begun(4).await;
    // On a busy machine it may have been answered before its load failed.
    wait_until(async || service.cache.stats().await.total.load_errors == 2).await;
    // A slow load is not waited for, and goes on.
    let held = service.gate.acquire().await.unwrap();
    service.fails.store(false, Ordering::SeqCst);
    advance(2);
    assert_eq!(soon(service.call(how)).await, Ok(1));
    service.begun(5).await;
    drop(held);
    service.answers(how, 4).await;
    // Past all windows.
    service.fails.store(true, Ordering::SeqCst);
    advance(61);
    assert_eq!(service.call(how).await, Err("run 5 failed".to_owned()));
}

async fn one_refresh_runs_in_all_processes(setup: Setup) {
    one_refresh(setup, How::One).await;
}

async fn one_refresh_of_many_runs_in_all_processes(setup: Setup) {
    one_refresh(setup, How::Many).await;
}

async fn one_refresh(setup: Setup, how: How) {
    let first = Service::new(&setup.cache);
    let mut services = vec![first.clone()];
    for _ in 0..3 {
        services.push(first.with_cache(setup.neighbour().await));
    }
    assert_eq!(first.call(how).await, Ok(0));
    setup.clock.advance(Duration::from_secs(11));
    let held = first.gate.acquire().await.unwrap();
    for service in services.iter().chain(&services) {
        assert_eq!(soon(service.call(how)).await, Ok(0));
    }
    first.begun(2).await;
    drop(held);
    for service in &services {
        service.answers(how, 1).await;
    }
    first.begun(2).await;
}

async fn another_processs_load_is_waited_for_no_longer_than_the_soft_timeout(setup: Setup) {
    another_loads(setup, How::One).await;
}

async fn another_processs_batch_is_waited_for_no_longer_than_the_soft_timeout(setup: Setup) {
    another_loads(setup, How::Many).await;
}

async fn another_loads(setup: Setup, how: How) {
    let service = Service::new(&setup.cache);
    let other = service.with_cache(setup.neighbour().await);
    assert_eq!(service.call(how).await, Ok(0));
    // Past the window in which a stale value is served without a load.
    setup.clock.advance(Duration::from_secs(25));
    let held = service.gate.acquire().await.unwrap();
    assert_eq!(soon(other.call(how)).await, Ok(0));
    service.begun(2).await;
    // The one joins another process's load, the other one of its own.
    assert_eq!(soon(service.call(how)).await, Ok(0));
    assert_eq!(soon(other.call(how)).await, Ok(0));
    service.begun(2).await;
    drop(held);
    service.answers(how, 1).await;
    other.answers(how, 1).await;
    service.begun(2).await;
}

async fn a_sliding_value_is_refreshed_ahead_and_served_stale(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.slides(1).await, Ok(0));
    for _ in 0..4 {
        setup.clock.advance(Duration::from_secs(7));
        assert_eq!(service.slides(1).await, Ok(0));
        // On a server the longer life is written beside the caller.
        wait_until(async || setup.lives_a_whole_ttl("slides:1").await).await;
    }
    setup.clock.advance(Duration::from_secs(9));
    assert_eq!(service.slides(1).await, Ok(0));
    service.begun(2).await;
    wait_until(async || service.slides(1).await == Ok(1)).await;
    setup.clock.advance(Duration::from_secs(15));
    let held = service.gate.acquire().await.unwrap();
    service.begun_by(3, async || assert_eq!(soon(service.slides(1)).await, Ok(1))).await;
    drop(held);
}

async fn sliding_values_stand_in_for_an_error(setup: Setup) {
    let service = Service::new(&setup.cache);
    let first = service.slide_each(&[1, 2]).await;
    service.fails.store(true, Ordering::SeqCst);
    setup.clock.advance(Duration::from_secs(11));
    assert_eq!(service.slide_each(&[1, 2]).await, first);
    service.begun(2).await;
    setup.clock.advance(Duration::from_secs(20));
    assert_eq!(service.slide_each(&[1, 2]).await, Err("run 2 failed".to_owned()));
}
