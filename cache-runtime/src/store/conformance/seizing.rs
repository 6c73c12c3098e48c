//! Writes of values that are there already, or are made without a look at what is stored.

use super::*;

async fn ask<'a>(on: &Fixture, key: &'a str, known: &[&str], over: Over) -> Result<Load<'a>, Found> {
    let known = tags(known);
    let seizure = Seizure { key, ttl: LONG, tags: &known, over };
    match on.store.seize(&on.space, seizure).await.unwrap() {
        Seized::Granted { token, stamp, .. } => Ok(Load { key, token, stamp }),
        Seized::Refused(found) => Err(found),
    }
}

async fn seize<'a>(on: &Fixture, key: &'a str, known: &[&str]) -> Load<'a> {
    ask(on, key, known, Over::Anything).await.unwrap()
}

pub(crate) async fn a_seizure_takes_the_key_from_its_holder(on: Fixture) {
    on.put("user:1", "1", &[]).await;
    let refresh = on.begin("user:1", &[]).await;
    let write = seize(&on, "user:1", &[]).await;
    assert_eq!(on.text("user:1").await.as_deref(), Some("1"), "a lease alone changes no value");
    assert_eq!(on.fill(refresh.fills(on.value("2", &[]))).await, Filled::Rejected);
    assert_eq!(on.fill(write.fills(on.value("3", &[]))).await, Filled::Current);
    assert_eq!(on.text("user:1").await.as_deref(), Some("3"));

    let (early, late) = (seize(&on, "user:1", &[]).await, seize(&on, "user:1", &[]).await);
    assert_eq!(on.fill(early.fills(on.value("4", &[]))).await, Filled::Rejected, "the last to ask wins");
    assert_eq!(on.fill(late.fills(on.value("5", &[]))).await, Filled::Current);
}

pub(crate) async fn a_seizure_tells_what_is_in_force_and_what_is_stored(on: Fixture) {
    on.invalidate_tags(&["a", "b"]).await;
    on.invalidate_tags(&["b"]).await;
    for known in [&[][..], &["a"], &["a", "b", "never seen"]] {
        let stamp = seize(&on, "user:1", known).await.stamp;
        assert_eq!(stamp, Stamp { link: stamp.link, ..on.stamp(known).await }, "{known:?}");
    }
    on.put("user:2", "1", &["a"]).await;
    on.invalidate_tags(&["a"]).await;
    let stored = on.find("user:2").await.seen;
    let seizure = Seizure { key: "user:2", ttl: LONG, tags: &[], over: Over::Anything };
    let Seized::Granted { seen, .. } = on.store.seize(&on.space, seizure).await.unwrap() else { panic!("refused") };
    assert_eq!(seen, stored);
}

pub(crate) async fn loads_wait_for_a_seized_lease_until_it_ends(on: Fixture) {
    on.invalidate_tags(&["a"]).await;
    let write = seize(&on, "user:1", &["a"]).await;
    for _ in 0..2 {
        assert_eq!(on.try_begin("user:1", &["a"], LONG).await.unwrap_err(), Lease::Held);
    }
    assert!(on.store.renew(&on.space, "user:1", write.token, LONG).await.unwrap());
    assert_eq!(on.fill(write.fills(on.value("1", &["a"]))).await, Filled::Current, "nobody took it away");
    assert_eq!(on.text("user:1").await.as_deref(), Some("1"));
    on.begin("user:1", &["a"]).await;

    let write = seize(&on, "user:2", &[]).await;
    assert_eq!(on.fill(write.releases()).await, Filled::Current);
    on.begin("user:2", &[]).await;

    let lost = Seizure { key: "user:3", ttl: SHORT, tags: &[], over: Over::Anything };
    on.store.seize(&on.space, lost).await.unwrap();
    on.pass(SHORT * 2).await;
    on.begin("user:3", &[]).await;
}

