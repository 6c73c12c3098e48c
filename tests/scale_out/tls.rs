//! TLS: on all backends, and an error that says what to do where one side does not accept the other.

use std::{fs, path::PathBuf};

use cache_runtime::{Backend, Builder, Cache, Error, RedisConfig, TlsConfig};
use cache_test_support::{Authority, Certificate, RedisServer, Settings};
use secrecy::SecretString;

use crate::service::{Service, eventually, through};

const HERE: [&str; 2] = ["127.0.0.1", "localhost"];

/// A server whose certificate this authority has signed.
fn serving(certificate: &Certificate, clients: Option<PathBuf>) -> RedisServer {
    Settings::new().tls(certificate, clients).start()
}

fn over_tls(server: &RedisServer, tls: TlsConfig) -> Builder {
    through(server.tls_port(), server.password()).redis_tls(tls)
}

fn trusting(authority: &Authority) -> TlsConfig {
    TlsConfig::default().ca(authority.ca())
}

/// Why no cache is built, which must be known at once and not be a time-out.
async fn refusal(builder: Builder) -> String {
    match builder.build().await {
        Err(error @ Error::Tls(_)) => error.to_string(),
        Ok(cache) => panic!("it was built; {:?}", cache.set("key", &1).await),
        Err(error) => panic!("{error:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_invalidations_and_messages_go_over_tls() {
    let authority = Authority::new();
    let server = serving(&authority.certify(&HERE), None);
    for backend in [Backend::Redis, Backend::Tiered] {
        let builder = || over_tls(&server, trusting(&authority)).backend(backend).namespace(backend.name());
        let service = Service::new(builder()).await;
        service.answers(1).await;
        service.hits(1).await;
        service.write(1, 7).await.unwrap();
        service.answers(1).await;
        // What another connection changes is heard.
        let name = format!("{}:row:1", backend.name());
        service.changes_elsewhere(1, 8);
        assert_eq!(server.cli(&["DEL", &name]), "1");
        eventually("their value", || async { service.row(1).await == Ok(8) }).await;
        assert_eq!(service.cache.stats().await.total.errors, 0);
    }
    // The plain port was used by nobody but this test.
    let clients = server.cli(&["CLIENT", "LIST"]);
    let plain = clients.lines().filter(|line| line.contains(&format!("laddr=127.0.0.1:{}", server.port())));
    assert_eq!(plain.count(), 1, "{clients}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_restarted_is_found_again_over_tls() {
    let authority = Authority::new();
    let server = serving(&authority.certify(&HERE), None);
    let service = Service::new(over_tls(&server, trusting(&authority))).await;
    service.answers(1).await;
    server.kill();
    service.calls_until_open().await;
    service.is_not_held_up().await;
    server.restart();
    service.recovers().await;
    service.hits(1).await;
}

#[tokio::test]
async fn a_url_and_a_name_are_enough_where_the_authority_is_known() {
    let authority = Authority::new();
    let server = serving(&authority.certify(&["localhost"]), None);
    let url = format!("rediss://:{}@localhost:{}/1", server.password(), server.tls_port());
    // In either order.
    for builder in [
        Cache::builder().redis_tls(trusting(&authority)).redis_url(&url).unwrap(),
        Cache::builder().redis_url(&url).unwrap().redis_tls(trusting(&authority)),
    ] {
        let cache = builder.backend(Backend::Redis).build().await.unwrap();
        cache.set("key", &1).await.unwrap();
        assert_eq!(cache.get::<u8>("key").await.unwrap(), Some(1));
    }
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_is_refused_at_once() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = serving(&stranger.certify(&HERE), None);
    for tls in [TlsConfig::default(), trusting(&authority)] {
        let error = refusal(over_tls(&server, tls)).await;
        assert!(error.contains("REDIS_TLS_CA") && error.contains(&server.tls_port().to_string()), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_with_both_names() {
    let authority = Authority::new();
    let server = serving(&authority.certify(&["cache.example"]), None);
    let error = refusal(over_tls(&server, trusting(&authority))).await;
    assert!(error.contains("`127.0.0.1`") && error.contains("cache.example"), "{error}");
}

#[tokio::test]
async fn a_certificate_whose_time_is_not_now_is_refused() {
    let authority = Authority::new();
    for (certificate, said) in
        [(authority.certify_once(&HERE), "has expired; renew it"), (authority.certify_some_day(&HERE), "not valid yet")]
    {
        let server = serving(&certificate, None);
        let error = refusal(over_tls(&server, trusting(&authority))).await;
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_asks_for_a_certificate_gets_ours() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for protocols in ["TLSv1.2", "TLSv1.3"] {
        let server = Settings::new()
            .arg("--tls-protocols")
            .arg(protocols)
            .tls(&authority.certify(&HERE), Some(authority.ca()))
            .start();
        let with = |one: Certificate| trusting(&authority).client_certificate(one.cert, one.key);

        let service =
            Service::new(over_tls(&server, with(authority.certify(&["client"]))).backend(Backend::Tiered)).await;
        service.answers(1).await;
        service.hits(1).await;

        let error = refusal(over_tls(&server, trusting(&authority))).await;
        assert!(error.contains("REDIS_TLS_CERT") && error.contains("asks for"), "{protocols} {error}");
        for one in [stranger.certify(&["client"]), authority.certify_once(&["client"])] {
            let error = refusal(over_tls(&server, with(one))).await;
            assert!(
                error.contains("refuses our certificate") && error.contains("REDIS_TLS_CERT"),
                "{protocols} {error}"
            );
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_tls_is_told_from_one_that_is_gone() {
    let authority = Authority::new();
    let server = RedisServer::start();
    let over_tls = || through(server.port(), server.password()).redis_tls(trusting(&authority));
    // It takes a greeting without a line's end in it for the beginning of a command, and waits for more.
    let told = match over_tls().build().await {
        Err(error) => error.to_string(),
        Ok(cache) => cache.delete("key").await.unwrap_err().to_string(),
    };
    assert!(told.contains("tls-port"), "{told}");
    server.kill();
    let error = over_tls().build().await.unwrap().delete("key").await.unwrap_err().to_string();
    assert!(error.contains("refused") && !error.contains("tls"), "{error}");
}

#[tokio::test]
async fn a_certificate_that_expires_half_way_opens_the_breaker_and_is_told() {
    let authority = Authority::new();
    let certificate = authority.certify(&HERE);
    let server = serving(&certificate, None);
    let service = Service::new(over_tls(&server, trusting(&authority))).await;
    service.answers(1).await;
    let old = authority.certify_once(&HERE);
    fs::copy(&old.cert, &certificate.cert).unwrap();
    fs::copy(&old.key, &certificate.key).unwrap();
    server.restart();
    service.calls_until_open().await;
    service.is_not_held_up().await;
    let error = service.write(1, 7).await.unwrap_err();
    assert!(matches!(&error, Error::Tls(_)) && error.to_string().contains("expired"), "{error}");
    service.answers(1).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let (one, other) = (authority.certify(&HERE), authority.certify(&HERE));
    let gone = one.cert.with_file_name("gone.pem");
    let torn = one.cert.with_file_name("torn.pem");
    fs::write(&torn, "-----BEGIN PRIVATE KEY-----\nsecret-word!\n").unwrap();
    let tls = || trusting(&authority);
    let mut alone = tls();
    alone.cert = Some(one.cert.clone());
    for (tls, variable, said) in [
        (TlsConfig::default().ca(&gone), "REDIS_TLS_CA", "gone.pem"),
        (TlsConfig::default().ca(&one.key), "REDIS_TLS_CA", "holds no certificate"),
        (tls().client_certificate(&one.cert, &gone), "REDIS_TLS_KEY", "gone.pem"),
        (tls().client_certificate(&one.cert, &torn), "REDIS_TLS_KEY", "torn.pem"),
        (tls().client_certificate(&one.cert, &one.cert), "REDIS_TLS_KEY", "holds no private key"),
        (tls().client_certificate(&one.cert, &other.key), "REDIS_TLS_KEY", "together"),
        (alone, "REDIS_TLS_KEY", "too"),
    ] {
        let error = through(1, "any").redis_tls(tls).build().await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, Error::Config(_)), "{text}");
        assert!(text.contains(variable) && text.contains(said) && !text.contains("secret"), "{text}");
    }
}

#[test]
fn certificates_that_are_not_checked_are_refused_rather_than_forgotten() {
    let url = SecretString::from("rediss://:secret-word@db.example#insecure");
    let error = RedisConfig::from_url(&url).unwrap_err().to_string();
    assert!(error.contains("#insecure") && error.contains("REDIS_TLS_CA") && !error.contains("secret-word"), "{error}");
    let config = RedisConfig::from_url(&SecretString::from("rediss://app:p%40ss@db.example:7000/3")).unwrap();
    assert_eq!((config.host.as_str(), config.port, config.db), ("db.example", 7000, 3));
    assert_eq!((config.tls, config.username.as_deref()), (Some(TlsConfig::default()), Some("app")));
}
