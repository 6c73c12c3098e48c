//! Longer lives and refreshes that come after others have changed the value.

use std::sync::atomic::AtomicBool;

use super::{super::slide::slide, *};
use crate::store::Life;

static SLIDING: Function = Function::new(Plan {
    name: "sliding",
    policy: Policy { ttl: Some(Duration::from_secs(60)), sliding: true, ..Policy::DEFAULT },
    ..Plan::DEFAULT
});

static REVALIDATED: Function = Function::new(Plan {
    name: "revalidated",
    policy: Policy {
        ttl: Some(Duration::from_secs(1)),
        stale_while_revalidate: Some(Duration::from_secs(60)),
        ..Policy::DEFAULT
    },
    ..Plan::DEFAULT
});

/// 1. A hit sends a longer life. 2. Another process sets a value with a shorter one. 3. The longer life
///    arrives.
#[tokio::test]
async fn a_hit_slides_no_value_that_was_set_since() {
    let (here, there, store, clock) = two_processes_and_clock().await;
    assert_eq!(call(&SLIDING, &here, Ok(1)).await, Ok(1));
    clock.advance(Duration::from_secs(30));
    store.expiries.close();
    assert_eq!(call(&SLIDING, &here, Ok(2)).await, Ok(1));
    store.expiries.until_held(1).await;
    there.set("n", &7).ttl(2).await.unwrap();
    store.expiries.open();
    a_moment().await;
    assert_eq!(there.get::<u32>("n").await.unwrap(), Some(7));
    clock.advance(Duration::from_secs(2));
    assert_eq!(there.get::<u32>("n").await.unwrap(), None, "it has the ttl that it was set with");
}

/// The same near: 1. A hit finds a value. 2. Another one takes its place. 3. The longer life of the first one comes.
#[tokio::test]
async fn a_hit_slides_no_value_near_that_has_taken_its_place() {
    let (here, _, _) = with_near().await;
    assert_eq!(load(&here, 1).await, 1);
    let full_key = here.space.full_key("n");
    let life = || here.inner.near_entry(full_key.as_bytes(), here.inner.clock.now()).unwrap().life;
    let present = life();
    let was = Life { since: present.since - 30_000, ..present };
    slide(&here, &full_key, was, present.since);
    assert_eq!(life(), present);
    slide(&here, &full_key, present, present.since + 30_000);
    assert_eq!(life().since, present.since + 30_000);
}

#[tokio::test]
async fn a_hot_value_is_not_written_on_each_hit() {
    let (here, _, store, clock) = two_processes_and_clock().await;
    assert_eq!(call(&SLIDING, &here, Ok(1)).await, Ok(1));
    store.expiries.close();
    // A hundredth of its ttl is 600 ms.
    for (passes, written) in [(0, 0), (599, 0), (1, 1)] {
        clock.advance(Duration::from_millis(passes));
        assert_eq!(call(&SLIDING, &here, Ok(2)).await, Ok(1));
        assert_eq!(store.expiries.held(), written, "after {passes} ms more");
    }
    store.expiries.open();
}

/// 1. A value that is near here has ended. 2. Another process brings a new one. 3. A hit here is to refresh the old one.
#[tokio::test]
async fn a_hit_near_refreshes_nothing_that_another_process_has_just_refreshed() {
    let (here, there, _) = with_near().await;
    assert_eq!(call(&REVALIDATED, &here, Ok(1)).await, Ok(1));
    here.inner.clock.advance(Duration::from_secs(2));
    there.set("n", &2).await.unwrap();
    let shape = L1::<Result<u32, String>>::NEW.outer().inner().errors();
    let entered = enter(shape, stored(shape), &REVALIDATED, &here, |key| key.literal("n"));
    let Enter::Stale(answer, refresh) = entered else { panic!("it is near, and past its ttl") };
    assert_eq!(answer, Ok(1));
    let ran = Arc::new(AtomicBool::new(false));
    let mark = Arc::clone(&ran);
    refresh.spawn(Box::pin(async move {
        mark.store(true, Ordering::SeqCst);
        Ok(3)
    }));
    a_moment().await;
    assert!(!ran.load(Ordering::SeqCst), "it is fresh already");
    assert_eq!(call(&REVALIDATED, &here, Ok(4)).await, Ok(2));
}
