//! Past the ttl, near its end, and switched off.

mod lengths;
mod lifetimes;
mod patience;
mod stale;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Cache, cached};
use tokio::sync::Semaphore;

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

    #[cached(ttl = 10, key = "sliding_here:<id>", sliding, near, cache = self.cache)]
    async fn sliding_here(&self, id: u32) -> u32 {
        let _ = id;
        self.runs.fetch_add(1, Ordering::SeqCst)
    }

    #[cached(ttl = 10, key = "nobody_here", negative_ttl = 3, near, cache = self.cache)]
    async fn nobody_here(&self) -> Option<fn()> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        None
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
    until_async(async || holds()).await;
}

/// The same where looking takes a call.
async fn until_async(holds: impl AsyncFn() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(tokio::time::Instant::now() < limit, "it never came about");
        tokio::time::sleep(Duration::from_millis(1)).await; // lets the other task run
    }
}
