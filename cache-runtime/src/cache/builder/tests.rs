//! The environment and its mistakes.

use super::*;
use crate::{cache::Cache, config::Address};

fn from(variables: &[(&str, &str)]) -> Result<Builder> {
    let find = |name: &str| variables.iter().find(|(given, _)| *given == name).map(|(_, text)| (*text).to_owned());
    Builder::from_variables(&Variables(&find))
}

#[test]
fn an_empty_environment_gives_the_defaults() {
    let builder = from(&[]).unwrap();
    assert_eq!(builder.settings, Settings::default());
    assert_eq!((builder.settings.backend, builder.settings.ttl), (Backend::Local, Duration::from_secs(300)));
    assert_eq!((builder.redis.host.as_str(), builder.redis.port, builder.redis.db), ("127.0.0.1", 6379, 1));
    assert!(builder.redis.password.is_none() && builder.redis.tls.is_none() && builder.redis.sentinel.is_none());
}

#[test]
fn every_variable_is_read() {
    use secrecy::ExposeSecret;
    let builder = from(&[
        ("CACHE_BACKEND", "Redis"),
        ("CACHE_NAMESPACE", "shop"),
        ("CACHE_TTL", "10m"),
        ("CACHE_NEAR_MAX_BYTES", "0"),
        ("CACHE_LOCAL_MAX_BYTES", "1000"),
        ("CACHE_MAX_VALUE_BYTES", "2000"),
        ("CACHE_CODEC", "JSON"),
        ("REDIS_HOST", "db"),
        ("REDIS_PORT", "7000"),
        ("REDIS_USERNAME", "app"),
        ("REDIS_PASSWORD", "secret-word"),
        ("REDIS_DB", "3"),
        ("REDIS_TLS", "true"),
        ("REDIS_TLS_CA", "ca.pem"),
        ("REDIS_TLS_CERT", "cert.pem"),
        ("REDIS_TLS_KEY", "key.pem"),
        ("REDIS_SENTINELS", "a:1,b:2"),
        ("REDIS_SENTINEL_MASTER", "main"),
        ("REDIS_SENTINEL_USERNAME", "looker"),
        ("REDIS_SENTINEL_PASSWORD", "other-word"),
    ])
    .unwrap();
    assert_eq!((builder.settings.max_value_bytes, builder.settings.coding.codec), (2_000, Codec::Json));
    let Settings { backend, ttl, near_max_bytes, local_max_bytes, .. } = builder.settings;
    assert_eq!((backend, ttl, near_max_bytes, local_max_bytes), (Backend::Redis, Duration::from_secs(600), 0, 1000));
    assert_eq!(builder.namespace.as_deref(), Some("shop"));
    let RedisConfig { host, port, username, password, db, tls, sentinel, .. } = builder.redis;
    assert_eq!(tls, Some(TlsConfig::default().ca("ca.pem").client_certificate("cert.pem", "key.pem")));
    let SentinelConfig { addresses, master, username: looker, password: other } = sentinel.unwrap();
    assert_eq!(addresses, [Address::new("a", 1), Address::new("b", 2)]);
    assert_eq!((master.as_str(), looker.as_deref()), ("main", Some("looker")));
    assert_eq!(other.unwrap().expose_secret(), "other-word");
    assert_eq!((host.as_str(), port, username.as_deref(), db), ("db", 7000, Some("app"), 3));
    assert_eq!(password.unwrap().expose_secret(), "secret-word");
}

#[test]
fn a_port_may_be_the_address_that_kubernetes_gives() {
    assert_eq!(from(&[("REDIS_PORT", "tcp://10.0.0.1:7000")]).unwrap().redis.port, 7000);
}

#[test]
fn what_the_url_leaves_open_the_variables_fill() {
    let builder =
        from(&[("REDIS_URL", "redis://db:7000"), ("REDIS_PASSWORD", "secret-word"), ("REDIS_HOST", "other")]).unwrap();
    assert_eq!((builder.redis.host.as_str(), builder.redis.port), ("db", 7000));
    assert!(builder.redis.password.is_some());
    let builder = from(&[("REDIS_URL", "redis://app@[::1]"), ("REDIS_PORT", "7000"), ("REDIS_DB", "3")]).unwrap();
    assert_eq!((builder.redis.host.as_str(), builder.redis.port, builder.redis.db), ("::1", 7000, 3));
    let builder = from(&[("REDIS_URL", "redis://db:6379/0"), ("REDIS_PORT", "7000"), ("REDIS_DB", "3")]).unwrap();
    assert_eq!((builder.redis.port, builder.redis.db), (6379, 0));
    // Kubernetes writes there the address of a service called `redis`.
    let builder = from(&[("REDIS_URL", "redis://db"), ("REDIS_PORT", "tcp://10.0.0.1:6380")]).unwrap();
    assert_eq!(builder.redis.port, 6379);
}

