//! How values are written: MessagePack, compressed, encrypted. The results are those of JSON.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use cache_runtime::{Backend, Builder, Cache, Codec, cached};
use cache_test_support::{RedisServer, Reply};
use secrecy::SecretSlice;
use serde::{Deserialize, Serialize};

use crate::backends::builder_for;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    tags: Vec<String>,
}

impl User {
    fn new(id: u64) -> Self {
        Self { id, name: "Ada Lovelace ".repeat(30), tags: vec!["mathematics".to_owned()] }
    }
}

#[derive(Clone)]
struct Users {
    cache: Cache,
    runs: Arc<AtomicU32>,
}

impl Users {
    fn new(cache: &Cache) -> Self {
        Self { cache: cache.clone(), runs: Arc::default() }
    }

    fn runs(&self) -> u32 {
        self.runs.load(Ordering::SeqCst)
    }

    #[cached(key = "user:<id>", tags = ["all"], negative_ttl = 60, cache = self.cache)]
    async fn user(&self, id: u64) -> Option<User> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        (id < 100).then(|| User::new(id))
    }

    #[cached(each = ids, key = "user:<ids>", tags = ["all"], negative_ttl = 60, cache = self.cache)]
    async fn users(&self, ids: &[u64]) -> HashMap<u64, User> {
        self.runs.fetch_add(1, Ordering::SeqCst);
        ids.iter().filter(|id| **id < 100).map(|id| (*id, User::new(*id))).collect()
    }

    #[cached(key = "count:<id>", cache = self.cache)]
    async fn count(&self, id: u64) -> u64 {
        self.runs.fetch_add(1, Ordering::SeqCst);
        id * 2
    }
}

fn key(byte: u8) -> SecretSlice<u8> {
    SecretSlice::from(vec![byte; 32])
}

