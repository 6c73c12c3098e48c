//! Damaged entries, from the envelope to the value: none panics, and an encrypted one is itself or
//! nothing. `PROPTEST_CASES=1000000 cargo test --release hostile` looks for longer.

use std::collections::BTreeMap;

use proptest::{prelude::*, sample::Index};
use secrecy::SecretSlice;
use serde::{Deserialize, Serialize};

use super::envelope::{Opened, seal};
use crate::{
    codec::{Codec, Coding, Keys, Place, coding, encode},
    store::{Life, Token, Value},
};

const KEY: &str = "app:key";
const LIMIT: usize = 1 << 16;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Shape {
    Text(String),
    List(Vec<Shape>),
    Map(BTreeMap<String, u64>),
    Fields {
        a: Option<bool>,
        b: (i8, f32),
    },
    #[serde(other)]
    Nothing,
}

fn value() -> Shape {
    let map = BTreeMap::from([("one".to_owned(), 1), ("many".to_owned(), u64::MAX)]);
    let fields = Shape::Fields { a: None, b: (-1, 0.5) };
    Shape::List(vec![Shape::Text("a line of text ".repeat(10)), Shape::Map(map), fields, Shape::Nothing])
}

fn codings() -> Vec<Coding> {
    let keys = Some(Keys::with(None, "a", &SecretSlice::from(vec![1; 32])).unwrap());
    let with = |codec, compress_above, keys| Coding { codec, compress_above, keys };
    vec![
        with(coding::Codec::Json, None, None),
        with(coding::Codec::MessagePack, None, None),
        with(coding::Codec::Json, Some(0), None),
        with(coding::Codec::MessagePack, Some(0), keys.clone()),
        with(coding::Codec::Json, None, keys),
    ]
}

fn written(coding: &Coding) -> Vec<u8> {
    let tags: Vec<Box<str>> = vec!["org:1".into()];
    let place = Place { full_key: KEY, born: (Token(2), 3), tags: &tags, shape: 0xff };
    let (format, payload) = coding.seal(&encode(&value(), coding).unwrap(), place).unwrap();
    let life = Life { since: 5, fresh_until: 10, dead_at: u64::MAX };
    let value =
        Value { life, keep: std::time::Duration::from_secs(1), tags, shape: 0xff, format, payload, decoded: None };
    seal(Token(1), Token(2), 3, &value)
}

/// What is read of bytes that may be anything.
fn read(bytes: &[u8], coding: &Coding) -> Option<Shape> {
    let entry = Opened::new(Some(bytes.to_vec())).entry?;
    let plain = coding.open(KEY, &entry.head, &entry.payload, LIMIT, true).ok()?;
    assert!(plain.len() <= LIMIT.max(bytes.len()));
    let content = entry.head.format.content;
    // Other types than the one that was written find other ways through the decoder.
    let _ = Codec::<serde_json::Value>::stored().decode(content, &plain);
    let _ = Codec::<Vec<String>>::stored().decode(content, &plain);
    let _ = Codec::<(u8, Option<i128>)>::stored().decode(content, &plain);
    Codec::<Shape>::stored().decode(content, &plain).ok()
}

/// One damage: at a place, some bytes go and others come.
type Damage = (Index, usize, Vec<u8>);

fn damage() -> impl Strategy<Value = Damage> {
    let telling = prop::sample::select(vec![
        b"\"".to_vec(),
        b"+lz4".to_vec(),
        b"msgpack".to_vec(),
        b"absent".to_vec(),
        vec![0xff; 8],
        vec![0xdd, 0xff, 0xff, 0xff, 0xff],
        vec![0x91; 2_000],
        vec![b'['; 2_000],
    ]);
    let any_bytes = prop::collection::vec(any::<u8>(), 0..8);
    (any::<Index>(), 0_usize..12, prop_oneof![any_bytes, telling])
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for (at, gone, with) in damages {
        let from = at.index(bytes.len() + 1);
        let to = (from + gone).min(bytes.len());
        bytes.splice(from..to, with.iter().copied());
    }
    bytes
}

#[test]
fn what_is_not_damaged_reads_back() {
    for coding in codings() {
        assert_eq!(read(&written(&coding), &coding), Some(value()));
    }
}

proptest! {
    #[test]
    fn a_damaged_entry_is_read_without_panic(
        writer in 0_usize..5, reader in 0_usize..5, damages in prop::collection::vec(damage(), 1..4),
    ) {
        let all = codings();
        let read = read(&damaged(written(&all[writer]), &damages), &all[reader]);
        // Whatever else it was, with a key nobody makes one up.
        prop_assert!(reader < 3 || read.is_none_or(|read| read == value()));
    }

    #[test]
    fn any_bytes_behind_a_good_head_are_read_without_panic(
        format in prop::sample::select(vec!["json", "msgpack", "absent", "json+lz4", "msgpack+lz4", "msgpack+aes256gcm:a"]),
        reader in 0_usize..5, bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let whole = written(&Coding::default());
        let at = whole.windows(10).position(|part| part == br#""format":""#).unwrap() + 10;
        let whole = [&whole[..at], format.as_bytes(), br#"","value":"#, &bytes, b"}"].concat();
        let read = read(&whole, &codings()[reader]);
        prop_assert!(reader < 3 || read.is_none());
    }
}
