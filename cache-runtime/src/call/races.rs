//! Races between two processes that the coherence checker has found or that its findings led to,
//! each played step by step.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use crate::{Backend, Cache, Clock, store::gated::Gated};

/// Two processes on one server.
async fn two_processes() -> (Cache, Cache, Arc<Gated>) {
    let clock = Clock::manual();
    let store = Arc::new(Gated::new(clock.clone()));
    // Nothing is kept near, as with Redis alone.
    let build = || Cache::builder().backend(Backend::Redis).clock(clock.clone()).store(Arc::clone(&store) as _).build();
    (build().await.unwrap(), build().await.unwrap(), store)
}

async fn load(cache: &Cache, version: u32) -> u32 {
    cache.get_or_load("n", || async move { Ok::<_, String>(version) }).tags(["t"]).await.unwrap()
}

async fn until_nothing_is_pending(cache: &Cache) {
    while cache.stats().await.pending_invalidations > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_was_read_before_a_pending_invalidation_landed_is_not_served_after_it() {
    let (cache, _, store) = two_processes().await;
    cache.set("n", &1).tags(["t"]).await.unwrap();
    for tag in [false, true] {
        load(&cache, 1).await;
        store.unreachable.store(true, Ordering::SeqCst);
        let refused = if tag { cache.invalidate_tag("t").await } else { cache.delete("n").await.map(drop) };
        assert!(refused.is_err());
        store.reads.close();
        let before = cache.clone();
        let reader = tokio::spawn(async move { before.get::<u32>("n").await.unwrap() });
        store.reads.until_held(if tag { 2 } else { 1 }).await;
        store.unreachable.store(false, Ordering::SeqCst);
        until_nothing_is_pending(&cache).await;
        store.reads.open();
        assert_eq!(reader.await.unwrap(), None, "by tag: {tag}");
    }
}
