//! Races between two processes, each played step by step: some that the coherence checker has found or that its
//! findings led to, and one for each rule of the protocol that calls keep.

use std::{
    future::Future,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
};

use super::{Enter, enter};
use crate::{
    __private::{Function, Inner as _, KeyWriter, L1, Plan, batch, stored, stored_each},
    Backend, Cache, Clock, Result,
    policy::Policy,
    store::gated::Gated,
};

mod freshness;
mod joining;
mod pending;
mod under_way;
mod waiting;

/// Two processes on one server.
async fn two_processes() -> (Cache, Cache, Arc<Gated>) {
    let (here, there, store, _) = two_processes_and_clock().await;
    (here, there, store)
}

async fn two_processes_and_clock() -> (Cache, Cache, Arc<Gated>, Clock) {
    let clock = Clock::manual();
    let store = Arc::new(Gated::new(clock.clone()));
    // Nothing is kept near, as with Redis alone.
    let build = || Cache::builder().backend(Backend::Redis).clock(clock.clone()).store(Arc::clone(&store) as _).build();
    (build().await.unwrap(), build().await.unwrap(), store, clock)
}

/// Two processes that keep values near and hear nothing of each other, and what is between them and their server.
async fn with_near() -> (Cache, Cache, Arc<Gated>) {
    let clock = Clock::manual();
    let store = Arc::new(Gated::new(clock.clone()));
    let build = || Cache::builder().clock(clock.clone()).store(Arc::clone(&store) as _).build();
    (build().await.unwrap(), build().await.unwrap(), store)
}

async fn load(cache: &Cache, version: u32) -> u32 {
    cache.get_or_load("n", || async move { Ok::<_, String>(version) }).tags(["t"]).await.unwrap()
}

/// A call in a task of its own that would load this.
fn spawn_load(cache: &Cache, version: u32) -> JoinHandle<u32> {
    let cache = cache.clone();
    tokio::spawn(async move { load(&cache, version).await })
}

static EACH: Function = Function::new(Plan { name: "each", ..Plan::DEFAULT });