#[test]
fn a_host_is_a_host_alone() {
    for host in ["db", " db ", "10.0.0.1", "::1"] {
        assert_eq!(from(&[("REDIS_HOST", host)]).unwrap().redis.host, host.trim());
    }
    for other in ["db:6379", "[::1]:6379", "redis://db", ":secret-word@db"] {
        let error = from(&[("REDIS_HOST", other)]).unwrap_err().to_string();
        assert!(error.contains("REDIS_PORT") && !error.contains("secret-word"), "{other} {error}");
    }
}

#[test]
fn what_cannot_be_used_is_named_with_what_can() {
    let cases = [
        ("CACHE_BACKEND", "memcached", "`local`"),
        ("CACHE_TTL", "soon", "`10m`"),
        ("REDIS_PORT", "99999", "whole number"),
        ("REDIS_DB", "one", "whole number"),
        ("REDIS_TLS", "perhaps", "`true` or `false`"),
        ("CACHE_NEAR_MAX_BYTES", "-1", "whole number"),
        ("CACHE_MAX_VALUE_BYTES", "1 MiB", "whole number"),
        ("CACHE_CODEC", "pickle", "`json` or `msgpack`"),
    ];
    for (name, text, accepted) in cases {
        let error = from(&[(name, text)]).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains(text) && error.contains(accepted), "{error}");
    }
}

#[test]
fn tls_is_on_if_the_url_or_the_variable_says_so() {
    let tls = |variables: &[(&str, &str)]| from(variables).unwrap().redis.tls;
    let ca = Some(TlsConfig::default().ca("ca.pem"));
    assert_eq!(tls(&[("REDIS_URL", "rediss://db"), ("REDIS_TLS_CA", "ca.pem")]), ca);
    assert_eq!(tls(&[("REDIS_URL", "redis://db"), ("REDIS_TLS", "1"), ("REDIS_TLS_CA", "ca.pem")]), ca);
    assert_eq!(tls(&[("REDIS_URL", "redis://db"), ("REDIS_TLS", "0")]), None);
    let error = from(&[("REDIS_TLS_CA", "ca.pem")]).unwrap_err().to_string();
    assert!(error.contains("REDIS_TLS=true"), "{error}");
}

#[test]
fn sentinels_are_addresses_and_the_master_has_its_usual_name() {
    let sentinel = from(&[("REDIS_SENTINELS", "a:1")]).unwrap().redis.sentinel.unwrap();
    assert_eq!(sentinel.master, "mymaster");
    let error = from(&[("REDIS_SENTINELS", "redis://:secret-word@a:1")]).unwrap_err().to_string();
    assert!(error.contains("REDIS_SENTINELS") && !error.contains("secret-word"), "{error}");
}

#[test]
fn a_cluster_is_some_of_its_nodes_and_has_one_database() {
    let redis = from(&[("REDIS_CLUSTER", "a:1, b:2"), ("REDIS_PASSWORD", "secret-word")]).unwrap().redis;
    assert_eq!((redis.cluster, redis.db), (vec![Address::new("a", 1), Address::new("b", 2)], 0));
    assert!(from(&[("REDIS_CLUSTER", "a:1"), ("REDIS_DB", "0")]).is_ok());
    let wrong = [("REDIS_DB", "1"), ("REDIS_URL", "redis://db"), ("REDIS_HOST", "db"), ("REDIS_CLUSTER", "db")];
    for (name, text) in wrong {
        // Of two of one name the first is found.
        let error = from(&[(name, text), ("REDIS_CLUSTER", "a:1")]).unwrap_err().to_string();
        assert!(error.contains(name), "{name}: {error}");
    }
}

#[test]
fn a_cluster_by_hand_is_checked_when_it_is_built() {
    let build = |redis: RedisConfig| Cache::builder().backend(Backend::Redis).redis(redis).check();
    let cluster = || vec![Address::new("a", 1)];
    assert!(build(RedisConfig { cluster: cluster(), ..RedisConfig::default() }).is_ok(), "the default database");
    assert!(build(RedisConfig { cluster: cluster(), db: 2, ..RedisConfig::default() }).is_err());
    let sentinel = from(&[("REDIS_SENTINELS", "a:1")]).unwrap().redis.sentinel;
    assert!(build(RedisConfig { cluster: cluster(), sentinel, ..RedisConfig::default() }).is_err());
    assert!(Cache::builder().redis_cluster(["a"]).is_err());
}

#[test]
fn an_empty_variable_counts_as_not_set() {
    assert_eq!(from(&[("CACHE_BACKEND", " "), ("REDIS_PASSWORD", "")]).unwrap().settings.backend, Backend::Local);
}

#[test]
fn the_environment_replaces_a_default_namespace() {
    let given = from(&[("CACHE_NAMESPACE", "staging")]).unwrap().default_namespace("shop");
    assert_eq!(given.namespace.as_deref(), Some("staging"));
    assert_eq!(from(&[]).unwrap().default_namespace("shop").namespace.as_deref(), Some("shop"));
}
