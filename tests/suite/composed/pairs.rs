//! Two options at a time: what each pair means where they meet.

use std::{collections::HashMap, sync::atomic::Ordering, time::Duration};

use cache_runtime::{Cache, cached};

use super::{How, Service, soon, wait_until};
use crate::backends::{Setup, on_each_backend};

const ALL: [How; 4] = [How::One, How::Many, How::Here, How::ManyHere];

impl Service {
    #[cached(
        key = "nobody",
        ttl = 100,
        negative_ttl = 10,
        stale_while_revalidate = 10,
        stale_if_error = 50,
        refresh_ahead = 0.8,
        detached,
        cache = self.cache
    )]
    async fn nobody(&self) -> Result<Option<u32>, String> {
        self.run().await.map(|_| None)
    }

    #[cached(
        key = "token",
        ttl_with = |token: &(u32, u64)| token.1,
        sliding,
        cache = self.cache
    )]
    async fn token(&self) -> Result<(u32, u64), String> {
        Ok((self.run().await?, 10))
    }

    #[cached(
        key = "first",
        ttl = 10,
        unless = |run| *run > 0,
        stale_while_revalidate = 50,
        cache = self.cache
    )]
    async fn first(&self) -> Result<u32, String> {
        self.run().await
    }

    #[cached(
        each = ids,
        key = "first:<ids>",
        ttl = 10,
        unless = |run| *run > 0,
        stale_while_revalidate = 50,
        cache = self.cache
    )]
    async fn each_first(&self, ids: &[u64]) -> Result<HashMap<u64, u32>, String> {
        let run = self.run().await?;
        Ok(ids.iter().map(|id| (*id, run)).collect())
    }

    #[cached(key = "left:<id>", ttl = 10, stale_if_error = 50, detached, cache = self.cache)]
    async fn left(&self, id: u64) -> Result<u32, String> {
        let _ = id;
        self.run().await
    }

    #[cached(each = ids, key = "left:<ids>", ttl = 10, stale_if_error = 50, detached, cache = self.cache)]
    async fn each_left(&self, ids: Vec<u64>) -> Result<HashMap<u64, u32>, String> {
        let run = self.run().await?;
        Ok(ids.iter().map(|id| (*id, run)).collect())
    }
}

on_each_backend!(
    an_absence_is_refreshed_ahead_and_stands_in_for_an_error,
    a_ttl_from_the_value_slides,
    values_of_many_ids_slide,
    a_refreshed_value_that_is_not_to_be_cached_takes_the_old_one_with_it,
    a_refreshed_batch_that_is_not_to_be_cached_takes_the_old_one_with_it,
    where_the_cache_is_switched_off_no_stale_value_is_the_answer,
    an_invalidation_keeps_what_a_refresh_brings_out,
    a_refresh_that_panics_is_followed_by_another,
    after_a_refresh_that_failed_the_upstream_rests,
    a_detached_load_that_fails_without_its_caller_lets_the_key_rest,
    a_detached_batch_that_fails_without_its_caller_lets_its_keys_rest,
);

async fn an_absence_is_refreshed_ahead_and_stands_in_for_an_error(setup: Setup) {
    let service = Service::new(&setup.cache);
    let advance = |seconds| setup.clock.advance(Duration::from_secs(seconds));
    assert_eq!(service.nobody().await, Ok(None));
    advance(7);
    assert_eq!((service.nobody().await, service.runs()), (Ok(None), 1));
    advance(1);
    assert_eq!(service.nobody().await, Ok(None));
    service.begun(2).await;
    advance(3);
    let stale = async || setup.cache.stats().await.total.stale;
    wait_until(async || {
        let before = stale().await;
        service.nobody().await == Ok(None) && stale().await == before
    })
    .await;
    service.begun(2).await;
    service.fails.store(true, Ordering::SeqCst);
    advance(11);
    service.begun_by(3, async || assert_eq!(service.nobody().await, Ok(None))).await;
    wait_until(async || setup.cache.stats().await.total.load_errors == 1).await;
    // Past the window in which it is served at once, in the one for errors, and past both.
    advance(20);
    assert_eq!((service.nobody().await, service.runs()), (Ok(None), 4));
    advance(31);
    assert!(service.nobody().await.is_err());
}