/// A call for many keys, each of which would be loaded as this.
async fn call_each(cache: &Cache, keys: &[&'static str], version: u32) -> Vec<u32> {
    let shape = L1::<Result<Vec<(usize, u32)>, String>>::NEW.outer().inner().errors();
    let write = |key: &mut KeyWriter, index: &usize| key.arg(index);
    let write_key = |key: &mut KeyWriter, index: &usize| key.literal(keys[*index]);
    let call = batch(shape, stored_each(shape), &EACH, cache, (0..keys.len()).collect(), write_key, write, write);
    let call = call.tag(|tag, _| tag.literal("t"));
    let all = call.load(async |ids| Ok(ids.into_iter().map(|index| (index, version)).collect())).await;
    all.unwrap().into_iter().map(|(_, version)| version).collect()
}

/// As [`spawn_load`], alone or in a batch.
fn spawn_one_or_many(cache: &Cache, version: u32, is_batch: bool) -> JoinHandle<u32> {
    if !is_batch {
        return spawn_load(cache, version);
    }
    let cache = cache.clone();
    tokio::spawn(async move { call_each(&cache, &["n"], version).await[0] })
}

/// Returns once so many calls have missed. Each of them has its place in the flight by then: on the one thread of a
/// test nothing is awaited in between.
async fn until_missed(cache: &Cache, calls: u64) {
    while cache.stats().await.total.misses < calls {
        tokio::task::yield_now().await;
    }
}

/// What is invalidated; each of them names what [`load`] loads.
const TARGETS: [&str; 4] = ["key", "tag", "pattern", "namespace"];

async fn invalidate(cache: &Cache, target: &str) -> Result<()> {
    match target {
        "key" => cache.delete("n").await.map(drop),
        "tag" => cache.invalidate_tag("t").await,
        "pattern" => cache.delete_pattern("n*").await.map(drop),
        _ => cache.clear().await,
    }
}

async fn until_nothing_is_pending(cache: &Cache) {
    while cache.stats().await.pending_invalidations > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await; // lets the retry run
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

#[tokio::test]
async fn an_invalidation_whose_caller_went_away_half_way_is_kept_until_it_lands() {
    let (cache, _, store) = two_processes().await;
    cache.set("n", &1).await.unwrap();
    store.invalidations.close();
    let deleting = cache.clone();
    let deleting = tokio::spawn(async move { deleting.delete("n").await });
    store.invalidations.until_held(1).await;
    assert_eq!(cache.stats().await.pending_invalidations, 0);
    deleting.abort();
    assert!(deleting.await.unwrap_err().is_cancelled());
    assert_eq!(cache.stats().await.pending_invalidations, 1, "nobody knows whether it was done");
    store.invalidations.open();
    until_nothing_is_pending(&cache).await;
    assert_eq!(cache.get::<u32>("n").await.unwrap(), None);
}

#[tokio::test]
async fn more_failed_invalidations_than_are_kept_move_the_namespaces_stamp() {
    const MANY: usize = 1_500;
    let (here, there, store) = two_processes().await;
    there.set("other", &1).await.unwrap();
    store.unreachable.store(true, Ordering::SeqCst);
    for n in 0..MANY {
        assert!(here.delete(format!("n{n}")).await.is_err());
    }
    assert!(here.stats().await.pending_invalidations < MANY, "so many are not kept");
    assert_eq!(here.get::<u32>("other").await.unwrap(), None, "it may be one that was to go");
    assert_eq!(there.get::<u32>("other").await.unwrap(), Some(1));
    store.unreachable.store(false, Ordering::SeqCst);
    until_nothing_is_pending(&here).await;
    assert_eq!(there.get::<u32>("other").await.unwrap(), None);
}

#[tokio::test]
async fn what_a_process_that_died_could_not_invalidate_is_bounded_by_its_ttl() {
    let (here, there, store, clock) = two_processes_and_clock().await;
    there.set("n", &1).ttl(60).await.unwrap();
    store.unreachable.store(true, Ordering::SeqCst);
    assert!(here.delete("n").await.is_err());
    drop(here);
    store.unreachable.store(false, Ordering::SeqCst);
    a_moment().await;
    assert_eq!(there.get::<u32>("n").await.unwrap(), Some(1), "nobody is left to retry it");
    clock.advance(Duration::from_secs(60));
    assert_eq!(there.get::<u32>("n").await.unwrap(), None);
}

/// Long enough for a task that can go on to do so; too short a time hides a fault and fails no test.
async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::test]
async fn a_call_that_starts_while_a_fill_is_under_way_does_not_join_its_load() {
    let (here, there, store) = two_processes().await;
    store.fills.close();
    let loaded = Arc::new(Notify::new());
    let spawn = |version: u32, ready: Arc<Notify>| {
        let here = here.clone();
        tokio::spawn(async move {
            let load = here.get_or_load("n", || async move {
                ready.notified().await;
                Ok::<_, String>(version)
            });
            load.await.unwrap()
        })
    };
    let leader = spawn(1, Arc::clone(&loaded));
    a_moment().await;
    // With somebody waiting for it, the leader has an outcome to give.
    let waiter = spawn(1, Arc::clone(&loaded));
    a_moment().await;
    loaded.notify_one();
    // The fill is done, and its answer on the way.
    store.fills.until_held(1).await;
    there.delete("n").await.unwrap();
    loaded.notify_one();
    let after = spawn(2, loaded);
    a_moment().await;
    store.fills.open();
    assert_eq!([leader.await.unwrap(), waiter.await.unwrap(), after.await.unwrap()], [1, 1, 2]);
}

/// A second of ttl, and a minute in which the value is better than an error.
const FORGIVING_POLICY: Policy =
    Policy { ttl: Some(Duration::from_secs(1)), stale_if_error: Some(Duration::from_secs(60)), ..Policy::DEFAULT };

static FORGIVING: Function = Function::new(Plan { name: "forgiving", policy: FORGIVING_POLICY, ..Plan::DEFAULT });

static TAGGED: Function = Function::new(Plan { name: "tagged", ..Plan::DEFAULT });

/// Of a function whose errors can be shared.
async fn call_tagged(cache: &Cache, load: impl Future<Output = Result<u32, String>>) -> Result<u32, String> {
    let shape = L1::<Result<u32, String>>::NEW.outer().inner().errors();
    match enter(shape, stored(shape), &TAGGED, cache, |key| key.literal("n")) {
        Enter::Hit(value) | Enter::Stale(value, _) => value,
        Enter::Miss(call) => call.tag(|tag| tag.literal("t")).load(load).await,
    }
}

/// A load that has begun and ends when it is told to.
async fn begin_load(cache: &Cache) -> (JoinHandle<Result<u32, String>>, oneshot::Sender<Result<u32, String>>) {
    let (begun, (end, ended), cache) = (Arc::new(Notify::new()), oneshot::channel(), cache.clone());
    let load = {
        let begun = Arc::clone(&begun);
        async move {
            begun.notify_one();
            ended.await.unwrap()
        }
    };
    let leader = tokio::spawn(async move { call_tagged(&cache, load).await });
    begun.notified().await;
    (leader, end)
}

async fn call(function: &'static Function, cache: &Cache, loaded: Result<u32, String>) -> Result<u32, String> {
    let shape = L1::<Result<u32, String>>::NEW.outer().inner().errors();
    match enter(shape, stored(shape), function, cache, |key| key.literal("n")) {
        Enter::Hit(value) | Enter::Stale(value, _) => value,
        Enter::Miss(call) => call.load(async { loaded }).await,
    }
}

#[tokio::test]
async fn a_stale_value_instead_of_an_error_is_not_for_callers_who_came_after_it_was_read() {
    let (here, there, store, clock) = two_processes_and_clock().await;
    assert_eq!(call(&FORGIVING, &here, Ok(1)).await, Ok(1));
    clock.advance(Duration::from_secs(2));
    store.leases.close();
    let first = tokio::spawn({
        let here = here.clone();
        async move { call(&FORGIVING, &here, Err("down".into())).await }
    });
    // It has read the stale value, and its load has not begun.
    store.leases.until_held(1).await;
    there.delete("n").await.unwrap();
    let second = tokio::spawn(async move { call(&FORGIVING, &here, Ok(2)).await });
    a_moment().await;
    store.leases.open();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(1), Ok(2)));
}