pub(crate) async fn whatever_is_invalidated_after_a_seizure_keeps_its_value_out(on: Fixture) {
    let write = seize(&on, "key", &["a"]).await;
    on.invalidate(&["key"]).await;
    assert_eq!(on.fill(write.fills(on.value("1", &["a"]))).await, Filled::Rejected);
    let write = seize(&on, "key", &["a"]).await;
    on.invalidate_pattern("k*").await;
    assert_eq!(on.fill(write.fills(on.value("2", &["a"]))).await, Filled::Rejected);
    let write = seize(&on, "key", &["a"]).await;
    on.invalidate_tags(&["a"]).await;
    assert_ne!(on.fill(write.fills(on.value("3", &["a"]))).await, Filled::Current);
    assert_eq!(on.text("key").await, None);
    let write = seize(&on, "key", &["a"]).await;
    on.clear().await;
    assert_ne!(on.fill(write.fills(on.value("4", &["a"]))).await, Filled::Current);
    assert_eq!(on.text("key").await, None);
    let write = seize(&on, "key", &[]).await;
    on.invalidate_tags(&["only of the value"]).await;
    assert_ne!(on.fill(write.fills(on.value("5", &["only of the value"]))).await, Filled::Current);
    assert_eq!(on.text("key").await, None);
}

pub(crate) async fn a_seizure_over_nothing_leaves_what_is_stored_and_its_lease(on: Fixture) {
    on.put("user:1", "1", &["a", "b"]).await;
    let refresh = on.begin("user:1", &["a"]).await;
    for known in [&[][..], &["a"], &["a", "b"]] {
        let found = ask(&on, "user:1", known, Over::Only(None)).await.unwrap_err();
        assert_eq!(found.entry.as_deref().map(text_of).as_deref(), Some("1"));
        assert_eq!(found.seen, on.find("user:1").await.seen);
    }
    assert_eq!(on.fill(refresh.fills(on.value("2", &["a", "b"]))).await, Filled::Current);

    let load = on.begin("user:2", &[]).await;
    let write = ask(&on, "user:2", &[], Over::Only(None)).await.unwrap();
    assert_eq!(on.fill(load.fills(on.value("1", &[]))).await, Filled::Rejected, "what is loaded is older");
    assert_eq!(on.fill(write.fills(on.value("2", &[]))).await, Filled::Current);
    assert_eq!(on.text("user:2").await.as_deref(), Some("2"));
}

pub(crate) async fn what_is_invalid_is_seized_by_its_token_and_nothing_else_is(on: Fixture) {
    on.put("key", "1", &["a"]).await;
    on.invalidate_tags(&["a"]).await;
    let found = ask(&on, "key", &[], Over::Only(None)).await.unwrap_err();
    assert!(found.entry.is_none() && found.seen.is_some(), "{found:?}");
    let write = ask(&on, "key", &[], Over::Only(found.seen)).await.unwrap();
    assert_eq!(on.fill(write.fills(on.value("2", &[]))).await, Filled::Current);
    let found = ask(&on, "key", &[], Over::Only(found.seen)).await.unwrap_err();
    assert_eq!(found.entry.as_deref().map(text_of).as_deref(), Some("2"), "stored since");
}

/// Not a rule for a cluster: there the stamps may be at another node, and what is seized is waited for
/// until its lease ends.
pub(crate) async fn nobody_waits_for_a_seized_lease_that_is_doomed(on: Fixture) {
    on.invalidate_tags(&["a"]).await;
    let doomed = seize(&on, "user:1", &["a"]).await;
    on.invalidate_tags(&["a"]).await;
    let load = on.begin("user:1", &["a"]).await;
    assert_eq!(on.fill(doomed.fills(on.value("1", &["a"]))).await, Filled::Rejected);
    assert_eq!(on.fill(load.fills(on.value("2", &["a"]))).await, Filled::Current);
    let doomed = seize(&on, "user:1", &[]).await;
    on.clear().await;
    on.begin("user:1", &[]).await;
    assert_eq!(on.fill(doomed.fills(on.value("3", &[]))).await, Filled::Rejected);
}
