//! A password that changes while the process runs.

use cache_runtime::{BreakerState, Error};
use cache_test_support::RedisServer;

use crate::service::{Service, on};

#[tokio::test]
async fn a_password_that_changes_half_way_opens_the_breaker_and_is_told() {
    let server = RedisServer::start();
    let service = Service::new(on(&server)).await;
    service.answers(1).await;
    assert_eq!(server.cli(&["CONFIG", "SET", "requirepass", "another"]), "OK");
    let mut admin = server.client_with("another");
    admin.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).unwrap();
    service.calls_until_open().await;
    service.is_not_held_up().await;
    assert!(matches!(service.write(1, 7).await, Err(Error::Authentication(_))));
    service.answers(1).await;
    admin.command(&["CONFIG", "SET", "requirepass", server.password()]).unwrap();
    service.recovers().await;
    service.hits(1).await;
    assert_eq!(service.state().await, BreakerState::Closed);
}
