//! A user who may do what the README's rule says, and one who may not.

use std::time::Duration;

use cache_runtime::{Backend, Builder, Cache, Error, RedisConfig};
use cache_test_support::{RedisCluster, RedisServer};
use secrecy::SecretString;

use crate::service::{Service, eventually, through};

const LEASE: Duration = Duration::from_millis(200);

const README: &str = include_str!("../../README.md");

/// The rule in the README, for the namespace `app`.
fn rule() -> Vec<&'static str> {
    let line = README.lines().find(|line| line.starts_with("ACL SETUSER app ")).expect("the README has a rule");
    line.split(' ').collect()
}

/// What the README adds for a cluster.
fn rule_on_a_cluster() -> Vec<&'static str> {
    let (_, rest) = README.split_once("`+cluster|slots").expect("the README has a rule for a cluster");
    let (rights, _) = rest.split_once('`').expect("the rule ends");
    std::iter::once("+cluster|slots").chain(rights.split_whitespace()).collect()
}

/// A server with that user, whose rule is changed a little.
fn with_user(changes: &[&str]) -> RedisServer {
    let server = RedisServer::start();
    let command: Vec<_> = rule().into_iter().chain(changes.iter().copied()).collect();
    assert_eq!(server.cli(&command), "OK");
    server
}

fn as_user(server: &RedisServer) -> Builder {
    let mut redis = login();
    redis.port = server.port();
    through(server.port(), "").redis(redis).operation_timeout(Duration::from_secs(5)).lease(LEASE)
}

fn on_cluster(cluster: &RedisCluster, backend: Backend) -> Builder {
    let builder = Cache::builder().backend(backend).namespace("app").redis(login()).lease(LEASE);
    builder.redis_cluster(cluster.addresses()).unwrap().operation_timeout(Duration::from_secs(5))
}

fn login() -> RedisConfig {
    let mut redis = RedisConfig::default();
    redis.username = Some("app".to_owned());
    redis.password = Some(SecretString::from("long-and-random"));
    redis
}

/// A cache and another one of the same namespace, as two processes have them.
async fn two_on(server: &RedisServer, backend: Backend) -> (Service, Service) {
    (Service::new(as_user(server).backend(backend)).await, Service::new(as_user(server).backend(backend)).await)
}

/// How often the server has refused the user something, and what.
fn denials(server: &RedisServer) -> String {
    server.cli(&["ACL", "LOG"])
}

