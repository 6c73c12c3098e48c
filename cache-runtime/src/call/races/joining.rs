//! Who joins a flight late: after its leader asked the store again, or began its load.

use super::*;

/// 1. A waiter takes over from a leader who went away, and asks the store again.
/// 2. The store has answered, and the answer is on its way.
/// 3. Another process invalidates the key, and is told so.
/// 4. A call begins, finds nothing and joins the flight.
/// 5. The answer of 2 arrives: it is for those who joined before 1.
#[tokio::test]
async fn who_joins_after_the_store_was_asked_again_does_not_take_that_answer() {
    let (here, there, store) = two_processes().await;
    store.leases.hold_next();
    let leader = spawn_load(&here, 0);
    store.leases.until_held(1).await;
    let early = [spawn_load(&here, 0), spawn_load(&here, 0)];
    until_missed(&here, 3).await;
    there.set("n", &1).await.unwrap();
    store.reads.hold_next();
    leader.abort();
    store.reads.until_held(1).await;

    there.delete("n").await.unwrap();
    let late = spawn_load(&here, 2);
    until_missed(&here, 4).await;
    store.reads.open();
    for early in early {
        assert_eq!(early.await.unwrap(), 1);
    }
    assert_eq!(late.await.unwrap(), 2);
    assert_eq!(here.stats().await.total.loads, 1, "only the late one loads");
}

/// 1. A load begins. 2. Another process invalidates what it depends on, and is told so. 3. A call joins the load. 4. The
///    load ends.
#[tokio::test]
async fn who_joins_a_load_that_another_process_has_overtaken_does_not_take_its_outcome() {
    let (here, there, _) = two_processes().await;
    let mut calls = 0;
    for loaded in [Ok(1), Err("down".to_owned())] {
        for target in TARGETS {
            let (leader, end) = begin_load(&here).await;
            invalidate(&there, target).await.unwrap();
            let late = tokio::spawn({
                let here = here.clone();
                async move { call_tagged(&here, async { Ok(2) }).await }
            });
            calls += 2;
            until_missed(&here, calls).await;
            end.send(loaded.clone()).unwrap();
            assert_eq!(leader.await.unwrap(), loaded);
            assert_eq!(late.await.unwrap(), Ok(2), "{loaded:?}, by {target}");
            there.delete("n").await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_waited_long_enough_for_another_process_loads_and_stores_nothing() {
    let (here, there, _) = two_processes().await;
    let (elsewhere, end) = begin_load(&there).await;
    let began = tokio::time::Instant::now();
    let waited = tokio::time::timeout(Duration::from_secs(60), call_tagged(&here, async { Ok(2) })).await;
    assert_eq!(waited.expect("it waits for ever"), Ok(2));
    assert!(began.elapsed() >= Duration::from_secs(30), "it did not wait for the load that is running");
    assert_eq!(there.get::<u32>("n").await.unwrap(), None, "the lease is another one's");
    end.send(Ok(1)).unwrap();
    assert_eq!(elsewhere.await.unwrap(), Ok(1));
    assert_eq!(here.get::<u32>("n").await.unwrap(), Some(1));
}
