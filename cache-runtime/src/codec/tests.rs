//! With all of the codec's features: what is written one way is read another.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use secrecy::SecretSlice;
use serde::Deserialize;

use super::{coding::Codec as Setting, *};
use crate::store::{Format, Head, Life, Payload, Token};

const KEY: &str = "app:user:7";
const LIMIT: usize = 1 << 20;

fn keys(ids: &[&str]) -> Option<Keys> {
    let key = |id: &str| SecretSlice::from(vec![id.as_bytes()[0]; 32]);
    ids.iter().fold(None, |keys, id| Some(Keys::with(keys, id, &key(id)).unwrap()))
}

/// Every way to write.
fn codings() -> Vec<Coding> {
    let mut all = Vec::new();
    for codec in [Setting::Json, Setting::MessagePack] {
        for compress_above in [None, Some(0)] {
            for keys in [None, keys(&["a"]), keys(&["b", "a"])] {
                all.push(Coding { codec, compress_above, keys });
            }
        }
    }
    all
}

fn place<'a>(tags: &'a [Box<str>]) -> Place<'a> {
    Place { full_key: KEY, born: (Token(2), 3), tags, shape: 0xff }
}

/// What a store would hold of a value.
fn written<T: Serialize>(value: &T, coding: &Coding) -> (Head, Payload) {
    let tags: Vec<Box<str>> = vec!["org:1".into()];
    let (format, payload) = coding.seal(&encode(value, coding).unwrap(), place(&tags)).unwrap();
    let life = Life { since: 0, fresh_until: 1, dead_at: 2 };
    (Head { token: Token(1), incarnation: Token(2), born: 3, life, tags, shape: 0xff, format }, payload)
}

