//! Whatever is logged, shown or returned as an error, at the most detailed level and while everything
//! fails, holds no password, no encryption key and no cached value.

#[path = "suite/logs.rs"]
mod logs;

use std::{fmt::Debug, time::Duration};

use cache_runtime::{Backend, Builder, Cache, Codec, RedisConfig, cached, invalidates};
use cache_test_support::{RedisServer, Reply};
use logs::Log;
use secrecy::{SecretSlice, SecretString};
use serde::{Deserialize, Serialize};

const VALUE: &str = "cached-value-3f9a";
const ARGUMENT: &str = "argument-77c1";
const WRONG: &str = "wrong-password-52de";
const KEY: [u8; 32] = *b"encryption-key-of-32-bytes-a81f4";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Account {
    id: u64,
    text: String,
}

#[derive(Debug, Clone)]
struct Failed;

#[derive(Clone)]
struct Accounts(Cache);

impl Accounts {
    #[cached(
        key = "account:<id>", tags = ["accounts"], stale_while_revalidate = 60, stale_if_error = 60, negative_ttl = 5,
        companions(refresh, peek), cache = self.0
    )]
    async fn account(&self, id: u64) -> Result<Option<Account>, Failed> {
        match id {
            0..10 => Ok(Some(Account { id, text: VALUE.to_owned() })),
            10..20 => Ok(None),
            _ => Err(Failed),
        }
    }

    #[cached(key = "by_token:<token>", cache = self.0)]
    async fn by_token(&self, token: SecretString) -> String {
        drop(token);
        VALUE.to_owned()
    }

    #[cached(key = "long:<id>", cache = self.0)]
    async fn long(&self, id: u64) -> String {
        VALUE.repeat(200 + usize::from(id > 100))
    }

    #[invalidates(account(id), tag = "accounts")]
    async fn change(&self, id: u64) -> Result<(), Failed> {
        let _ = id;
        Ok(())
    }
}

/// All that the program has shown.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn show(&mut self, what: &impl Debug) {
        self.0 += &format!("{what:?} {what:#?}\n");
    }

    /// Both forms of an error and of its sources.
    fn result<T>(&mut self, result: cache_runtime::Result<T>) {
        let Err(error) = result else { return };
        self.show(&error);
        let mut next: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = next {
            self.0 += &format!("{error}\n");
            next = error.source();
        }
    }

    async fn state(&mut self, cache: &Cache) {
        let stats = cache.stats().await;
        self.0 += &format!("{stats}\n{}\n", serde_json::to_string(&stats).unwrap());
        self.show(&stats);
        self.show(cache);
    }

    /// Everything that a program can do, whether or not it works.
    async fn work(&mut self, cache: &Cache) {
        let accounts = Accounts(cache.clone());
        for id in [1, 1, 11, 11, 21] {
            let _ = accounts.account(id).await;
        }
        let _ = accounts.refresh_account(1).await;
        let _ = accounts.peek_account(1).await;
        let _ = accounts.by_token(ARGUMENT.to_owned().into()).await;
        let _ = accounts.long(1).await;
        let _ = accounts.change(2).await;
        self.result(accounts.invalidate_account(3).await);
        self.result(cache.set("by hand", &VALUE).tags(["accounts"]).await);
        self.result(cache.add("added", &VALUE).await);
        self.result(cache.get::<String>("by hand").await);
        self.result(cache.get::<u64>("by hand").await);
        self.result(cache.get::<Vec<Account>>("account:1").await);
        self.result(cache.set("long", &VALUE.repeat(1_000)).await);
        self.result(cache.increment("by hand", 1).await);
        self.result(cache.increment("n", 1).await);
        self.result(cache.expire("by hand", 60).await);
        self.result(cache.exists("by hand").await);
        self.result(cache.delete("by hand").await);
        self.result(cache.delete_pattern("add*").await);
        self.result(cache.invalidate_tag("accounts").await);
        self.result(cache.clear().await);
        let _ = accounts.account(1).await;
        self.state(cache).await;
    }
}

