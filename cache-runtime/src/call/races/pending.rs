//! What becomes of calls and writes while an invalidation has not landed.

use super::*;

/// An invalidation that does not arrive.
async fn fail(cache: &Cache, store: &Gated, target: &str) {
    store.unreachable.store(true, Ordering::SeqCst);
    assert!(invalidate(cache, target).await.is_err());
}

async fn land(cache: &Cache, store: &Gated) {
    store.unreachable.store(false, Ordering::SeqCst);
    until_nothing_is_pending(cache).await;
}

/// A look at what is near knows no tags: those make it out of date before the caller is told of the failure.
#[tokio::test]
async fn nothing_near_is_served_that_a_failed_invalidation_names() {
    let (here, _, store) = with_near().await;
    for target in TARGETS {
        assert_eq!(load(&here, 1).await, 1);
        assert_eq!(load(&here, 2).await, 1, "it is near");
        fail(&here, &store, target).await;
        assert_eq!(load(&here, 2).await, 2, "by {target}");
        land(&here, &store).await;
        assert_eq!(load(&here, 3).await, 3, "by {target}");
        invalidate(&here, "namespace").await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_a_pending_invalidation_names_waits_for_no_other_and_stores_nothing() {
    let (here, there, store) = two_processes().await;
    for target in TARGETS {
        there.set("n", &1).tags(["t"]).await.unwrap();
        fail(&here, &store, target).await;
        let (running, end) = begin_load(&here).await;
        let beside = tokio::time::timeout(Duration::from_secs(20), call_tagged(&here, async { Ok(3) })).await;
        assert_eq!(beside.expect("it waits for the other load"), Ok(3), "by {target}");
        end.send(Ok(2)).unwrap();
        assert_eq!(running.await.unwrap(), Ok(2));
        assert_eq!(there.get::<u32>("n").await.unwrap(), Some(1), "by {target}");
        land(&here, &store).await;
        assert_eq!(there.get::<u32>("n").await.unwrap(), None, "by {target}");
    }
}

#[tokio::test]
async fn a_call_that_a_pending_invalidation_names_is_a_miss_and_a_load() {
    let (here, _, store) = two_processes().await;
    for target in TARGETS {
        for is_batch in [false, true] {
            assert_eq!(spawn_one_or_many(&here, 1, is_batch).await.unwrap(), 1);
            fail(&here, &store, target).await;
            let before = here.stats().await.total;
            assert_eq!(spawn_one_or_many(&here, 2, is_batch).await.unwrap(), 2);
            let now = here.stats().await.total;
            let counted = [now.hits - before.hits, now.misses - before.misses, now.loads - before.loads];
            assert_eq!(counted, [0, 1, 1], "by {target}, batch: {is_batch}");
            land(&here, &store).await;
        }
    }
}

/// 1. A write is sent and not acknowledged. 2. Until it arrives, if it does, the value before it is stored.
#[tokio::test]
async fn a_write_that_is_not_acknowledged_invalidates_its_key() {
    let (here, there, store) = two_processes().await;
    for is_reachable in [true, false] {
        there.set("n", &1).await.unwrap();
        store.fills_are_lost.store(true, Ordering::SeqCst);
        store.unreachable.store(!is_reachable, Ordering::SeqCst);
        assert!(here.set("n", &2).await.is_err());
        assert_eq!(here.get::<u32>("n").await.unwrap(), None);
        assert_eq!(there.get::<u32>("n").await.unwrap(), (!is_reachable).then_some(1));
        store.fills_are_lost.store(false, Ordering::SeqCst);
        land(&here, &store).await;
        assert_eq!(there.get::<u32>("n").await.unwrap(), None, "it is retried");
    }
}