async fn a_ttl_from_the_value_slides(setup: Setup) {
    let service = Service::new(&setup.cache);
    for _ in 0..4 {
        assert_eq!(service.token().await, Ok((0, 10)));
        wait_until(async || setup.lives_a_whole_ttl("token").await).await;
        setup.clock.advance(Duration::from_secs(7));
    }
    setup.clock.advance(Duration::from_secs(3));
    assert_eq!(service.token().await, Ok((1, 10)));
}

async fn values_of_many_ids_slide(setup: Setup) {
    let service = Service::new(&setup.cache);
    let slid = async |ids: &[u64]| {
        for id in ids {
            wait_until(async || setup.lives_a_whole_ttl(&format!("slide:{id}")).await).await;
        }
    };
    let both = HashMap::from([(1, 0), (2, 0)]);
    assert_eq!(service.slide_each(&[1, 2]).await, Ok(both.clone()));
    for _ in 0..4 {
        setup.clock.advance(Duration::from_secs(4));
        assert_eq!(service.slide_each(&[1, 2]).await, Ok(both.clone()));
        slid(&[1, 2]).await;
    }
    // Each by itself.
    setup.clock.advance(Duration::from_secs(6));
    assert_eq!(service.slide_each(&[1]).await, Ok(HashMap::from([(1, 0)])));
    slid(&[1]).await;
    setup.clock.advance(Duration::from_secs(6));
    assert_eq!(service.slide_each(&[1, 2]).await, Ok(HashMap::from([(1, 0), (2, 1)])));
}

async fn a_refreshed_value_that_is_not_to_be_cached_takes_the_old_one_with_it(setup: Setup) {
    let service = Service::new(&setup.cache);
    assert_eq!(service.first().await, Ok(0));
    setup.clock.advance(Duration::from_secs(11));
    assert_eq!(service.first().await, Ok(0));
    service.begun(2).await;
    // A refresh that begins while the old one is dropped may go with it.
    wait_until(async || service.first().await.is_ok_and(|run| run > 1)).await;
}

async fn a_refreshed_batch_that_is_not_to_be_cached_takes_the_old_one_with_it(setup: Setup) {
    let service = Service::new(&setup.cache);
    let all = |run| Ok(HashMap::from([(1, run), (2, run)]));
    assert_eq!(service.each_first(&[1, 2]).await, all(0));
    setup.clock.advance(Duration::from_secs(11));
    assert_eq!(service.each_first(&[1, 2]).await, all(0));
    service.begun(2).await;
    // Both are gone, one after the other.
    wait_until(async || service.each_first(&[1, 2]).await.unwrap().values().all(|run| *run > 1)).await;
}

async fn where_the_cache_is_switched_off_no_stale_value_is_the_answer(setup: Setup) {
    for how in ALL {
        let service = Service::new(&setup.cache);
        assert_eq!(service.call(how).await, Ok(0));
        service.fails.store(true, Ordering::SeqCst);
        setup.clock.advance(Duration::from_secs(11));
        assert_eq!(Cache::bypass(service.call(how)).await, Err("run 1 failed".to_owned()));
        assert_eq!(Cache::disabled(service.call(how)).await, Err("run 2 failed".to_owned()));
        // It is still there for the others.
        assert_eq!(service.call(how).await, Ok(0));
    }
}

async fn an_invalidation_keeps_what_a_refresh_brings_out(setup: Setup) {
    for how in ALL {
        let service = Service::new(&setup.cache);
        assert_eq!(service.call(how).await, Ok(0));
        setup.clock.advance(Duration::from_secs(11));
        let held = service.gate.acquire().await.unwrap();
        assert_eq!(soon(service.call(how)).await, Ok(0));
        service.begun(2).await;
        service.invalidate(how).await;
        drop(held);
        assert_eq!(service.call(how).await, Ok(2));
        assert_eq!(service.call(how).await, Ok(2));
    }
}

