//! The ends of leases that others wait for.

use super::*;
use crate::store::{Fill, Lease, LeaseRequest, Over, Reading, Released, Seized, Seizure};

/// Another process on the same namespace.
async fn neighbour(setup: &Setup) -> Fixture {
    let mut other = Setup::fixture(&config(&setup.server)).await;
    other.space = setup.on.space.clone();
    other
}

async fn read(on: &Fixture) -> Reading {
    on.store.read(&on.space, &["k"], &[]).await.unwrap()
}

const TTL: Duration = Duration::from_secs(60);

async fn lease(on: &Fixture) -> Lease {
    let reading = read(on).await;
    let request = LeaseRequest { key: "k", ttl: TTL, seen: reading.found[0].seen, stamp: reading.stamp };
    on.store.lease(&on.space, request).await.unwrap()
}

async fn seized(on: &Fixture) -> Token {
    let seizure = Seizure { key: "k", ttl: TTL, tags: &[], over: Over::Anything };
    match on.store.seize(&on.space, seizure).await.unwrap() {
        Seized::Granted { token, .. } => token,
        other @ Seized::Refused(_) => panic!("{other:?}"),
    }
}

async fn taken(on: &Fixture) -> Token {
    match lease(on).await {
        Lease::Granted(token) => token,
        other => panic!("{other:?}"),
    }
}

/// As a waiter does: it finds the lease held, watches, and finds it held again.
async fn watch(on: &Fixture) -> Released {
    assert_eq!(lease(on).await, Lease::Held);
    let released = on.store.watch_lease(&on.space, "k").await.unwrap().unwrap();
    assert_eq!(lease(on).await, Lease::Held);
    released
}

async fn is_told(released: Released) {
    tokio::time::timeout(Duration::from_secs(10), released).await.expect("the end of a lease was not told");
}

async fn give_back(on: &Fixture, token: Token) {
    let fill = Fill { key: "k", token, stamp: read(on).await.stamp, value: None };
    on.store.fill(&on.space, fill).await.unwrap();
}

#[tokio::test]
async fn a_lease_that_is_given_back_wakes_another_process() {
    let setup = Setup::new().await;
    let other = neighbour(&setup).await;
    let token = taken(&setup.on).await;
    let released = watch(&other).await;
    give_back(&setup.on, token).await;
    is_told(released).await;
    taken(&other).await;
}

#[tokio::test]
async fn a_lease_that_is_invalidated_wakes_another_process() {
    let setup = Setup::new().await;
    let other = neighbour(&setup).await;
    taken(&setup.on).await;
    let released = watch(&other).await;
    setup.on.store.invalidate_keys(&setup.on.space, &["n", "k"]).await.unwrap();
    is_told(released).await;
}

#[tokio::test]
async fn who_waits_for_a_lease_waits_for_the_one_that_takes_its_place() {
    let setup = Setup::new().await;
    let other = neighbour(&setup).await;
    taken(&setup.on).await;
    let released = watch(&other).await;
    let token = seized(&setup.on).await;
    give_back(&setup.on, token).await;
    is_told(released).await;
}

#[tokio::test]
async fn a_seized_lease_that_is_given_back_wakes_another_process() {
    let setup = Setup::new().await;
    let other = neighbour(&setup).await;
    let token = seized(&setup.on).await;
    let released = watch(&other).await;
    give_back(&setup.on, token).await;
    is_told(released).await;
}

#[tokio::test]
async fn a_lease_that_nobody_waits_for_ends_without_a_message() {
    let setup = Setup::new().await;
    let token = taken(&setup.on).await;
    give_back(&setup.on, token).await;
    taken(&setup.on).await;
    setup.on.store.invalidate_keys(&setup.on.space, &["k"]).await.unwrap();
    assert_eq!(setup.calls("publish"), 0);
}

#[tokio::test]
async fn a_waiter_looks_for_itself_when_the_connection_is_lost() {
    let setup = Setup::new().await;
    let other = neighbour(&setup).await;
    taken(&setup.on).await;
    let released = watch(&other).await;
    let _ = setup.server.cli(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    is_told(released).await;
    // It listens again for the next one.
    let again = watch(&other).await;
    setup.on.store.invalidate_keys(&setup.on.space, &["k"]).await.unwrap();
    is_told(again).await;
}

#[tokio::test]
async fn a_waiter_that_is_not_told_gets_no_future() {
    let setup = Setup::new().await;
    let hurried = RedisConfig { operation_timeout: Duration::from_millis(100), ..config(&setup.server) };
    let other = Setup::fixture(&hurried).await;
    setup.server.kill();
    assert!(other.store.watch_lease(&other.space, "k").await.unwrap().is_none());
}
