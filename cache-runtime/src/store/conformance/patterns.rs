//! Invalidating by pattern.

use super::*;

const KEYS: &[&str] = &[
    "user:1",
    "user:2",
    "user:17",
    "user:1:posts",
    "user",
    "order:1",
    "a*b",
    "axb",
    "a[b",
    "a\\b",
    "a-b",
    "a^b",
    "é:1",
];

/// Each pattern with the keys among [`KEYS`] that it matches, as Redis 7 has it.
const MATCHES: &[(&str, &[&str])] = &[
    ("user:1", &["user:1"]),
    ("user:*", &["user:1", "user:2", "user:17", "user:1:posts"]),
    ("user*", &["user:1", "user:2", "user:17", "user:1:posts", "user"]),
    ("*:1", &["user:1", "order:1", "é:1"]),
    ("u*:*s", &["user:1:posts"]),
    ("user:**7", &["user:17"]),
    ("user:?", &["user:1", "user:2"]),
    ("user:1?", &["user:17"]),
    ("user:[12]", &["user:1", "user:2"]),
    ("user:[2-9]", &["user:2"]),
    ("user:[9-2]", &["user:2"]),
    ("user:[^1]", &["user:2"]),
    ("user:[^1]*", &["user:2"]),
    ("[uo]*r:1", &["user:1", "order:1"]),
    ("user:[]", &[]),
    ("user:[12", &["user:1", "user:2"]),
    ("a\\*b", &["a*b"]),
    ("a*b", &["a*b", "axb", "a[b", "a\\b", "a-b", "a^b"]),
    ("a\\[b", &["a[b"]),
    ("a\\\\b", &["a\\b"]),
    ("a[\\\\]b", &["a\\b"]),
    ("a[*x]b", &["a*b", "axb"]),
    ("a[x^]b", &["axb", "a^b"]),
    ("a[a\\-z]b", &["a-b"]),
    ("\\u\\ser", &["user"]),
    // A byte is what a question mark stands for, and a letter may have several.
    ("?:1", &[]),
    ("??:1", &["é:1"]),
    ("USER", &[]),
    ("", &[]),
];

pub(crate) async fn patterns_match_as_redis_matches(on: Fixture) {
    for (pattern, matching) in MATCHES {
        for key in KEYS {
            on.put(key, "1", &[]).await;
        }
        assert_eq!(on.invalidate_pattern(pattern).await, matching.len() as u64, "{pattern}");
        for key in KEYS {
            assert_eq!(on.text(key).await.is_none(), matching.contains(key), "{pattern} on {key}");
        }
    }
    on.invalidate(KEYS).await;
    on.put("user:1", "1", &[]).await;
    assert_eq!(on.invalidate_pattern("*").await, 1, "all of it");
    assert_eq!(on.invalidate_pattern("*").await, 0);
}

pub(crate) async fn a_pattern_rejects_the_fills_of_older_loads(on: Fixture) {
    let (new, other) = (on.begin("user:1", &[]).await, on.begin("order:1", &[]).await);
    on.put("user:2", "1", &[]).await;
    let refresh = on.begin("user:2", &[]).await;

    assert_eq!(on.invalidate_pattern("user:*").await, 1, "leases are not counted");
    assert_eq!(on.fill(new.fills(on.value("2", &[]))).await, Filled::Rejected);
    assert_eq!(on.fill(refresh.fills(on.value("3", &[]))).await, Filled::Rejected);
    assert_eq!(on.fill(other.fills(on.value("4", &[]))).await, Filled::Current);
    assert_eq!(on.text("user:1").await, None);
    assert_eq!(on.text("user:2").await, None);
    on.put("user:1", "5", &[]).await;
}

pub(crate) async fn a_pattern_stays_in_its_namespace(on: Fixture) {
    on.put("user:1", "1", &[]).await;
    let running = on.begin("user:2", &[]).await;
    assert_eq!(on.store.invalidate_pattern(&on.other, "*").await.unwrap(), 0);
    assert_eq!(on.fill(running.fills(on.value("2", &[]))).await, Filled::Current);

    let stamp = on.store.read(&on.other, &["user:1"], &[]).await.unwrap().stamp;
    let request = LeaseRequest { key: "user:1", ttl: LONG, seen: None, stamp };
    let Lease::Granted(token) = on.store.lease(&on.other, request).await.unwrap() else {
        panic!("nobody holds it in that namespace");
    };
    assert_eq!(on.invalidate_pattern("*").await, 2);
    let fill = Load { key: "user:1", token, stamp }.fills(on.value("3", &[]));
    assert_eq!(on.store.fill(&on.other, fill).await.unwrap(), Filled::Current);
}

pub(crate) async fn a_pattern_reaches_many_keys(on: Fixture) {
    let keys: Vec<String> = (0..2_500).map(|n| format!("many:{n}")).collect();
    for key in &keys {
        on.put(key, "1", &[]).await;
    }
    on.put("one", "1", &[]).await;
    assert_eq!(on.invalidate_pattern("many:*").await, 2_500);
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert!(on.read(&keys, &[]).await.found.iter().all(|found| found.entry.is_none()));
    assert_eq!(on.text("one").await.as_deref(), Some("1"));
}
