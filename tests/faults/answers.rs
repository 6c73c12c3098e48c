//! Servers that answer, but with a refusal.

use cache_runtime::BreakerState;
use cache_test_support::{FakeServer, RedisServer, Settings};

use crate::service::{Service, eventually, on, through};

#[tokio::test]
async fn at_maxmemory_hits_go_on_and_invalidations_land() {
    let server = Settings::new().arg("--maxmemory-policy").arg("noeviction").start();
    let service = Service::new(on(&server)).await;
    service.answers(1).await;
    assert_eq!(server.cli(&["CONFIG", "SET", "maxmemory", "1"]), "OK");
    service.hits(1).await;
    for _ in 0..10 {
        service.answers(2).await;
    }
    let error = service.cache.set("by hand", &1).await.unwrap_err().to_string();
    assert!(error.contains("OOM") && error.contains("maxmemory-policy"), "{error}");
    service.write(1, 7).await.unwrap();
    service.answers(1).await;
    assert_eq!(service.breaker().await.openings, 0, "the server answers");
    assert_eq!(server.cli(&["CONFIG", "SET", "maxmemory", "0"]), "OK");
    service.recovers().await;
}

#[tokio::test]
async fn a_server_that_became_a_replica_serves_hits_and_keeps_invalidations_pending() {
    let server = RedisServer::start();
    let service = Service::new(on(&server)).await;
    service.answers(1).await;
    service.answers(3).await;
    assert_eq!(server.cli(&["REPLICAOF", "127.0.0.1", "1"]), "OK");
    service.hits(1).await;
    for _ in 0..10 {
        service.answers(2).await;
    }
    let error = service.write(3, 7).await.unwrap_err().to_string();
    assert!(error.contains("READONLY") && error.contains("primary"), "{error}");
    assert_eq!(service.pending().await, 1);
    service.answers(3).await;
    service.hits(1).await;
    assert_eq!(service.breaker().await.openings, 0, "the server answers");
    assert_eq!(server.cli(&["REPLICAOF", "NO", "ONE"]), "OK");
    eventually("the invalidation lands", || async { service.pending().await == 0 }).await;
    service.answers(3).await;
    service.recovers().await;
}

/// What a server answers that serves nobody: the breaker opens, and no connection is made anew for
/// each call.
#[tokio::test]
async fn servers_that_serve_nobody() {
    for (line, advice) in [
        ("-LOADING Redis is loading the dataset in memory", "snapshot"),
        ("-MOVED 3999 127.0.0.1:6381", "cluster"),
        ("-CLUSTERDOWN Hash slot not served", "cluster"),
        ("-MASTERDOWN Link with MASTER is down", "primary"),
        ("-BUSY Redis is busy running a script", "SCRIPT KILL"),
        ("-NOAUTH Authentication required.", "REDIS_PASSWORD"),
    ] {
        let server = FakeServer::answering(line);
        let builder = through(server.port(), "any");
        // Building asks for an answer too; then the breaker is open from the start.
        let Ok(cache) = builder.build().await else {
            assert!(line.contains("NOAUTH"), "{line}");
            continue;
        };
        let service = Service::of(cache);
        service.calls_until_open().await;
        service.is_not_held_up().await;
        let error = service.write(1, 7).await.unwrap_err().to_string();
        assert!(error.contains(advice) && !error.contains('\n'), "{error}");
        assert_eq!(service.pending().await, 1);
        let (commands, accepted) = (server.commands(), server.accepted());
        for id in 0..1_000 {
            service.answers(id).await;
        }
        assert_ne!(service.state().await, BreakerState::Closed);
        // Probes only.
        assert!(server.commands() - commands < 500 && server.accepted() - accepted < 500, "{line}");
    }
}

#[tokio::test]
async fn a_server_that_forgot_the_scripts_is_taught_them_and_nobody_notices() {
    let server = RedisServer::start();
    let service = Service::new(on(&server)).await;
    service.answers(1).await;
    for id in 2..6 {
        assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK");
        service.answers(id).await;
        service.hits(id).await;
        assert_eq!(server.cli(&["SCRIPT", "FLUSH"]), "OK");
        service.write(id, 7).await.unwrap();
        service.answers(id).await;
    }
    let stats = service.cache.stats().await;
    assert_eq!((stats.total.errors, stats.pending_invalidations), (0, 0));
}
