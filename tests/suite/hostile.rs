//! Bytes that the cache did not write, under keys that live functions ask for: each is answered by the
//! function, counted and replaced.

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use cache_runtime::{Cache, Codec, cached};
use cache_test_support::{Client, RedisServer, Reply};
use proptest::{prelude::*, test_runner::TestRunner};
use secrecy::SecretSlice;
use serde::{Deserialize, Serialize};

use crate::{
    backends::{Setup, builder_for, on_each_server},
    logs::Log,
};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Report {
    id: u64,
    lines: Vec<String>,
    #[serde(default)]
    any: serde_json::Value,
}

impl Report {
    fn new(id: u64) -> Self {
        Self { id, lines: vec!["the first line of the report".to_owned(); 20], any: serde_json::json!({ "n": [1, 2] }) }
    }
}

#[derive(Clone)]
struct Reports {
    cache: Cache,
    runs: Arc<AtomicU32>,
}

impl Reports {
    fn new(cache: &Cache) -> Self {
        Self { cache: cache.clone(), runs: Arc::default() }
    }

    #[cached(key = "report:<id>", tags = ["reports"], cache = self.cache)]
    async fn report(&self, id: u64) -> Report {
        self.runs.fetch_add(1, Ordering::SeqCst);
        Report::new(id)
    }

    async fn counts(&self) -> (u32, u64, u64) {
        let total = self.cache.stats().await.total;
        (self.runs.load(Ordering::SeqCst), total.unreadable, total.errors)
    }
}

const KEY: &[u8] = b"app:report:7";

fn stored(client: &mut Client) -> Vec<u8> {
    match client.command(&[b"GET".as_slice(), KEY]).unwrap() {
        Reply::Bulk(bytes) => bytes,
        other => panic!("{other:?}"),
    }
}

fn put(client: &mut Client, bytes: &[u8]) {
    assert_eq!(client.command(&[b"SET".as_slice(), KEY, bytes]).unwrap(), Reply::Status("OK".into()));
}

