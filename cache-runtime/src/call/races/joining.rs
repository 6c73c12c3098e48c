//! Who joins a flight late: after its leader asked the store again, or began its load.

use tokio::sync::{Notify, oneshot};

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
        for how in ["key", "tag", "pattern", "namespace"] {
            let (begun, end) = (Arc::new(Notify::new()), oneshot::channel());
            let leader = tokio::spawn({
                let (here, begun, ended) = (here.clone(), Arc::clone(&begun), end.1);
                async move {
                    let load = || async move {
                        begun.notify_one();
                        ended.await.unwrap()
                    };
                    here.get_or_load("n", load).tags(["t"]).await
                }
            });
            begun.notified().await;
            match how {
                "key" => drop(there.delete("n").await.unwrap()),
                "tag" => there.invalidate_tag("t").await.unwrap(),
                "pattern" => drop(there.delete_pattern("n*").await.unwrap()),
                _ => there.clear().await.unwrap(),
            }
            let late = spawn_load(&here, 2);
            calls += 2;
            until_missed(&here, calls).await;
            end.0.send(loaded.clone()).unwrap();
            assert_eq!(leader.await.unwrap(), loaded);
            assert_eq!(late.await.unwrap(), 2, "{loaded:?}, by {how}");
            there.delete("n").await.unwrap();
        }
    }
}
