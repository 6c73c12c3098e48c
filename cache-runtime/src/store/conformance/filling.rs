//! Reading, filling, deadlines and keys.

use super::*;

pub(crate) async fn a_key_that_was_never_filled_reads_as_nothing(on: Fixture) {
    let found = on.find("user:1").await;
    assert!(found.entry.is_none());
    assert_eq!(found.seen, None);
}

pub(crate) async fn a_fill_reads_back_as_it_was_written(on: Fixture) {
    const TEXT: &str = r#"{"name":"Zoë \"Z\" \\ 💚","n":[1,null,-2.5e300]}"#;
    let load = on.begin("user:1", &["org:2"]).await;
    let value = on.value(TEXT, &["org:2", "b"]);
    assert_eq!(on.fill(load.fills(value.clone())).await, Filled::Current);

    let found = on.read(&["user:1"], &["org:2"]).await.found.remove(0);
    assert_eq!(found.seen, Some(load.token));
    let entry = found.entry.unwrap();
    assert_eq!(text_of(&entry), TEXT);
    let expected = Head {
        token: load.token,
        incarnation: load.stamp.incarnation,
        born: load.stamp.born,
        life: value.life,
        tags: value.tags,
        shape: value.shape,
        format: value.format,
    };
    assert_eq!(entry.head, expected);
}

pub(crate) async fn a_cached_absence_reads_back(on: Fixture) {
    let load = on.begin("user:1", &[]).await;
    let value = Value { format: Format::ABSENT, shape: u64::MAX, ..on.value("null", &[]) };
    assert_eq!(on.fill(load.fills(value)).await, Filled::Current);

    let entry = on.find("user:1").await.entry.unwrap();
    assert_eq!(entry.head.format, Format::ABSENT);
    assert_eq!(entry.head.shape, u64::MAX, "shapes use all 64 bits");
    assert_eq!(text_of(&entry), "null");
}