/// The envelope with another value.
fn with_value(envelope: &[u8], format: &str, value: &[u8]) -> Vec<u8> {
    let end = envelope.windows(10).position(|part| part == br#""format":""#).unwrap() + 10;
    [&envelope[..end], format.as_bytes(), br#"","value":"#, value, b"}"].concat()
}

on_each_server!(what_nobody_wrote_is_answered_by_the_function_and_replaced);

async fn what_nobody_wrote_is_answered_by_the_function_and_replaced(setup: Setup) {
    let server = setup.server.as_ref().unwrap();
    let mut client = server.client();
    // What a neighbour reads is not yet decoded in its process.
    let writer = Reports::new(&setup.cache);
    writer.report(7).await;
    let whole = stored(&mut client);
    let bytes = |value: &[u8]| with_value(&whole, "json", value);
    let hostile: Vec<(&str, Vec<u8>)> = vec![
        ("no envelope", b"hello".to_vec()),
        ("one byte", vec![0]),
        ("a megabyte of braces", vec![b'{'; 1 << 20]),
        ("half an envelope", whole[..whole.len() / 2].to_vec()),
        ("no value", whole[..whole.len() - 2].to_vec()),
        ("another type", bytes(b"[1,2,3]")),
        ("a deep list", bytes("[".repeat(200_000).as_bytes())),
        ("a deep list in a field", bytes(format!(r#"{{"id":7,"lines":[],"any":{}"#, "[".repeat(200_000)).as_bytes())),
        ("a number beyond its type", bytes(br#"{"id":99999999999999999999999,"lines":[]}"#)),
        ("text that is no UTF-8", bytes(b"{\"id\":7,\"lines\":[\"\xff\xfe\"]}")),
        ("two values", bytes(br#"{"id":7,"lines":[]}{"id":7,"lines":[]}"#)),
        ("JSON as MessagePack", with_value(&whole, "msgpack", br#"{"id":7}"#)),
        ("deep MessagePack", with_value(&whole, "msgpack", &vec![0x91; 200_000])),
        ("a list of four billion", with_value(&whole, "msgpack", &[0xdd, 0xff, 0xff, 0xff, 0xff])),
        ("a block that unpacks to four gigabytes", with_value(&whole, "json+lz4", &[0xff; 64])),
        ("a block of nothing", with_value(&whole, "json+lz4", &[])),
        ("encrypted by nobody", with_value(&whole, "json+aes256gcm:a", &[0; 64])),
        ("an unknown codec", with_value(&whole, "xml", b"<id>7</id>")),
        ("an endless format", with_value(&whole, &"json".repeat(10_000), b"1")),
    ];
    for (what, bytes) in &hostile {
        put(&mut client, bytes);
        let reader = Reports::new(&setup.neighbour().await);
        assert_eq!(reader.report(7).await, Report::new(7), "{what}");
        assert_eq!(reader.counts().await, (1, 1, 0), "{what}");
        assert_eq!(reader.report(7).await, Report::new(7), "{what}");
        assert_eq!(reader.counts().await, (1, 1, 0), "the fill has replaced it: {what}");
    }

    // A key of another kind than text: nothing there, for `MGET`; the fill replaces it.
    let _ = client.command(&[b"DEL".as_slice(), KEY]).unwrap();
    let _ = client.command(&[b"RPUSH".as_slice(), KEY, b"x"]).unwrap();
    let reader = Reports::new(&setup.neighbour().await);
    assert_eq!((reader.report(7).await, reader.report(7).await), (Report::new(7), Report::new(7)));
    assert_eq!(reader.counts().await, (1, 0, 0));
}

/// What is done to an envelope.
#[derive(Debug, Clone)]
enum Damage {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Repeat(prop::sample::Index, usize),
    Replace(Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let bytes = || prop::collection::vec(any::<u8>(), 1..64);
    prop_oneof![
        4 => (any::<prop::sample::Index>(), 1_u8..).prop_map(|(at, with)| Damage::Flip(at, with)),
        2 => any::<prop::sample::Index>().prop_map(Damage::Cut),
        2 => (any::<prop::sample::Index>(), bytes()).prop_map(|(at, with)| Damage::Insert(at, with)),
        1 => (any::<prop::sample::Index>(), 1_usize..5_000).prop_map(|(at, times)| Damage::Repeat(at, times)),
        1 => bytes().prop_map(Damage::Replace),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if bytes.is_empty() {
            return bytes;
        }
        match damage {
            Damage::Flip(at, with) => *at.get_mut(&mut bytes) ^= with,
            Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Damage::Insert(at, with) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, with.iter().copied());
            }
            Damage::Repeat(at, times) => {
                let at = at.index(bytes.len());
                let byte = bytes[at];
                bytes.splice(at..at, std::iter::repeat_n(byte, *times));
            }
            Damage::Replace(with) => bytes.clone_from(with),
        }
    }
    bytes
}

/// `PROPTEST_CASES=100000 cargo test --release --test suite hostile` runs it for longer.
#[test]
fn damaged_entries_on_a_server_never_harm_a_call() {
    let server = RedisServer::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let cache = |how: u8| {
        let builder = builder_for(&server).namespace("app");
        let builder = match how {
            0 => builder,
            1 => builder.codec(Codec::MessagePack),
            2 => builder.compress_above(64),
            _ => builder.compress_above(64).encrypt_key("a", &SecretSlice::from(vec![1; 32])).unwrap(),
        };
        runtime.block_on(builder.build()).unwrap()
    };
    let all: Vec<Reports> = (0..4).map(|how| Reports::new(&cache(how))).collect();
    let client = std::cell::RefCell::new(server.client());
    let case = (0..all.len(), prop::collection::vec(damage(), 1..4));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let ran = TestRunner::new(config).run(&case, |(how, damages)| {
        let (reports, client) = (&all[how], &mut *client.borrow_mut());
        runtime.block_on(reports.invalidate_report(7)).unwrap();
        runtime.block_on(reports.report(7));
        let written = stored(client);
        put(client, &damaged(written, &damages));
        let answer = runtime.block_on(reports.report(7));
        // What still reads is a report; without a key some damage to a text cannot be told.
        prop_assert!(how < 3 || answer == Report::new(7));
        prop_assert_eq!(runtime.block_on(reports.counts()).2, 0);
        Ok(())
    });
    ran.unwrap();
}

#[tokio::test]
async fn a_flood_of_unreadable_values_is_one_line_without_a_value() {
    let server = RedisServer::start();
    let (log, _guard) = Log::collect();
    let reports = Reports::new(&builder_for(&server).namespace("app").build().await.unwrap());
    let mut client = server.client();
    reports.report(7).await;
    let whole = stored(&mut client);
    for _ in 0..50 {
        put(&mut client, &with_value(&whole, "json", br#""my-secret-value""#));
        assert_eq!(reports.report(7).await, Report::new(7));
    }
    assert_eq!(reports.counts().await, (51, 50, 0));
    let text = log.text();
    assert_eq!(text.matches("a stored value cannot be read").count(), 1, "{text}");
    assert!(text.contains("report:7") && !text.contains("my-secret-value"), "{text}");
}
