//! Calls while an invalidation is on its way: what they find in the store may still be old.

use super::{super::Call, *};
use crate::__private::{Errors as _, Outer as _};

/// An invalidation that was asked for and has not reached the store.
async fn begin(cache: &Cache, store: &Gated, target: &'static str) -> JoinHandle<()> {
    let cache = cache.clone();
    store.asked.hold_next();
    let held = store.asked.held();
    let invalidating = tokio::spawn(async move { invalidate(&cache, target).await.unwrap() });
    store.asked.until_held(held + 1).await;
    invalidating
}

/// 1. An invalidation is sent. 2. A reader finds what it has not reached, and keeps that near. 3. It is done.
#[tokio::test]
async fn what_is_read_while_an_invalidation_is_under_way_is_not_near_after_it() {
    let (here, there, store) = with_near().await;
    for target in TARGETS {
        there.set("n", &1).tags(["t"]).await.unwrap();
        let invalidating = begin(&here, &store, target).await;
        assert_eq!(load(&here, 2).await, 1);
        there.set("n", &3).tags(["t"]).await.unwrap();
        assert_eq!(load(&here, 2).await, 1, "it is near");
        store.asked.open();
        invalidating.await.unwrap();
        assert_eq!(load(&here, 2).await, 2, "by {target}");
        invalidate(&here, "namespace").await.unwrap();
    }
}

/// 1. A reader is answered, and the answer is on its way. 2. An invalidation is sent and done. 3. The answer arrives.
#[tokio::test]
async fn what_was_read_before_an_invalidation_is_not_near_after_it() {
    let (here, there, store) = with_near().await;
    for target in TARGETS {
        there.set("n", &1).tags(["t"]).await.unwrap();
        let held = store.reads.held();
        store.reads.hold_next();
        let reader = spawn_load(&here, 2);
        store.reads.until_held(held + 1).await;
        invalidate(&here, target).await.unwrap();
        store.reads.open();
        assert_eq!(reader.await.unwrap(), 1, "it called before");
        assert_eq!(load(&here, 2).await, 2, "by {target}");
        invalidate(&here, "namespace").await.unwrap();
    }
}

/// The same with a write in place of the invalidation.
#[tokio::test]
async fn what_was_read_before_a_write_is_not_near_after_it() {
    let (here, there, store) = with_near().await;
    there.set("n", &1).await.unwrap();
    store.reads.hold_next();
    let reader = spawn_load(&here, 3);
    store.reads.until_held(1).await;
    here.set("n", &2).await.unwrap();
    store.reads.open();
    assert_eq!(reader.await.unwrap(), 1, "it called before");
    assert_eq!(load(&here, 3).await, 2);
}

/// The same with a writer that returns its new value, which is kept near at once.
#[tokio::test]
async fn what_was_read_before_a_refresh_is_not_near_after_it() {
    let (here, there, store) = with_near().await;
    there.set("n", &1).await.unwrap();
    store.reads.hold_next();
    let reader = spawn_load(&here, 3);
    store.reads.until_held(1).await;
    let shape = L1::<u32>::NEW.outer().inner().errors();
    let writer = Call::for_writer(shape, stored(shape), &WRITTEN, &here, &here.space.full_key("n"));
    let replacement = writer.begin_replacement().await;
    assert!(writer.replace(&2, replacement).await);
    store.reads.open();
    assert_eq!(reader.await.unwrap(), 1, "it called before");
    assert_eq!(load(&here, 3).await, 2);
}

static WRITTEN: Function = Function::new(Plan { name: "written", ..Plan::DEFAULT });

/// A scan takes many trips. What it will come to is served from here no more.
#[tokio::test]
async fn nothing_near_is_served_from_when_a_scan_begins() {
    let (here, there, store) = with_near().await;
    assert_eq!(load(&here, 1).await, 1);
    there.set("n", &2).await.unwrap();
    assert_eq!(load(&here, 3).await, 1, "what is near comes first");
    let scan = begin(&here, &store, "pattern").await;
    assert_eq!(load(&here, 3).await, 2, "it is near no more");
    store.asked.open();
    scan.await.unwrap();
}

/// A load from before the scan loses its lease to it: nobody who calls from then on waits for its end.
#[tokio::test]
async fn who_calls_while_a_scan_runs_waits_for_no_load_from_before_it() {
    let (here, _, store) = with_near().await;
    let (begun, end) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let doomed = tokio::spawn({
        let (here, begun, end) = (here.clone(), Arc::clone(&begun), Arc::clone(&end));
        async move {
            let load = || async move {
                begun.notify_one();
                end.notified().await;
                Ok::<_, String>(1)
            };
            here.get_or_load("n", load).await.unwrap()
        }
    });
    begun.notified().await;
    let scan = begin(&here, &store, "pattern").await;
    let during = spawn_load(&here, 2);
    until_missed(&here, 2).await;
    store.asked.open();
    scan.await.unwrap();
    let during = tokio::time::timeout(Duration::from_secs(20), during).await;
    assert_eq!(during.expect("it waits for a load that is doomed").unwrap(), 2);
    end.notify_one();
    assert_eq!(doomed.await.unwrap(), 1);
    assert_eq!(load(&here, 3).await, 2);
}