/// Uses the cache in every way, from two sides, and returns what was refused.
async fn use_all(service: &Service, other: &Service) -> Vec<Error> {
    let mut refused = Vec::new();
    let cache = &service.cache;
    service.answers(1).await;
    service.answers(1).await;
    refused.extend(service.write(1, 7).await.err());
    service.answers(1).await;
    refused.extend(cache.set("tagged", &1).tags(["t"]).await.err());
    refused.extend(cache.get_many::<u8, _>(&["tagged", "absent"]).await.err());
    refused.extend(cache.invalidate_tag("t").await.err());
    refused.extend(cache.add("added", &1).await.err());
    refused.extend(cache.exists("added").await.err());
    refused.extend(cache.expire("added", 60).await.err());
    refused.extend(cache.increment("count", 2).await.err());
    refused.extend(cache.increment("count", 2).await.err());
    refused.extend(cache.set("pattern:1", &1).await.err());
    refused.extend(cache.delete_pattern("pattern:*").await.err());
    refused.extend(cache.delete("added").await.err());
    refused.extend(cache.clear().await.err());
    let reports = cache.namespace("reports");
    refused.extend(reports.set("key", &1).tags(["t"]).await.err());
    refused.extend(reports.get::<u8>("key").await.err());
    refused.extend(reports.clear().await.err());
    // Longer than its lease, which is renewed; the other waits, and is woken.
    let slow = || async {
        tokio::time::sleep(3 * LEASE).await;
        Ok::<_, String>(1)
    };
    let both = tokio::join!(cache.get_or_load("slow", slow), other.cache.get_or_load("slow", slow));
    assert_eq!(both, (Ok(1), Ok(1)));
    refused
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rule_in_the_readme_is_enough() {
    for backend in [Backend::Redis, Backend::Tiered] {
        let server = with_user(&[]);
        let (service, other) = two_on(&server, backend).await;
        let refused = use_all(&service, &other).await;
        assert!(refused.is_empty(), "{refused:?}");
        assert!(service.cache.stats().await.server.is_some());
        assert_eq!(service.cache.stats().await.total.errors, 0);
        // The other's change is heard.
        service.answers(5).await;
        service.changes_elsewhere(5, 9);
        other.write(5, 9).await.unwrap();
        eventually("its change", || async { service.row(5).await == Ok(9) }).await;
        assert_eq!(denials(&server), "", "{}", backend.name());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rule_for_a_cluster_is_enough_there() {
    let cluster = RedisCluster::of_masters();
    let command: Vec<_> = rule().into_iter().chain(rule_on_a_cluster()).collect();
    for node in cluster.masters() {
        assert_eq!(node.cli(&command), "OK");
    }
    let as_user = |backend| on_cluster(&cluster, backend);
    for backend in [Backend::Redis, Backend::Tiered] {
        let (service, other) = (Service::new(as_user(backend)).await, Service::new(as_user(backend)).await);
        let refused = use_all(&service, &other).await;
        assert!(refused.is_empty(), "{refused:?}");
        // A slot on its way: names are asked for where they go.
        let slot = cluster.slot_of("app:row:5");
        let (from, to) = (cluster.owner_of(slot), cluster.other_than(cluster.owner_of(slot)));
        cluster.begin_move(slot, to);
        service.answers(5).await;
        service.write(5, 9).await.unwrap();
        service.answers(5).await;
        cluster.end_move(slot, from, to);
        service.answers(5).await;
        for node in cluster.masters() {
            assert_eq!(denials(node), "", "{}", backend.name());
        }
    }
}

/// Without these no operation is refused, and the log tells: a lease that is not renewed ends, those who wait
/// look by themselves, and nothing is kept near.
const OF_NO_OPERATION: [&str; 4] = ["pexpire", "publish", "subscribe", "client|tracking"];

fn is_named(right: &str, error: &Error) {
    let (command, text) = (right.trim_start_matches('+'), error.to_string());
    assert!(text.contains(&format!("no permissions to run the '{command}'")), "{right}: {text}");
}

/// And calls are answered all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_right_in_the_rule_is_too_much_and_one_that_is_missing_is_named() {
    for right in rule().into_iter().filter(|word| word.starts_with('+') && *word != "+role") {
        let server = with_user(&[&right.replacen('+', "-", 1)]);
        let (service, other) = two_on(&server, Backend::Tiered).await;
        let command = right.trim_start_matches('+');
        let mut errors = use_all(&service, &other).await;
        // On a busy machine a lease may end before anybody waits for it.
        for _ in 0..5 {
            if denials(&server).contains(command) {
                break;
            }
            errors.extend(use_all(&service, &other).await);
        }
        let log = denials(&server);
        assert!(log.contains(command), "{right} is never used: {log}");
        assert_eq!(errors.is_empty(), OF_NO_OPERATION.contains(&command), "{right}: {errors:?}");
        errors.iter().for_each(|error| is_named(right, error));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_for_a_cluster_that_is_missing_is_named() {
    let cluster = RedisCluster::of_masters();
    for right in rule_on_a_cluster() {
        let denied = right.replacen('+', "-", 1);
        let command: Vec<_> = rule().into_iter().chain(rule_on_a_cluster()).chain([denied.as_str()]).collect();
        for node in cluster.masters() {
            // So that the runs of the masters are noted anew.
            assert_eq!(node.cli(&["FLUSHALL"]), "OK");
            assert_eq!(node.cli(&command), "OK");
        }
        let slot = cluster.slot_of("app:moving");
        let (from, to) = (cluster.owner_of(slot), cluster.other_than(cluster.owner_of(slot)));
        cluster.begin_move(slot, to);
        let errors = use_cluster(on_cluster(&cluster, Backend::Redis)).await;
        cluster.end_move(slot, from, to);
        assert!(!errors.is_empty(), "{right} is never used");
        errors.iter().for_each(|error| is_named(right, error));
    }
}

/// What was refused of what takes more rights on a cluster: names on their way, patterns, new links.
async fn use_cluster(builder: Builder) -> Vec<Error> {
    let cache = match builder.build().await {
        Ok(cache) => cache,
        Err(error) => return vec![error],
    };
    let mut refused = Vec::new();
    refused.extend(cache.set("key", &1).await.err());
    refused.extend(cache.get::<u8>("moving").await.err());
    refused.extend(cache.delete("moving").await.err());
    refused.extend(cache.delete_pattern("k*").await.err());
    refused
}

#[tokio::test]
async fn a_namespace_of_another_one_is_out_of_reach() {
    let server = with_user(&[]);
    let service = Service::new(as_user(&server).namespace("another")).await;
    let error = service.cache.set("key", &1).await.unwrap_err().to_string();
    assert!(error.contains("NOPERM"), "{error}");
    service.answers(1).await;
}

#[tokio::test]
async fn a_user_with_another_password_is_refused_at_once() {
    let server = with_user(&[">another", "<long-and-random"]);
    let error = as_user(&server).build().await.unwrap_err();
    assert!(matches!(error, Error::Authentication(_)) && error.to_string().contains("REDIS_USERNAME"), "{error}");
}