/// No store looks into the bytes, and each takes them for what they are.
pub(crate) async fn bytes_of_any_format_read_back(on: Fixture) {
    let bytes: Vec<u8> = (0..=255).chain(*br#""}","format":"json","value":"#).chain([0; 3]).collect();
    for format in ["msgpack", "json+lz4", "msgpack+lz4+aes256gcm:2026-11", "absent+aes256gcm:a"] {
        let format: Format = format.parse().unwrap();
        let load = on.begin("bytes", &["t"]).await;
        let payload = Payload::new(&*bytes);
        let value = Value { format: format.clone(), payload, decoded: None, ..on.value("", &["t"]) };
        assert_eq!(on.fill(load.fills(value)).await, Filled::Current);
        let entry = on.find("bytes").await.entry.unwrap();
        assert_eq!((&entry.head.format, &*entry.payload), (&format, &*bytes));
        let life = Life { since: 1, fresh_until: entry.head.life.fresh_until, dead_at: entry.head.life.dead_at };
        let expiry = Expiry { key: "bytes", life, keep: Duration::from_secs(60), was: None };
        assert!(on.store.expire(&on.space, expiry).await.unwrap());
        let expired = on.find("bytes").await.entry.unwrap();
        assert_eq!((&expired.head.format, &*expired.payload), (&format, &*bytes), "new deadlines leave the rest");
        assert_eq!((expired.head.incarnation, expired.head.born), (entry.head.incarnation, entry.head.born));
        on.invalidate(&["bytes"]).await;
    }
}

pub(crate) async fn a_large_value_reads_back(on: Fixture) {
    let text = format!("\"{}\"", "x".repeat(1 << 20));
    on.put("large", &text, &[]).await;
    assert!(on.text("large").await == Some(text));
}

pub(crate) async fn a_read_answers_in_the_order_of_its_keys(on: Fixture) {
    for key in ["a", "b", "c"] {
        on.put(key, &format!("\"{key}\""), &[]).await;
    }
    let reading = on.read(&["c", "gone", "a", "c", "b"], &[]).await;
    let texts: Vec<_> = reading.found.iter().map(|found| found.entry.as_deref().map(text_of)).collect();
    let expected = [Some("\"c\""), None, Some("\"a\""), Some("\"c\""), Some("\"b\"")];
    assert_eq!(texts, expected.map(|text| text.map(String::from)));
}

pub(crate) async fn a_read_of_no_keys_still_tells_the_stamp(on: Fixture) {
    let reading = on.read(&[], &["a"]).await;
    assert!(reading.found.is_empty());
    let again = Stamp { link: reading.stamp.link, ..on.stamp(&["a"]).await };
    assert_eq!(reading.stamp, again, "nothing happened in between");
}

pub(crate) async fn keys_and_tags_may_hold_any_character(on: Fixture) {
    let odd = ["a b", "a:b:c", "Zoë/💚", "%7B%7D", "a*b?[c]\\", "!,()\"'", "\n\t", "#", "", "inc:x", "lease:x"];
    for (index, key) in odd.iter().enumerate() {
        on.put(key, &index.to_string(), &[key]).await;
    }
    for (index, key) in odd.iter().enumerate() {
        assert_eq!(on.text(key).await, Some(index.to_string()), "{key:?}");
        on.invalidate_tags(&[key]).await;
        assert_eq!(on.text(key).await, None, "{key:?}");
    }
}

pub(crate) async fn a_fill_replaces_the_entry_before_it(on: Fixture) {
    on.put("user:1", "1", &["a"]).await;
    on.put("user:1", "2", &["b"]).await;
    assert_eq!(on.text("user:1").await.as_deref(), Some("2"));
    on.invalidate_tags(&["a"]).await;
    assert_eq!(on.text("user:1").await.as_deref(), Some("2"), "it has the new entry's tags");
}

pub(crate) async fn a_fill_without_a_lease_is_rejected(on: Fixture) {
    let made_up = Load { key: "user:1", token: Token(42), stamp: on.stamp(&[]).await };
    assert_eq!(on.fill(made_up.fills(on.value("1", &[]))).await, Filled::Rejected);
    assert_eq!(on.fill(made_up.releases()).await, Filled::Rejected);

    let held = on.begin("user:1", &[]).await;
    assert_eq!(on.fill(made_up.fills(on.value("1", &[]))).await, Filled::Rejected);
    assert_eq!(on.fill(made_up.releases()).await, Filled::Rejected);
    assert_eq!(on.text("user:1").await, None);
    assert_eq!(on.fill(held.fills(on.value("2", &[]))).await, Filled::Current, "the holder's lease stays");
}

pub(crate) async fn a_token_fills_once(on: Fixture) {
    let load = on.begin("user:1", &[]).await;
    assert_eq!(on.fill(load.fills(on.value("1", &[]))).await, Filled::Current);
    assert_eq!(on.fill(load.fills(on.value("2", &[]))).await, Filled::Rejected);
    assert_eq!(on.text("user:1").await.as_deref(), Some("1"));
}

pub(crate) async fn a_token_fills_no_other_key(on: Fixture) {
    let load = on.begin("user:1", &[]).await;
    let elsewhere = Load { key: "user:2", ..load };
    assert_eq!(on.fill(elsewhere.fills(on.value("1", &[]))).await, Filled::Rejected);
    assert_eq!(on.text("user:2").await, None);
}

pub(crate) async fn many_fills_are_answered_one_by_one(on: Fixture) {
    let (a, b, c) = (on.begin("a", &[]).await, on.begin("b", &[]).await, on.begin("c", &[]).await);
    let d = on.begin("d", &["t"]).await;
    on.invalidate(&["b"]).await;
    on.invalidate_tags(&["t"]).await;
    let fills = vec![
        a.fills(on.value("1", &[])),
        b.fills(on.value("2", &[])),
        c.releases(),
        d.fills(on.value("4", &["t"])),
        Load { key: "e", ..a }.fills(on.value("5", &[])),
    ];
    let filled = on.store.fill_many(&on.space, fills).await.unwrap();
    assert_eq!(filled[..2], [Filled::Current, Filled::Rejected]);
    assert_eq!(filled[3..], [Filled::Overtaken, Filled::Rejected]);
    for (key, text) in [("a", Some("1")), ("b", None), ("c", None), ("d", None), ("e", None)] {
        assert_eq!(on.text(key).await.as_deref(), text, "{key}");
    }
    assert!(on.store.fill_many(&on.space, Vec::new()).await.unwrap().is_empty());
}

pub(crate) async fn a_release_stores_nothing_and_frees_the_key(on: Fixture) {
    let load = on.begin("user:1", &[]).await;
    assert_eq!(on.fill(load.releases()).await, Filled::Current);
    assert_eq!(on.text("user:1").await, None);
    assert_eq!(on.fill(load.fills(on.value("1", &[]))).await, Filled::Rejected);
    on.put("user:1", "2", &[]).await;
}

pub(crate) async fn a_release_leaves_the_entry_that_is_there(on: Fixture) {
    on.put("user:1", "1", &[]).await;
    let refresh = on.begin("user:1", &[]).await;
    assert_eq!(on.fill(refresh.releases()).await, Filled::Current);
    assert_eq!(on.text("user:1").await.as_deref(), Some("1"));
}

pub(crate) async fn a_stale_entry_is_read_and_a_dead_one_is_not(on: Fixture) {
    on.put("user:1", "1", &[]).await;
    let token = on.find("user:1").await.seen;

    on.clock.advance(Duration::from_millis(119_999));
    assert_eq!(on.text("user:1").await.as_deref(), Some("1"), "stale, and its last millisecond");

    on.clock.advance(Duration::from_millis(1));
    let dead = on.find("user:1").await;
    assert!(dead.entry.is_none());
    assert!(dead.seen.is_none() || dead.seen == token, "what is left of it may still be seen");
    on.put("user:1", "2", &[]).await;
    assert_eq!(on.text("user:1").await.as_deref(), Some("2"));
}

/// It is served in place of a fresh one, under the same conditions.
pub(crate) async fn a_stale_entry_is_as_valid_as_its_stamps(on: Fixture) {
    on.put("user:1", "1", &["a"]).await;
    on.put("user:2", "2", &[]).await;
    on.clock.advance(Duration::from_secs(60));
    assert_eq!(on.text("user:1").await.as_deref(), Some("1"));
    on.invalidate_tags(&["a"]).await;
    assert_eq!((on.text("user:1").await, on.text("user:2").await.as_deref()), (None, Some("2")));
    on.clear().await;
    assert_eq!(on.text("user:2").await, None);
}

async fn expire(on: &Fixture, key: &str, fresh: u64, dead: u64) -> bool {
    expire_only(on, key, None, fresh, dead).await
}

async fn expire_only(on: &Fixture, key: &str, was: Option<Life>, fresh: u64, dead: u64) -> bool {
    let (now, keep) = (on.clock.now(), Duration::from_millis(dead));
    let life = Life { since: now, fresh_until: now + fresh, dead_at: now + dead };
    on.store.expire(&on.space, Expiry { key, life, keep, was }).await.unwrap()
}

pub(crate) async fn an_expiry_may_be_of_one_entry_and_no_other(on: Fixture) {
    on.put("user:1", "1", &[]).await;
    let first = on.find("user:1").await.entry.unwrap().head.life;
    on.clock.advance(Duration::from_secs(1));
    on.put("user:1", "2", &[]).await;
    let second = on.find("user:1").await.entry.unwrap().head.life;
    assert!(!expire_only(&on, "user:1", Some(first), 600_000, 600_000).await, "it was replaced");
    assert_eq!(on.find("user:1").await.entry.unwrap().head.life, second);
    assert!(expire_only(&on, "user:1", Some(second), 600_000, 600_000).await);
    assert_eq!(on.find("user:1").await.entry.unwrap().head.life.fresh_until, on.clock.now() + 600_000);
}

pub(crate) async fn an_expiry_replaces_the_deadlines(on: Fixture) {
    on.put("user:1", "1", &["a"]).await;
    assert!(expire(&on, "user:1", 600_000, 900_000).await);

    on.clock.advance(Duration::from_secs(899));
    let entry = on.find("user:1").await.entry.unwrap();
    assert_eq!(text_of(&entry), "1");
    assert_eq!(entry.head.life.dead_at - entry.head.life.fresh_until, 300_000);
    assert_eq!(entry.head.life.dead_at - on.clock.now(), 1_000);

    assert!(expire(&on, "user:1", 5_000, 10_000).await, "shorter is allowed too");
    on.clock.advance(Duration::from_secs(9));
    assert_eq!(on.text("user:1").await.as_deref(), Some("1"));
    on.invalidate_tags(&["a"]).await;
    assert_eq!(on.text("user:1").await, None, "it kept its tags and its birth");
}

pub(crate) async fn an_expiry_needs_a_valid_entry(on: Fixture) {
    assert!(!expire(&on, "gone", 1_000, 1_000).await);

    on.put("dead", "1", &[]).await;
    on.clock.advance(Duration::from_secs(120));
    assert!(!expire(&on, "dead", 1_000, 1_000).await);

    on.put("tagged", "1", &["a"]).await;
    on.invalidate_tags(&["a"]).await;
    assert!(!expire(&on, "tagged", 1_000, 1_000).await);

    on.put("cleared", "1", &[]).await;
    on.clear().await;
    assert!(!expire(&on, "cleared", 1_000, 1_000).await);

    for key in ["gone", "dead", "tagged", "cleared"] {
        assert_eq!(on.text(key).await, None, "{key}");
    }
}

pub(crate) async fn invalidated_keys_are_gone_and_counted(on: Fixture) {
    for key in ["a", "b", "c"] {
        on.put(key, "1", &[]).await;
    }
    assert_eq!(on.invalidate(&["a", "gone", "b"]).await, 2);
    assert_eq!(on.invalidate(&["a"]).await, 0);
    assert_eq!(on.invalidate(&[]).await, 0);
    assert_eq!(on.text("a").await, None);
    assert_eq!(on.text("b").await, None);
    assert_eq!(on.text("c").await.as_deref(), Some("1"));
}

pub(crate) async fn namespaces_do_not_see_each_other(on: Fixture) {
    on.put("user:1", "1", &[]).await;
    let there = on.store.read(&on.other, &["user:1"], &[]).await.unwrap();
    assert!(there.found[0].entry.is_none());
    assert_eq!(there.found[0].seen, None);
    assert_ne!(there.stamp.incarnation, on.stamp(&[]).await.incarnation);

    let running = on.begin("user:2", &[]).await;
    let stray = running.fills(on.value("2", &[]));
    assert_eq!(on.store.fill(&on.other, stray.clone()).await.unwrap(), Filled::Rejected);
    assert_eq!(on.store.invalidate_keys(&on.other, &["user:1", "user:2"]).await.unwrap(), 0);
    assert_eq!(on.fill(stray).await, Filled::Current);
    assert_eq!(on.text("user:1").await.as_deref(), Some("1"));
}