fn read<T: Stored>(head: &Head, payload: &[u8], coding: &Coding) -> Result<T, String> {
    let bytes = coding.open(KEY, head, payload, LIMIT, false)?;
    Codec::<T>::stored().decode(head.format.content, &bytes)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    #[serde(flatten)]
    more: HashMap<String, String>,
    kinds: Vec<Kind>,
    tagged: Tagged,
    any: serde_json::Value,
    ip: IpAddr,
    wide: (i128, u128),
    sparse: BTreeMap<u32, Option<char>>,
    ratio: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nick: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    New(u8),
    Pair(i8, bool),
    Named { at: u16 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    A { n: u64 },
}

fn user() -> User {
    User {
        id: u64::MAX,
        name: "Ada Lovelace ".repeat(20),
        more: HashMap::from([("city".to_owned(), "London".to_owned())]),
        kinds: vec![Kind::Unit, Kind::New(1), Kind::Pair(-1, true), Kind::Named { at: 9 }],
        tagged: Tagged::A { n: 1 },
        any: serde_json::json!({ "list": [1, null, "x"], "n": -2.5 }),
        ip: [127, 0, 0, 1].into(),
        wide: (i128::MIN, u128::MAX),
        sparse: BTreeMap::from([(1, None), (2, Some('ü'))]),
        ratio: 0.1,
        nick: None,
    }
}

#[test]
fn every_setting_reads_what_every_other_has_written() {
    for writer in codings() {
        let (head, payload) = written(&user(), &writer);
        assert_eq!(head.format.is_compressed, writer.compress_above.is_some());
        for reader in codings() {
            let shares_key = match (&writer.keys, &reader.keys) {
                (None, None) => true,
                (Some(writer), Some(reader)) => {
                    writer.writing() == reader.writing() || reader.writing().as_str() == "b"
                }
                _ => false,
            };
            match read::<User>(&head, &payload, &reader) {
                Ok(read) => assert!(shares_key && read == user(), "{writer:?} {reader:?}"),
                Err(message) => assert!(!shares_key, "{writer:?} {reader:?}: {message}"),
            }
        }
    }
}

#[test]
fn whole_numbers_are_digits_whatever_the_codec() {
    for coding in codings().into_iter().filter(|coding| coding.keys.is_none()) {
        for number in [0, 1, -1, 127, 128, -33, 65_536, i64::MAX, i64::MIN] {
            let (head, payload) = written(&number, &coding);
            assert_eq!((&head.format, &*payload), (&Format::JSON, number.to_string().as_bytes()));
            assert_eq!(read::<i64>(&head, &payload, &coding), Ok(number));
        }
        let (head, payload) = written(&u64::MAX, &coding);
        assert_eq!((&head.format, &*payload), (&Format::JSON, u64::MAX.to_string().as_bytes()));
    }
}

#[test]
fn other_values_alone_read_back() {
    fn check<T: Stored + PartialEq + std::fmt::Debug>(value: T) {
        for coding in codings() {
            let (head, payload) = written(&value, &coding);
            assert_eq!(read::<T>(&head, &payload, &coding).as_ref(), Ok(&value), "{coding:?}");
        }
    }
    check(String::new());
    check("x".repeat(100));
    check(());
    check(true);
    check(1.5_f32);
    check(f64::MIN_POSITIVE);
    check(Some(5_u8));
    check(None::<u8>);
    check(vec![(1, 'a')]);
    check(i128::MAX);
    check(Kind::Unit);
    check(vec![0_u8; 1_000]);
}

#[test]
fn compression_is_for_what_is_long_and_becomes_shorter() {
    let coding = Coding { compress_above: Some(1_000), ..Coding::default() };
    let is_compressed = |text: &str| written(&text, &coding).0.format.is_compressed;
    assert!(!is_compressed(&"x".repeat(998)), "with its quotes it has 1,000 bytes");
    assert!(is_compressed(&"x".repeat(999)));
    let noise: Vec<u64> = (1..400).map(|n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).collect();
    assert!(!is_compressed(&without_repetition(&noise)), "nothing is gained");
    assert!(written(&"x".repeat(100_000), &coding).1.len() < 1_000);
}

fn without_repetition(numbers: &[u64]) -> String {
    let texts = numbers.iter().flat_map(|n| n.to_be_bytes()).map(|byte| char::from(b'#' + byte % 57));
    texts.collect()
}

#[test]
fn a_block_that_claims_more_than_it_can_hold_takes_no_memory() {
    let coding = Coding { compress_above: Some(0), ..Coding::default() };
    let (head, payload) = written(&"x".repeat(1_000), &coding);
    for claimed in [u32::MAX, LIMIT as u32 + 1, LIMIT as u32, 1_003, 1_001, 0] {
        let mut hostile = payload.to_vec();
        hostile[..4].copy_from_slice(&claimed.to_le_bytes());
        let message = read::<String>(&head, &hostile, &coding).unwrap_err();
        assert_eq!(message.contains("max_value_bytes"), claimed > LIMIT as u32, "{claimed}: {message}");
    }
    for len in 0..payload.len() {
        assert!(read::<String>(&head, &payload[..len], &coding).is_err(), "{len}");
    }
}

#[test]
fn messages_of_another_length_or_depth_are_refused() {
    let decode = coding::decode::<serde_json::Value>;
    let bombs = [
        vec![0x91; 100_000],                                   // lists in lists
        [[0x81, 0xa1, b'a'].repeat(50_000), vec![1]].concat(), // maps in maps
        vec![0xdd, 0xff, 0xff, 0xff, 0xff],                    // a list of four billion
        vec![0xdf, 0xff, 0xff, 0xff, 0xff],                    // a map of as many
        vec![0xdb, 0xff, 0xff, 0xff, 0xff, b'x'],              // a text of four gigabytes
        vec![0xc6, 0xff, 0xff, 0xff, 0xff],                    // bytes
        [vec![0x91; 200], vec![1]].concat(),                   // deeper than JSON may be
        vec![0xc1],
        vec![0xc0, 0xc0],
        vec![],
    ];
    for bomb in bombs {
        assert!(decode(Content::MessagePack, &bomb).is_err(), "{:?}", &bomb[..bomb.len().min(8)]);
    }
    assert!(coding::decode::<Vec<u64>>(Content::MessagePack, &[0xdd, 0xff, 0xff, 0xff, 0xff]).is_err());
    assert!(decode(Content::Json, "[".repeat(100_000).as_bytes()).is_err());
    assert!(decode(Content::Absent, b"null").is_err());
}

#[test]
fn no_message_quotes_the_value() {
    #[derive(Debug, Clone, Serialize, Deserialize)]
    enum Only {
        Known,
    }
    fn refused<T: Stored>(coding: &Coding) -> String {
        let (head, payload) = written(&"top-secret", coding);
        read::<T>(&head, &payload, coding).err().unwrap()
    }
    for coding in codings() {
        for message in [refused::<u64>(&coding), refused::<Only>(&coding), refused::<Vec<u8>>(&coding)] {
            assert!(!message.contains("secret"), "{message}");
        }
    }
}

#[test]
fn what_is_encrypted_shows_nothing_and_is_never_the_same_twice() {
    let coding = Coding { keys: keys(&["a"]), ..Coding::default() };
    let (head, first) = written(&"top-secret", &coding);
    let (_, second) = written(&"top-secret", &coding);
    assert_ne!(&*first, &*second);
    assert!(!first.windows(6).any(|part| part == b"secret"));
    assert_eq!(head.format.to_string(), "json+aes256gcm:a");
    assert_eq!(first.len(), "\"top-secret\"".len() + 12 + 16, "its length shows");
}

#[test]
fn what_was_moved_or_changed_does_not_open() {
    let coding = Coding { keys: keys(&["b", "a"]), compress_above: Some(0), ..Coding::default() };
    let (head, payload) = written(&"x".repeat(100), &coding);
    let opens = |full_key: &str, head: &Head, payload: &[u8]| coding.open(full_key, head, payload, LIMIT, true).is_ok();
    assert!(opens(KEY, &head, &payload));

    assert!(!opens("app:user:8", &head, &payload), "under another key");
    assert!(!opens("other:user:7", &head, &payload), "in another namespace");
    let changed: [fn(&mut Head); 9] = [
        |head| head.tags = Vec::new(),
        |head| head.tags = vec!["org:".into(), "1".into()],
        |head| head.shape = 1,
        |head| head.born = 4,
        |head| head.incarnation = Token(9),
        |head| head.format.content = Content::MessagePack,
        |head| head.format.content = Content::Absent,
        |head| head.format.is_compressed = false,
        |head| head.format.key = crate::store::KeyId::new("a"),
    ];
    for (number, change) in changed.into_iter().enumerate() {
        let mut head = head.clone();
        change(&mut head);
        assert!(!opens(KEY, &head, &payload), "change {number}");
    }
    for at in 0..payload.len() {
        let mut payload = payload.to_vec();
        payload[at] ^= 1;
        assert!(!opens(KEY, &head, &payload), "byte {at}");
    }
    for len in 0..payload.len() {
        assert!(!opens(KEY, &head, &payload[..len]), "{len} bytes");
    }

    // What `expire` writes is not bound.
    let mut expired = head.clone();
    (expired.token, expired.life) = (Token(5), Life { since: 1, fresh_until: 2, dead_at: 3 });
    assert!(opens(KEY, &expired, &payload));
}

#[test]
fn what_is_not_encrypted_is_refused_where_a_key_is_set_but_for_counts() {
    let coding = Coding { keys: keys(&["a"]), ..Coding::default() };
    let (mut head, payload) = written(&5, &Coding::default());
    let open = |head: &Head, counts| coding.open(KEY, head, &payload, LIMIT, counts).is_ok();
    assert!(!open(&head, true), "it has a shape, so a function wrote it");
    head.shape = schema::UNKNOWN;
    assert!(open(&head, true) && !open(&head, false));
    let (mut head, payload) = written(&"5", &Coding::default());
    head.shape = schema::UNKNOWN;
    assert!(coding.open(KEY, &head, &payload, LIMIT, true).is_err());
}

fn from(variables: &[(&str, &str)]) -> crate::Result<Coding> {
    let find = |name: &str| variables.iter().find(|(given, _)| *given == name).map(|(_, text)| (*text).to_owned());
    Coding::from_variables(&crate::config::Variables(&find))
}

#[test]
fn the_environment_chooses() {
    assert_eq!(from(&[]).unwrap(), Coding::default());
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let pairs = format!("new:{key}, old:{}", "/".repeat(42) + "8=");
    let coding =
        from(&[("CACHE_CODEC", "MsgPack"), ("CACHE_COMPRESS_ABOVE", "1024"), ("CACHE_ENCRYPT_KEYS", &pairs)]).unwrap();
    assert_eq!((coding.codec, coding.compress_above), (Setting::MessagePack, Some(1_024)));
    assert_eq!(coding.keys.as_ref().unwrap().writing().as_str(), "new");
    assert!(format!("{coding:?}").contains(r#"["new", "old"]"#) && !format!("{coding:?}").contains("AAEC"));

    let (head, payload) = written(&"text", &coding);
    let again = from(&[("CACHE_ENCRYPT_KEYS", &format!("new:{key}"))]).unwrap();
    assert_eq!(read::<String>(&head, &payload, &again).as_deref(), Ok("text"), "the key is what was given");
}

#[test]
fn what_cannot_be_used_is_an_error_that_says_what_can() {
    let message = from(&[("CACHE_CODEC", "xml")]).unwrap_err().to_string();
    assert!(message.contains("CACHE_CODEC is `xml`; it can be `json` or `msgpack`"), "{message}");
    let message = from(&[("CACHE_COMPRESS_ABOVE", "1k")]).unwrap_err().to_string();
    assert!(message.contains("CACHE_COMPRESS_ABOVE is `1k`"), "{message}");
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let wrong = [
        key.to_owned(),
        format!("a b:{key}"),
        format!(":{key}"),
        "a:tooshort".to_owned(),
        format!("a:{}", &key[..40]),
        format!("a:{key},"),
        format!("a:{key},b"),
    ];
    for text in wrong {
        let message = from(&[("CACHE_ENCRYPT_KEYS", &text)]).unwrap_err().to_string();
        assert!(message.contains("CACHE_ENCRYPT_KEYS") && message.contains("openssl rand"), "{message}");
        assert!(!message.contains("AAEC") && !message.contains("tooshort"), "{message}");
    }
    let twice = format!("a:{key},a:{key}");
    let message = from(&[("CACHE_ENCRYPT_KEYS", &twice)]).unwrap_err().to_string();
    assert!(message.contains("two encryption keys have the id `a`"), "{message}");
}

#[test]
fn what_cannot_be_written_is_described_alike_where_it_is_only_measured() {
    let (codec, map) = (Codec::<HashMap<(u8, u8), u8>>::stored(), HashMap::from([((1, 2), 3)]));
    let written = codec.encode(&map, &Coding::default()).unwrap().unwrap_err();
    let measured = codec.decoded(&map, &Coding::default()).unwrap().unwrap_err();
    assert_eq!(written, measured);
}
