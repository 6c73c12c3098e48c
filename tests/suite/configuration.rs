//! Settings by hand, and what goes wrong with them. The environment is tested where it is read.

use std::time::Duration;

use cache_runtime::{Backend, Cache, Error, RedisConfig};
use futures_util::FutureExt as _;
use secrecy::{ExposeSecret, SecretString};

use crate::logs::Log;

#[tokio::test]
async fn an_empty_namespace_and_a_ttl_of_zero_are_refused() {
    for builder in [Cache::builder().namespace(""), Cache::builder().ttl(0)] {
        assert!(matches!(builder.build().await, Err(Error::Config(_))));
    }
}

#[tokio::test]
async fn a_host_by_hand_is_a_host_alone() {
    for host in ["", "db:6379", "[::1]", ":secret-word@db"] {
        let mut redis = RedisConfig::default();
        redis.host = host.to_owned();
        let error = Cache::builder().backend(Backend::Redis).redis(redis).build().await.unwrap_err().to_string();
        assert!(error.contains("`port`") && !error.contains("secret-word"), "{host} {error}");
    }
}

#[test]
fn another_backend_is_refused_with_a_list_of_those_there_are() {
    let error = "memcached".parse::<Backend>().unwrap_err().to_string();
    for said in ["memcached", "`local`", "`redis`", "`tiered`"] {
        assert!(error.contains(said), "{error}");
    }
    assert_eq!("Tiered".parse::<Backend>().unwrap(), Backend::Tiered);
}

#[test]
fn a_url_is_taken_apart() {
    let config = RedisConfig::from_url(&SecretString::from("redis://app:p%40ss@db.example:7000/3".to_owned())).unwrap();
    assert_eq!((config.host.as_str(), config.port, config.db), ("db.example", 7000, 3));
    assert_eq!(config.username.as_deref(), Some("app"));
    assert_eq!(config.password.unwrap().expose_secret(), "p@ss");
    let config = RedisConfig::from_url(&SecretString::from("redis://db.example".to_owned())).unwrap();
    assert_eq!((config.port, config.db), (6379, 1));
}

#[test]
fn a_url_that_cannot_be_read_is_not_repeated() {
    for url in ["redis:/x:secret-word", "http://secret-word@x", "redis://:secret-word@host:port/1"] {
        let error = RedisConfig::from_url(&SecretString::from(url.to_owned())).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("secret-word"), "{error:?}");
    }
}

/// Unescaped, `redis://app:12#34@db` would be read as port 12 of a host `app`.
#[test]
fn a_password_of_any_characters_is_written_escaped() {
    for password in ["12#34", "12/34", "12?34"] {
        let url = format!("redis://app:{password}@db");
        let error = RedisConfig::from_url(&SecretString::from(url)).unwrap_err().to_string();
        assert!(error.contains("%23") && !error.contains(password), "{error}");
    }
    let escaped = SecretString::from("redis://app:%2F%3F%23%40%3A%25@db".to_owned());
    assert_eq!(RedisConfig::from_url(&escaped).unwrap().password.unwrap().expose_secret(), "/?#@:%");
}

#[test]
fn building_outside_of_a_runtime_is_an_error_where_one_is_needed() {
    for backend in [Backend::Redis, Backend::Tiered] {
        let built = Cache::builder().backend(backend).build().now_or_never();
        let error = built.expect("nothing is waited for").unwrap_err().to_string();
        assert!(error.contains("within a tokio runtime"), "{error}");
    }
    assert!(Cache::builder().backend(Backend::Local).build().now_or_never().unwrap().is_ok());
}

#[tokio::test]
async fn handles_and_settings_show_no_password() {
    let mut redis = RedisConfig::default();
    redis.password = Some(SecretString::from("secret-word".to_owned()));
    let builder = Cache::builder().redis(redis.clone());
    let shown = format!("{redis:?} {builder:?} {:?}", builder.clone().build().await.unwrap());
    assert!(!shown.contains("secret-word"), "{shown}");
}

#[tokio::test]
async fn a_server_on_the_network_without_a_password_is_said_once() {
    // An address for documentation: nobody answers there.
    for (host, password, warnings) in [("192.0.2.1", None, 1), ("192.0.2.1", Some("word"), 0), ("127.0.0.1", None, 0)] {
        let (log, _guard) = Log::collect();
        let mut redis = RedisConfig::default();
        redis.host = host.to_owned();
        redis.port = 1;
        redis.operation_timeout = Duration::from_millis(10);
        redis.password = password.map(|word| word.to_owned().into());
        let cache = Cache::builder().backend(Backend::Redis).redis(redis).build().await.unwrap();
        for _ in 0..3 {
            let _ = cache.get::<u8>("key").await;
        }
        let text = log.text();
        assert_eq!(text.matches("no password is set").count(), warnings, "{host} {text}");
    }
}