fn config(server: &RedisServer, password: &str) -> RedisConfig {
    let mut redis = RedisConfig::default();
    redis.host = server.host().to_owned();
    redis.port = server.port();
    redis.password = Some(SecretString::from(password.to_owned()));
    redis.operation_timeout = Duration::from_millis(500);
    redis
}

fn encrypted(builder: Builder) -> Builder {
    builder.codec(Codec::MessagePack).compress_above(64).encrypt_key("a", &SecretSlice::from(KEY.to_vec())).unwrap()
}

/// Puts garbage and another's values under each key of the server.
fn damage(server: &RedisServer) {
    let Reply::Array(keys) = server.command(&["KEYS", "app:*"]) else { return };
    for key in keys {
        let key = key.to_string();
        let bytes = match server.command(&["GET", &key]) {
            Reply::Bulk(bytes) => bytes,
            _ => continue,
        };
        let at = bytes.windows(9).position(|part| part == br#","value":"#).map_or(0, |at| at + 9);
        let value = [&bytes[..at], format!("\"{VALUE}\"").as_bytes(), b"}"].concat();
        let _ = server.command(&[b"SET".as_slice(), key.as_bytes(), &value]);
    }
}

async fn work_on_a_server(shown: &mut Shown, backend: Backend, is_encrypted: bool) -> String {
    let server = RedisServer::start();
    let builder = |password: &str| {
        let redis = config(&server, password);
        let builder = Cache::builder().backend(backend).redis(redis).namespace("app").max_value_bytes(5_000);
        if is_encrypted { encrypted(builder) } else { builder }
    };
    shown.show(&config(&server, server.password()));
    shown.show(&builder(server.password()));
    shown.result(builder(WRONG).build().await);

    let cache = builder(server.password()).build().await.unwrap();
    shown.work(&cache).await;
    damage(&server);
    shown.work(&cache).await;
    // The password is changed half-way, and then the server goes.
    let _ = server.command(&["CONFIG", "SET", "requirepass", WRONG]);
    let _ = server.client_with(WRONG).command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    shown.work(&cache).await;
    server.kill();
    shown.work(&cache).await;
    server.password().to_owned()
}

#[test]
fn nothing_that_is_shown_holds_a_secret_or_a_value() {
    let log = Log::collect_everywhere();
    let mut shown = Shown::default();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let passwords: Vec<String> = runtime.block_on(async {
        shown.work(&Cache::builder().namespace("app").max_value_bytes(5_000).build().await.unwrap()).await;
        shown.work(&encrypted(Cache::builder()).build().await.unwrap()).await;
        let mut passwords = vec![WRONG.to_owned()];
        for backend in [Backend::Redis, Backend::Tiered] {
            for is_encrypted in [false, true] {
                passwords.push(work_on_a_server(&mut shown, backend, is_encrypted).await);
            }
        }
        passwords
    });
    // Its tasks log to the end.
    drop(runtime);

    let all = format!("{}\n{}", log.text(), shown.0);
    for said in ["authentication failed", "cannot be read", "unavailable", "Decode", "max_value_bytes", "hits"] {
        assert!(all.contains(said), "nothing was shown of `{said}`, so the test has not seen it");
    }
    let key_text = String::from_utf8_lossy(&KEY).into_owned();
    let key_base64 = "ZW5jcnlwdGlvbi1rZXktb2YtMzItYnl0ZXMtYTgxZjQ".to_owned();
    let key_numbers = "101, 110, 99, 114, 121, 112".to_owned();
    let secrets = [VALUE.to_owned(), ARGUMENT.to_owned(), key_text, key_base64, key_numbers];
    for secret in secrets.into_iter().chain(passwords) {
        if let Some(line) = all.lines().find(|line| line.contains(&secret)) {
            panic!("`{secret}` is shown: {line}");
        }
    }
}
