use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn value(payload: &str, tags: &[&str]) -> Value {
    Value {
        life: Life { since: 5, fresh_until: 10, dead_at: u64::MAX },
        keep: Duration::from_secs(1),
        tags: tags.iter().map(|tag| (*tag).into()).collect(),
        shape: 0xff,
        format: Format::JSON,
        payload: Payload::new(payload.as_bytes()),
        decoded: None,
    }
}

fn sealed(payload: &str, tags: &[&str]) -> Vec<u8> {
    seal(Token(1), Token(2), 3, &value(payload, tags))
}

#[test]
fn an_entry_reads_back_and_is_json() {
    for tags in [&[][..], &["org:1"], &["a", "quote\",\"value\":", "ü\n"]] {
        let bytes = sealed(r#"{"name":"Ada","list":[1,2]}"#, tags);
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(json["value"]["name"], "Ada");

        let opened = Opened::new(Some(bytes));
        let entry = opened.entry.unwrap();
        assert_eq!(opened.seen, Some(Token(1)));
        assert!(!opened.unreadable);
        assert_eq!(&*entry.payload, br#"{"name":"Ada","list":[1,2]}"#);
        let Head { token, incarnation, born, life, tags: read, shape, format } = &entry.head;
        assert_eq!(
            (token, incarnation, born, life),
            (&Token(1), &Token(2), &3, &Life { since: 5, fresh_until: 10, dead_at: u64::MAX })
        );
        assert_eq!(read.iter().map(|tag| &**tag).collect::<Vec<_>>(), tags);
        assert_eq!((shape, format), (&0xff, &Format::JSON));
    }
}

#[test]
fn token_and_incarnation_stand_at_fixed_offsets() {
    let bytes = sealed("1", &[]);
    assert_eq!(&bytes[TOKEN], Token(1).to_string().as_bytes());
    assert_eq!(&bytes[51..83], Token(2).to_string().as_bytes());
}

#[test]
fn nothing_is_not_unreadable() {
    for nothing in [None, Some(Vec::new())] {
        let opened = Opened::new(nothing);
        assert!(opened.entry.is_none() && opened.seen.is_none() && !opened.unreadable);
    }
}

#[test]
fn every_truncation_is_unreadable_and_none_panics() {
    let whole = sealed(r#"{"a":1}"#, &["t", "u"]);
    for len in 1..whole.len() {
        let opened = Opened::new(Some(whole[..len].to_vec()));
        // Cutting the outer brace leaves a value that lacks its own: its decoder finds out.
        if len < whole.len() - 1 {
            assert!(opened.unreadable, "{len}");
        }
        assert!(opened.seen.is_some());
    }
}

#[test]
fn every_changed_byte_is_harmless() {
    let whole = sealed("17", &["tag"]);
    for at in 0..whole.len() {
        for byte in [0, b'"', b'{', b'}', b'9', b'z', 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            let _ = Opened::new(Some(bytes));
        }
    }
}

#[test]
fn what_is_not_an_envelope_can_still_be_told_apart() {
    let seen = |bytes: &[u8]| {
        let opened = Opened::new(Some(bytes.to_vec()));
        assert!(opened.unreadable);
        opened.seen.unwrap()
    };
    assert_ne!(seen(b"garbage"), seen(b"other"));
    assert_ne!(seen(&[0xff; 3]), seen(&[0xff; 200]));
    assert_eq!(seen(b"\x01"), Token(1 << 120));
    let deep = [br#"{"token":"00000000000000000000000000000001","inc":"00000000000000000000000000000002","born":1,"since":1,"fresh":1,"dead":1,"tags":"#.to_vec(), vec![b'['; 100_000]].concat();
    assert_eq!(seen(&deep), Token(1));
    let huge = r#"{"token":"00000000000000000000000000000001","inc":"00000000000000000000000000000002","born":99999999999999999999999}"#;
    assert_eq!(seen(huge.as_bytes()), Token(1));
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let opened = Opened::new(Some(bytes.clone()));
        prop_assert_eq!(opened.seen.is_some(), !bytes.is_empty());
    }

    #[test]
    fn a_damaged_envelope_is_read_without_panic(
        at in 0usize..200, with in prop::collection::vec(any::<u8>(), 0..8), gone in 0usize..8,
    ) {
        let mut bytes = sealed(r#"{"a":[1,2,3]}"#, &["tag", "other"]);
        let from = at.min(bytes.len());
        let to = (from + gone).min(bytes.len());
        bytes.splice(from..to, with);
        let _ = Opened::new(Some(bytes));
    }

    #[test]
    fn whatever_is_sealed_is_opened_and_is_json(
        token: u128, inc: u128, born: u64, fresh: u64, dead: u64, shape: u64, text: String, tags: Vec<String>,
    ) {
        let payload = serde_json::to_string(&text).unwrap();
        let names: Vec<&str> = tags.iter().map(String::as_str).collect();
        let value = Value { life: Life { since: fresh, fresh_until: fresh, dead_at: dead }, shape, ..value(&payload, &names) };
        let bytes = seal(Token(token), Token(inc), born, &value);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
        let entry = Opened::new(Some(bytes)).entry.unwrap();
        prop_assert_eq!(&*entry.payload, payload.as_bytes());
        let expected = Head {
            token: Token(token), incarnation: Token(inc), born, life: Life { since: fresh, fresh_until: fresh, dead_at: dead },
            tags: value.tags, shape, format: Format::JSON,
        };
        prop_assert_eq!(&entry.head, &expected);
    }
}