/// A way to write, by the format of the entries.
type Coding = (&'static str, fn(Builder) -> Builder);

fn codings() -> Vec<Coding> {
    vec![
        ("json", |builder| builder),
        ("msgpack", |builder| builder.codec(Codec::MessagePack)),
        ("json+lz4", |builder| builder.compress_above(100)),
        ("msgpack+lz4", |builder| builder.codec(Codec::MessagePack).compress_above(100)),
        ("json+aes256gcm:a", |builder| builder.encrypt_key("a", &key(1)).unwrap()),
        ("msgpack+lz4+aes256gcm:a", |builder| {
            builder.codec(Codec::MessagePack).compress_above(100).encrypt_key("a", &key(1)).unwrap()
        }),
    ]
}

/// What the server holds under a key of `app`.
fn raw(server: &RedisServer, key: &str) -> Vec<u8> {
    match server.command(&["GET", &format!("app:{key}")]) {
        Reply::Bulk(bytes) => bytes,
        other => panic!("under {key}: {other:?}"),
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// The same work for each way to write, on caches of one backend.
async fn work_is_the_same(cache: &Cache, how: &str) {
    let users = Users::new(cache);
    for _ in 0..2 {
        assert_eq!(users.user(7).await, Some(User::new(7)), "{how}");
        assert_eq!(users.user(700).await, None, "{how}");
        assert_eq!(users.count(4).await, 8, "{how}");
    }
    assert_eq!(users.runs(), 3, "{how}");
    let found = users.users(&[7, 8, 700]).await;
    assert_eq!(found, HashMap::from([(7, User::new(7)), (8, User::new(8))]), "{how}");
    assert_eq!(users.users(&[7, 8, 700]).await, found, "{how}");
    assert_eq!(users.runs(), 4, "{how}");
    assert_eq!(cache.get::<User>("user:8").await.unwrap(), Some(User::new(8)), "{how}");

    assert!(cache.expire("user:8", 600).await.unwrap(), "{how}");
    assert_eq!(users.user(8).await, Some(User::new(8)), "{how}");
    cache.set("by hand", &User::new(9)).tags(["all"]).await.unwrap();
    assert_eq!(cache.get::<User>("by hand").await.unwrap(), Some(User::new(9)), "{how}");

    assert_eq!(cache.increment("n", 40).await.unwrap(), 40, "{how}");
    assert_eq!(cache.increment("n", 2).await.unwrap(), 42, "{how}");
    assert_eq!(cache.get::<i64>("n").await.unwrap(), Some(42), "{how}");
    cache.set("m", &5).await.unwrap();
    assert_eq!(cache.get::<u8>("m").await.unwrap(), Some(5), "{how}");
    match cache.increment("m", 1).await {
        Ok(sum) => assert!(sum == 6 && !how.contains("aes"), "{how}"),
        Err(error) => assert!(how.contains("aes") && error.to_string().contains("encrypted"), "{how}: {error}"),
    }

    cache.invalidate_tag("all").await.unwrap();
    assert_eq!(cache.get::<User>("by hand").await.unwrap(), None, "{how}");
    users.user(7).await;
    assert_eq!(users.runs(), 5, "{how}");
    let total = cache.stats().await.total;
    assert_eq!((total.unreadable, total.errors), (0, 0), "{how}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_write_gives_the_same_results_in_this_process() {
    for (how, coding) in codings() {
        // Without decoded values in front, so that each hit is read from the store.
        for near in [0, 1 << 20] {
            let cache = coding(Cache::builder().namespace("app").near_max_bytes(near)).build().await.unwrap();
            work_is_the_same(&cache, how).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_to_write_gives_the_same_results_on_a_server_and_says_what_it_did() {
    let server = RedisServer::start();
    for backend in [Backend::Redis, Backend::Tiered] {
        for (how, coding) in codings() {
            let _ = server.cli(&["FLUSHDB"]);
            let cache = coding(builder_for(&server).backend(backend).namespace("app")).build().await.unwrap();
            work_is_the_same(&cache, how).await;
            let stored = raw(&server, "user:7");
            assert!(holds(&stored, &format!(r#""format":"{how}","value":"#)), "{how}");
            assert_eq!(holds(&stored, "mathematics"), !how.contains("aes"), "{how}");
            assert!(holds(&raw(&server, "n"), r#""format":"json","value":42}"#), "{how}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_setting_reads_what_the_one_before_has_written() {
    let server = RedisServer::start();
    for (writes, writer) in codings() {
        for (reads, reader) in codings() {
            let _ = server.cli(&["FLUSHDB"]);
            let builder = || builder_for(&server).namespace("app");
            let writer = Users::new(&writer(builder()).build().await.unwrap());
            let reader = Users::new(&reader(builder()).build().await.unwrap());
            writer.user(7).await;
            assert_eq!(reader.user(7).await, Some(User::new(7)));
            // A key begins cold, and an entry without one is not believed where there is one.
            let is_read = writes.contains("aes") == reads.contains("aes");
            let total = reader.cache.stats().await.total;
            assert_eq!(
                (reader.runs(), total.unreadable),
                (u32::from(!is_read), u64::from(!is_read)),
                "{writes} {reads}"
            );
            reader.user(7).await;
            assert_eq!(reader.runs(), u32::from(!is_read), "what could not be read was replaced: {writes} {reads}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_rotated_without_a_cold_start() {
    let server = RedisServer::start();
    let with = async |keys: &[(&str, u8)]| {
        let builder = builder_for(&server).namespace("app");
        let builder = keys.iter().fold(builder, |builder, (id, byte)| builder.encrypt_key(id, &key(*byte)).unwrap());
        Users::new(&builder.build().await.unwrap())
    };
    with(&[("old", 1)]).await.user(7).await;
    let both = with(&[("new", 2), ("old", 1)]).await;
    both.user(7).await;
    assert_eq!(both.runs(), 0);
    both.user(8).await;
    assert!(holds(&raw(&server, "user:8"), "aes256gcm:new"));

    let new = with(&[("new", 2)]).await;
    new.user(8).await;
    assert_eq!(new.runs(), 0);
    new.user(7).await;
    assert_eq!((new.runs(), new.cache.stats().await.total.unreadable), (1, 1), "the old key is gone");
    let another = with(&[("new", 3)]).await;
    another.user(8).await;
    assert_eq!((another.runs(), another.cache.stats().await.total.unreadable), (1, 1), "another key by the same id");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tampering_is_a_counted_miss() {
    let server = RedisServer::start();
    let builder = || builder_for(&server).namespace("app");
    let cache = builder().encrypt_key("a", &key(1)).unwrap().build().await.unwrap();
    let users = Users::new(&cache);
    users.user(7).await;
    users.user(8).await;
    let (mut runs, mut refused) = (users.runs(), 0);
    let seven = raw(&server, "user:7");
    let plain = {
        let plain = Users::new(&builder().namespace("plain").build().await.unwrap());
        plain.user(7).await;
        match server.command(&["GET", "plain:user:7"]) {
            Reply::Bulk(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    };
    let text = |from: &str, to: &str| {
        let at = seven.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
        [&seven[..at], to.as_bytes(), &seven[at + from.len()..]].concat()
    };
    // The incarnation must be the one in force, or the entry is merely invalid.
    let plain = [&seven[..84], &plain[84..]].concat();
    let changed = [
        raw(&server, "user:8"),
        text(r#""tags":["all"]"#, r#""tags":[]"#),
        text(r#""format":"json"#, r#""format":"msgpack"#),
        text(r#"+aes256gcm:a"#, ""),
        [&seven[..seven.len() - 2], b"!}".as_slice()].concat(),
        plain,
    ];
    for (number, bytes) in changed.into_iter().enumerate() {
        let _ = server.command(&[b"SET".as_slice(), b"app:user:7", &bytes]);
        assert_eq!(users.user(7).await, Some(User::new(7)), "change {number}");
        (runs, refused) = (runs + 1, refused + 1);
        assert_eq!((users.runs(), cache.stats().await.total.unreadable), (runs, refused), "change {number}");
        users.user(7).await;
        assert_eq!(users.runs(), runs, "the fill has put a good one in its place");
    }
}

/// A number of `increment` is never encrypted, so one that a function has cached is none, on each backend.
#[tokio::test]
async fn a_loaded_number_is_not_counted_on_where_values_are_encrypted() {
    let cache = Cache::builder().namespace("app").encrypt_key("a", &key(1)).unwrap().build().await.unwrap();
    let users = Users::new(&cache);
    assert_eq!(users.count(21).await, 42);
    assert!(cache.increment("count:21", 1).await.is_err());
    assert_eq!((users.count(21).await, users.runs()), (42, 1));
}
