//! Who may fill a key.

use super::*;

pub(crate) async fn one_lease_at_a_time(on: Fixture) {
    let first = on.begin("user:1", &[]).await;
    assert_eq!(on.try_begin("user:1", &[], LONG).await.unwrap_err(), Lease::Held);
    let neighbour = on.begin("user:2", &[]).await;
    assert_ne!(first.token, neighbour.token);

    assert_eq!(on.fill(first.fills(on.value("1", &[]))).await, Filled::Current);
    let refresh = on.begin("user:1", &[]).await;
    assert_ne!(first.token, refresh.token);
}

pub(crate) async fn a_lease_is_refused_when_the_entry_has_changed(on: Fixture) {
    let before = on.read(&["user:1"], &[]).await;
    on.put("user:1", "1", &[]).await;
    let ask = LeaseRequest { key: "user:1", ttl: LONG, seen: before.found[0].seen, stamp: before.stamp };
    assert_eq!(on.store.lease(&on.space, ask).await.unwrap(), Lease::Changed, "filled since");

    let seen = on.find("user:1").await.seen;
    on.put("user:1", "2", &[]).await;
    let ask = LeaseRequest { seen, ..ask };
    assert_eq!(on.store.lease(&on.space, ask).await.unwrap(), Lease::Changed, "filled anew since");
    on.begin("user:1", &[]).await;
}

pub(crate) async fn an_invalidated_key_rejects_the_fill_of_an_older_load(on: Fixture) {
    let load = on.begin("user:1", &[]).await;
    assert_eq!(on.invalidate(&["user:1"]).await, 0, "a lease is not a value");
    assert_eq!(on.fill(load.fills(on.value("1", &[]))).await, Filled::Rejected);
    assert_eq!(on.text("user:1").await, None);
}

pub(crate) async fn an_invalidated_key_can_be_leased_at_once(on: Fixture) {
    let old = on.begin("user:1", &[]).await;
    on.invalidate(&["user:1"]).await;
    let new = on.begin("user:1", &[]).await;
    assert_eq!(on.fill(old.fills(on.value("1", &[]))).await, Filled::Rejected);
    assert_eq!(on.fill(old.releases()).await, Filled::Rejected, "it does not give back another's lease");
    assert_eq!(on.fill(new.fills(on.value("2", &[]))).await, Filled::Current);
    assert_eq!(on.text("user:1").await.as_deref(), Some("2"));
}

pub(crate) async fn a_lease_runs_out(on: Fixture) {
    let slow = on.try_begin("user:1", &[], SHORT).await.unwrap();
    assert_eq!(on.try_begin("user:1", &[], LONG).await.unwrap_err(), Lease::Held);
    on.pass(SHORT * 2).await;
    assert_eq!(on.fill(slow.fills(on.value("1", &[]))).await, Filled::Rejected);
    let next = on.begin("user:1", &[]).await;
    assert_eq!(on.fill(slow.fills(on.value("1", &[]))).await, Filled::Rejected);
    assert_eq!(on.fill(next.fills(on.value("2", &[]))).await, Filled::Current);
}

async fn renew(on: &Fixture, load: &Load<'_>, ttl: Duration) -> bool {
    on.store.renew(&on.space, load.key, load.token, ttl).await.unwrap()
}

pub(crate) async fn a_renewed_lease_lives_on(on: Fixture) {
    let load = on.try_begin("user:1", &[], SHORT).await.unwrap();
    assert!(renew(&on, &load, LONG).await);
    on.pass(SHORT * 2).await;
    assert_eq!(on.try_begin("user:1", &[], LONG).await.unwrap_err(), Lease::Held);
    assert_eq!(on.fill(load.fills(on.value("1", &[]))).await, Filled::Current);
}

pub(crate) async fn a_renewal_never_makes_a_lease(on: Fixture) {
    let gone = on.begin("user:1", &[]).await;
    on.invalidate(&["user:1"]).await;
    assert!(!renew(&on, &gone, LONG).await, "invalidated");
    assert_eq!(on.fill(gone.fills(on.value("1", &[]))).await, Filled::Rejected);

    let holder = on.begin("user:1", &[]).await;
    assert!(!renew(&on, &gone, SHORT).await, "another's");
    on.pass(SHORT * 2).await;
    assert!(renew(&on, &holder, LONG).await, "and another's is left as it was");
    assert_eq!(on.fill(holder.releases()).await, Filled::Current);
    assert!(!renew(&on, &holder, LONG).await, "released");

    let late = on.try_begin("user:1", &[], SHORT).await.unwrap();
    on.pass(SHORT * 2).await;
    assert!(!renew(&on, &late, LONG).await, "run out");
    on.begin("user:1", &[]).await;
}

pub(crate) async fn a_lease_of_an_incarnation_that_ended_holds_nobody(on: Fixture) {
    let doomed = on.begin("user:1", &[]).await;
    on.clear().await;
    let load = on.begin("user:1", &[]).await;
    assert_eq!(on.fill(doomed.fills(on.value("1", &[]))).await, Filled::Rejected);
    assert_eq!(on.fill(load.fills(on.value("2", &[]))).await, Filled::Current);
    assert_eq!(on.text("user:1").await.as_deref(), Some("2"));
}

pub(crate) async fn a_lease_from_before_a_tag_was_invalidated_holds_nobody(on: Fixture) {
    let doomed = on.begin("user:1", &["a", "b"]).await;
    on.invalidate_tags(&["b"]).await;
    let load = on.begin("user:1", &["a", "b"]).await;
    assert_eq!(on.fill(doomed.fills(on.value("1", &["a", "b"]))).await, Filled::Rejected);
    assert_eq!(on.fill(load.fills(on.value("2", &["a", "b"]))).await, Filled::Current);
    assert_eq!(on.text("user:1").await.as_deref(), Some("2"));
}

pub(crate) async fn an_unrelated_tag_leaves_a_lease_in_force(on: Fixture) {
    on.stamp(&["a", "b"]).await;
    let load = on.begin("user:1", &["a"]).await;
    on.invalidate_tags(&["b"]).await;
    assert_eq!(on.try_begin("user:1", &["a"], LONG).await.unwrap_err(), Lease::Held);
    assert_eq!(on.fill(load.fills(on.value("1", &["a"]))).await, Filled::Current);
    assert_eq!(on.text("user:1").await.as_deref(), Some("1"));
}
