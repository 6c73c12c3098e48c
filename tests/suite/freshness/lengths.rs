//! Each way to choose a ttl, together with answers past it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use cache_runtime::{Cache, cached};

use super::until_async;
use crate::backends::{Setup, on_each_backend};

#[derive(Clone)]
struct Source {
    cache: Cache,
    runs: Arc<AtomicU32>,
    fails: Arc<AtomicBool>,
}

impl Source {
    fn new(cache: &Cache) -> Self {
        Self { cache: cache.clone(), runs: Arc::default(), fails: Arc::default() }
    }

    fn run(&self) -> Result<u32, String> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) { Err(format!("run {run} failed")) } else { Ok(run) }
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    fn fail(&self) {
        self.fails.store(true, Ordering::SeqCst);
    }

    #[cached(ttl = 10, key = "nobody", negative_ttl = 3, stale_if_error = 60, cache = self.cache)]
    async fn nobody(&self) -> Result<Option<u32>, String> {
        self.run().map(|_| None)
    }

    #[cached(
        ttl = 10,
        key = "token:<lives>",
        ttl_with = |token: &(u32, u64)| token.1,
        stale_while_revalidate = 60,
        refresh_ahead = 0.5,
        cache = self.cache
    )]
    async fn token(&self, lives: u64) -> Result<(u32, u64), String> {
        Ok((self.run()?, lives))
    }

    #[cached(ttl = 10, key = "spread:<id>", jitter = 0.5, stale_if_error = 60, cache = self.cache)]
    async fn spread(&self, id: u32) -> Result<u32, String> {
        self.run().map(|_| id)
    }
}

on_each_backend!(
    a_cached_none_stands_in_for_an_error,
    a_ttl_from_the_value_is_refreshed_ahead_and_served_stale,
    a_shortened_ttl_keeps_its_whole_window,
);

async fn a_cached_none_stands_in_for_an_error(setup: Setup) {
    let source = Source::new(&setup.cache);
    assert_eq!(source.nobody().await, Ok(None));
    source.fail();
    setup.clock.advance(Duration::from_millis(2_999));
    assert_eq!((source.nobody().await, source.runs()), (Ok(None), 1));
    setup.clock.advance(Duration::from_millis(1));
    assert_eq!((source.nobody().await, source.runs()), (Ok(None), 2));
    // The window begins where its own ttl ended.
    setup.clock.advance(Duration::from_millis(59_999));
    assert_eq!(source.nobody().await, Ok(None));
    setup.clock.advance(Duration::from_secs(1));
    assert!(source.nobody().await.is_err());
}

async fn a_ttl_from_the_value_is_refreshed_ahead_and_served_stale(setup: Setup) {
    let source = Source::new(&setup.cache);
    assert_eq!(source.token(4).await, Ok((0, 4)));
    setup.clock.advance(Duration::from_millis(1_999));
    assert_eq!((source.token(4).await, source.runs()), (Ok((0, 4)), 1));
    // Half of its own ttl has passed.
    setup.clock.advance(Duration::from_millis(1));
    assert_eq!(source.token(4).await, Ok((0, 4)));
    until_async(async || source.token(4).await == Ok((1, 4))).await;
    setup.clock.advance(Duration::from_secs(4));
    assert_eq!(source.token(4).await, Ok((1, 4)));
    until_async(async || source.token(4).await == Ok((2, 4))).await;
    source.fail();
    setup.clock.advance(Duration::from_secs(63));
    assert_eq!(source.token(4).await, Ok((2, 4)));
    setup.clock.advance(Duration::from_secs(1));
    assert!(source.token(4).await.is_err());
}

async fn a_shortened_ttl_keeps_its_whole_window(setup: Setup) {
    const IDS: u32 = 40;
    let source = Source::new(&setup.cache);
    let all_are = async |good: bool| {
        for id in 0..IDS {
            assert_eq!(source.spread(id).await.is_ok(), good, "{id}");
        }
    };
    all_are(true).await;
    source.fail();
    // Between 5 s and 10 s, each at its own time.
    setup.clock.advance(Duration::from_millis(7_500));
    all_are(true).await;
    let ended = source.runs() - IDS;
    assert!((1..IDS).contains(&ended), "{ended} of {IDS} have ended");
    setup.clock.advance(Duration::from_millis(57_499));
    all_are(true).await;
    setup.clock.advance(Duration::from_millis(5_001));
    all_are(false).await;
}
