//! A service with a database whose rows change, and a cache in front of it.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cache_runtime::{Backend, BreakerState, BreakerStats, Builder, Cache, RedisConfig, cached};
use cache_test_support::RedisServer;
use secrecy::SecretString;

/// How many failures in a row open the breaker in these tests.
pub const THRESHOLD: u32 = 3;

pub struct Service {
    pub cache: Cache,
    rows: Mutex<HashMap<u32, u64>>,
    runs: AtomicU64,
}

impl Service {
    pub async fn new(builder: Builder) -> Self {
        Self::of(builder.build().await.unwrap())
    }

    pub fn of(cache: Cache) -> Self {
        Self { cache, rows: Mutex::default(), runs: AtomicU64::new(0) }
    }

    /// The number in a row of the database.
    #[cached(ttl = 3600, key = "row:<id>", cache = self.cache)]
    pub async fn row(&self, id: u32) -> Result<u64, String> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        Ok(self.in_database(id))
    }

    /// The same, with a load during which others call.
    #[cached(ttl = 3600, key = "slow:<id>", cache = self.cache)]
    pub async fn slow_row(&self, id: u32) -> Result<u64, String> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        Ok(self.in_database(id))
    }

    fn in_database(&self, id: u32) -> u64 {
        self.rows.lock().unwrap().get(&id).copied().unwrap_or(0)
    }

    /// Changes a row, and tells the cache. Whether that was acknowledged is for the test to say.
    pub async fn write(&self, id: u32, value: u64) -> cache_runtime::Result<()> {
        self.changes_elsewhere(id, value);
        self.invalidate_row(id).await
    }

    /// Another process changes a row; this one's cache is not told.
    pub fn changes_elsewhere(&self, id: u32, value: u64) {
        self.rows.lock().unwrap().insert(id, value);
    }

    /// A call is answered with what the database holds now.
    pub async fn answers(&self, id: u32) {
        assert_eq!(self.row(id).await, Ok(self.in_database(id)));
    }

    /// How often the function has run.
    pub fn runs(&self) -> u64 {
        self.runs.load(Ordering::SeqCst)
    }

    /// The next call of this row is answered without the function.
    pub async fn hits(&self, id: u32) {
        let before = self.runs();
        self.answers(id).await;
        assert_eq!(self.runs(), before, "the function ran");
    }

    pub async fn breaker(&self) -> BreakerStats {
        self.cache.stats().await.breaker.unwrap()
    }

    pub async fn state(&self) -> BreakerState {
        self.breaker().await.state
    }

    pub async fn pending(&self) -> usize {
        self.cache.stats().await.pending_invalidations
    }

    /// Calls until the breaker is open. Each is answered by the function.
    pub async fn calls_until_open(&self) {
        for _ in 0..3 * THRESHOLD {
            self.answers(1000).await;
            if self.state().await != BreakerState::Closed {
                return;
            }
        }
        panic!("the breaker stays closed");
    }

    /// Calls run the function at once: nothing is sent.
    pub async fn is_not_held_up(&self) {
        let (refused, runs) = (self.breaker().await.refused, self.runs());
        for id in 0..20 {
            self.answers(id).await;
        }
        assert_eq!(self.runs(), runs + 20);
        assert!(self.breaker().await.refused >= refused + 20, "each call was refused, none was waited for");
    }

    /// Waits until the server is asked again. What was pending has landed by then.
    pub async fn recovers(&self) {
        eventually("the breaker closes", || async { self.state().await == BreakerState::Closed }).await;
        assert_eq!(self.pending().await, 0, "what was pending comes before the reads");
        // What was retired with the outage may cost one more call its answer, not its value.
        eventually("the cache is used again", || async {
            self.answers(1).await;
            let before = self.runs();
            self.answers(1).await;
            self.runs() == before
        })
        .await;
    }
}

/// A cache of a server, or of a proxy in front of it.
pub fn through(port: u16, password: &str) -> Builder {
    let mut redis = RedisConfig::default();
    redis.port = port;
    redis.password = Some(SecretString::from(password.to_owned()));
    // Long enough for a busy machine; short enough for tests in which it passes.
    redis.operation_timeout = Duration::from_millis(300);
    Cache::builder()
        .backend(Backend::Redis)
        .namespace("app")
        .redis(redis)
        .circuit_breaker(THRESHOLD, Duration::from_millis(20))
}

pub fn on(server: &RedisServer) -> Builder {
    through(server.port(), server.password())
}

/// Waits for what follows by itself. The bound is reached only by a failure.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let began = Instant::now();
    while !holds().await {
        assert!(began.elapsed() < Duration::from_secs(20), "in vain waited for: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await; // between two looks
    }
}