async fn a_refresh_that_panics_is_followed_by_another(setup: Setup) {
    for how in ALL {
        let service = Service::new(&setup.cache);
        assert_eq!(service.call(how).await, Ok(0));
        setup.clock.advance(Duration::from_secs(11));
        service.panics.store(true, Ordering::SeqCst);
        let held = service.gate.acquire().await.unwrap();
        assert_eq!(soon(service.call(how)).await, Ok(0));
        service.begun(2).await;
        drop(held);
        service.answers(how, 2).await;
    }
}

async fn after_a_refresh_that_failed_the_upstream_rests(setup: Setup) {
    for how in ALL {
        let service = Service::new(&setup.cache);
        assert_eq!(service.call(how).await, Ok(0));
        service.fails.store(true, Ordering::SeqCst);
        setup.clock.advance(Duration::from_secs(11));
        let errors = setup.cache.stats().await.total.load_errors;
        for runs in 2..4 {
            for _ in 0..3 {
                service.begun_by(runs, async || assert_eq!(service.call(how).await, Ok(0))).await;
                wait_until(async || setup.cache.stats().await.total.load_errors == errors + u64::from(runs) - 1).await;
            }
            setup.clock.advance(Duration::from_secs(1));
        }
    }
}

async fn a_detached_load_that_fails_without_its_caller_lets_the_key_rest(setup: Setup) {
    let service = Service::new(&setup.cache);
    fails_without_its_caller(&setup, &service, async |service| service.left(1).await).await;
}

async fn a_detached_batch_that_fails_without_its_caller_lets_its_keys_rest(setup: Setup) {
    let service = Service::new(&setup.cache);
    fails_without_its_caller(&setup, &service, async |service| service.each_left(vec![1, 2]).await).await;
}

async fn fails_without_its_caller<R, F>(setup: &Setup, service: &Service, call: impl Fn(Service) -> F)
where
    R: PartialEq + std::fmt::Debug + Send + 'static,
    F: Future<Output = Result<R, String>> + Send + 'static,
{
    let first = call(service.clone()).await.unwrap();
    setup.clock.advance(Duration::from_secs(11));
    service.fails.store(true, Ordering::SeqCst);
    let held = service.gate.acquire().await.unwrap();
    let caller = tokio::spawn(call(service.clone()));
    service.begun(2).await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    drop(held);
    wait_until(async || setup.cache.stats().await.total.load_errors == 1).await;
    // A moment after the failure the stale value is the answer, and nobody tries again.
    assert_eq!((call(service.clone()).await, service.runs()), (Ok(first), 2));
}

/// Answers from near, one after the other: the first refreshes, and the others leave that to it.
#[tokio::test]
async fn hits_near_ask_the_server_nothing_while_a_refresh_runs() {
    const HITS: u64 = 50;
    let setup = Setup::tiered().await;
    for how in [How::One, How::Many] {
        let service = Service::new(&setup.cache);
        assert_eq!(service.call(how).await, Ok(0));
        service.is_near(how).await;
        setup.clock.advance(Duration::from_secs(11));
        let held = service.gate.acquire().await.unwrap();
        assert_eq!(soon(service.call(how)).await, Ok(0));
        service.begun(2).await;
        let before = reads(&setup);
        for _ in 0..HITS {
            assert_eq!(soon(service.call(how)).await, Ok(0));
            tokio::time::sleep(Duration::from_millis(1)).await; // what the hit has started goes on
        }
        // A new connection may look at a key or two of its own.
        let asked = reads(&setup) - before;
        assert!(asked < HITS / 4, "{HITS} hits have read {asked} times");
        drop(held);
    }
}

impl Service {
    /// Waits until hits come from this process.
    async fn is_near(&self, how: How) {
        let entries = async || self.cache.stats().await.near_entries;
        let before = entries().await;
        wait_until(async || self.call(how).await == Ok(0) && entries().await > before).await;
    }
}

/// How often the server was asked for values.
fn reads(setup: &Setup) -> u64 {
    let text = setup.server.as_ref().unwrap().cli(&["INFO", "commandstats"]);
    let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_mget:calls="));
    line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or(0)
}
