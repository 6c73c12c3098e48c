use std::sync::Arc;

use futures_util::FutureExt;

use super::*;
use crate::store::{
    Format, Life, Over, Payload, Value,
    conformance::{self, Fixture},
    glob,
};

async fn fixture() -> Fixture {
    let clock = Clock::manual();
    Fixture::new(Arc::new(LocalStore::new(64 << 20, clock.clone())), clock)
}

conformance::tests!(fixture);

mod keeping_decoded {
    use super::*;

    async fn fixture() -> Fixture {
        let clock = Clock::manual();
        Fixture::new(Arc::new(LocalStore::keeping_decoded(64 << 20, clock.clone())), clock)
    }

    conformance::tests!(fixture);
}

#[tokio::test]
async fn nobody_waits_for_a_seized_lease_that_is_doomed() {
    conformance::nobody_waits_for_a_seized_lease_that_is_doomed(fixture().await).await;
}

/// Local operations are complete when they are first polled.
fn now<T>(future: StoreFuture<'_, T>) -> T {
    future.now_or_never().unwrap().unwrap()
}

fn value(text: &str, tags: &[&str], clock: &Clock) -> Value {
    Value {
        life: Life { since: clock.now(), fresh_until: clock.now() + 60_000, dead_at: clock.now() + 60_000 },
        keep: Duration::from_secs(60),
        tags: conformance::tags(tags),
        shape: 0,
        format: Format::JSON,
        payload: conformance::payload(text),
        decoded: None,
    }
}

/// The same as it is.
fn decoded(text: &str, tags: &[&str], clock: &Clock) -> Value {
    let value = value("", tags, clock);
    Value { payload: Payload::default(), decoded: Some(conformance::as_it_is(text)), ..value }
}

fn put(store: &LocalStore, space: &Namespace, key: &str, value: Value) -> Filled {
    let seizure = Seizure { key, ttl: Duration::from_secs(9), tags: &value.tags, over: Over::Anything };
    let Seized::Granted { token, stamp, .. } = now(store.seize(space, seizure)) else { panic!("over anything") };
    now(store.fill(space, Fill { key, token, stamp, value: Some(value) }))
}

fn has(store: &LocalStore, space: &Namespace, key: &str) -> bool {
    now(store.read(space, &[key], &[])).found[0].entry.is_some()
}

fn stored(store: &LocalStore) -> u64 {
    store.shards.iter().map(|shard| shard.keys_where(|_, _| true).len() as u64).sum()
}

fn counted(store: &LocalStore) -> u64 {
    store.shards.iter().map(Shard::entry_count).sum()
}

/// Threads that put and invalidate the same few keys, by key, by tag, by pattern and by time.
fn hammer(store: &LocalStore, threads: u64, rounds: u64, largest: usize) {
    let space = Namespace::new("hammer");
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let space = &space;
            scope.spawn(move || {
                let mut random = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(thread + 1);
                for _ in 0..rounds {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    one_operation(store, space, random, largest);
                }
            });
        }
    });
}

fn one_operation(store: &LocalStore, space: &Namespace, random: u64, largest: usize) {
    let key = format!("key:{}", random % 500);
    let tag = format!("tag:{}", random % 7);
    match random >> 32 & 0xFF {
        0..=140 => {
            let text = "x".repeat((random >> 40) as usize % largest);
            let value = if store.keeps_decoded() && random >> 20 & 1 == 0 { decoded } else { value };
            put(store, space, &key, value(&text, &[&tag], &store.clock));
        }
        141..=200 => drop(now(store.invalidate_keys(space, &[&key]))),
        201..=240 => drop(has(store, space, &key)),
        241..=247 => now(store.invalidate_tags(space, &conformance::tags(&[&tag]))),
        248..=252 => drop(now(store.invalidate_pattern(space, "key:*7"))),
        253 => store.clock.advance(Duration::from_secs(1)),
        254 => now(store.clear(space)),
        _ => store.maintain(),
    }
}

#[test]
fn concurrent_writes_leave_no_ghosts() {
    for (form, max_bytes) in
        [(Form::Encoded, 1 << 17), (Form::Encoded, 64 << 20), (Form::AsGiven, 1 << 17), (Form::AsGiven, 64 << 20)]
    {
        let store = LocalStore::with(form, max_bytes, Clock::manual());
        hammer(&store, 4, 20_000, 600);
        store.maintain();
        let live = store.live_entries();
        assert!(live > 0);
        assert_eq!((stored(&store), counted(&store)), (live, live), "stored and counted, with {max_bytes} bytes");
        store.clock.advance(Duration::from_secs(60));
        store.maintain();
        assert_eq!((stored(&store), counted(&store), store.live_entries()), (0, 0, 0));
        assert_eq!(store.shards.iter().map(Shard::weighted_size).sum::<u64>(), 0);
    }
}

#[test]
fn the_byte_budget_holds_after_maintenance() {
    for form in [Form::Encoded, Form::AsGiven] {
        let max_bytes = 200_000;
        let store = LocalStore::with(form, max_bytes, Clock::manual());
        hammer(&store, 8, 5_000, 4_000);
        store.maintain();
        let counted: u64 = store.shards.iter().map(Shard::weighted_size).sum();
        let mut really = 0;
        for shard in &store.shards {
            for key in shard.keys_where(|_, _| true) {
                let entry = shard.get(key.as_ref()).unwrap();
                really += conformance::text_of(&entry).len() as u64 + 300 + entry.head.tags.len() as u64;
            }
        }
        assert!(counted <= max_bytes, "{counted} bytes counted");
        assert!(0 < really && really <= counted, "{really} bytes held, {counted} counted");
    }
}

#[test]
fn a_key_is_held_in_one_form_only() {
    let store = LocalStore::keeping_decoded(1 << 20, Clock::manual());
    let space = Namespace::new("forms");
    let text = || now(store.read(&space, &["key"], &[])).found[0].entry.as_deref().map(conformance::text_of).unwrap();
    for round in 0..3 {
        put(&store, &space, "key", decoded("1", &[], &store.clock));
        assert_eq!((text().as_str(), stored(&store), counted(&store)), ("1", 1, 1), "round {round}");
        assert!(store.at_once(&space, "key").is_some());
        put(&store, &space, "key", value("2", &[], &store.clock));
        assert_eq!((text().as_str(), stored(&store), counted(&store)), ("2", 1, 1), "round {round}");
        assert!(store.at_once(&space, "key").is_none(), "it would have to be decoded");
    }
    assert_eq!(now(store.invalidate_keys(&space, &["key"])), 1);
    assert_eq!((stored(&store), counted(&store)), (0, 0));
}

#[test]
fn what_was_set_takes_the_room_of_what_was_loaded_and_leaves_it_an_eighth() {
    let max_bytes = 1 << 20;
    let store = LocalStore::keeping_decoded(max_bytes, Clock::manual());
    let space = Namespace::new("shares");
    let size = || store.shards.iter().map(Shard::weighted_size).sum::<u64>();
    let text = "x".repeat(700);
    let load = || {
        for n in 0..2_000 {
            put(&store, &space, &format!("a{n}"), decoded(&text, &[], &store.clock));
        }
    };
    let loaded = || now(store.invalidate_pattern(&space, "a*"));
    load();
    assert!(size() > max_bytes - 1_100, "all of the room is taken");
    for n in 0..2_000 {
        put(&store, &space, &format!("b{n}"), value(&text, &[], &store.clock));
        assert!(size() <= max_bytes);
    }
    assert!(has(&store, &space, "b1999"));
    load();
    assert!(size() <= max_bytes);
    assert!((80..150).contains(&loaded()), "about an eighth of a thousand");
    now(store.invalidate_pattern(&space, "b*"));
    load();
    assert!(loaded() > 1_000, "and all of it again");
}

#[test]
fn the_longest_value_by_default_finds_room_among_what_was_set() {
    let store = LocalStore::keeping_decoded(SMALLEST_SHARD, Clock::manual());
    let space = Namespace::new("long");
    for n in 0..2 * SMALLEST_SHARD / 10_000 {
        put(&store, &space, &n.to_string(), value(&"x".repeat(10_000), &[], &store.clock));
    }
    put(&store, &space, "long", decoded(&"x".repeat(1 << 20), &[], &store.clock));
    assert!(store.at_once(&space, "long").is_some());
}

#[test]
fn at_once_finds_what_a_read_would() {
    let store = LocalStore::keeping_decoded(1 << 20, Clock::manual());
    let (space, other) = (Namespace::new("at once"), Namespace::new("other"));
    let put = |key: &str| put(&store, &space, key, decoded("1", &["tag"], &store.clock));
    let is_found = |key: &str| store.at_once(&space, key).is_some();
    put("tagged");
    assert!(is_found("tagged") && store.at_once(&other, "tagged").is_none());
    now(store.invalidate_tags(&space, &conformance::tags(&["tag"])));
    assert!(!is_found("tagged"));
    put("dead");
    store.clock.advance(Duration::from_secs(60));
    assert!(!is_found("dead"));
    put("cleared");
    now(store.clear(&space));
    assert!(!is_found("cleared"));
    put("there");
    now(store.invalidate_keys(&space, &["there"]));
    assert!(!is_found("there"));
}

#[test]
fn a_new_value_makes_room_by_what_was_used_least_recently() {
    let store = LocalStore::new(10_000, Clock::manual());
    let space = Namespace::new("lru");
    for n in 0..100 {
        let key = format!("key:{n}");
        put(&store, &space, &key, value(&"x".repeat(500), &[], &store.clock));
        assert!(has(&store, &space, &key), "what was just set is there");
        assert!(has(&store, &space, "key:0"), "and so is what is used all the time, after {n}");
    }
    assert!(!has(&store, &space, "key:1"));
}

#[test]
fn a_value_larger_than_its_shard_is_not_kept_and_evicts_nothing() {
    let store = LocalStore::new(10_000, Clock::manual());
    let space = Namespace::new("large");
    put(&store, &space, "small", value("1", &[], &store.clock));
    put(&store, &space, "large", value("1", &[], &store.clock));
    assert_eq!(put(&store, &space, "large", value(&"x".repeat(10_000), &[], &store.clock)), Filled::Current);
    assert!(has(&store, &space, "small"));
    assert!(!has(&store, &space, "large"), "nor is the value that it was to replace");
    assert_eq!((stored(&store), counted(&store)), (1, 1));
}

#[test]
fn a_part_of_a_larger_reply_is_kept_without_the_rest() {
    let store = LocalStore::new(1 << 20, Clock::manual());
    let space = Namespace::new("part");
    let part = Payload::part(vec![b'7'; 1 << 16], 5..8).unwrap();
    put(&store, &space, "key", Value { payload: part, ..value("", &[], &store.clock) });
    let kept = now(store.read(&space, &["key"], &[])).found[0].entry.as_ref().unwrap().payload.clone();
    assert_eq!((&*kept, kept.held_len()), (&b"777"[..], 3));
}

#[test]
fn writes_alone_sweep_what_is_dead_or_invalid() {
    let store = LocalStore::new(64 << 20, Clock::manual());
    let space = Namespace::new("sweep");
    let fill = |from: u32, tags: &[&str]| {
        for n in from..from + 1_000 {
            put(&store, &space, &n.to_string(), value("1", tags, &store.clock));
        }
    };
    fill(0, &[]);
    store.clock.advance(Duration::from_secs(60));
    fill(1_000, &["a"]);
    now(store.invalidate_tags(&space, &conformance::tags(&["a"])));
    assert_eq!((store.live_entries(), stored(&store)), (0, 2_000));
    for _ in 0..40 {
        fill(2_000, &[]);
    }
    assert_eq!((store.live_entries(), stored(&store)), (1_000, 1_000));
}

#[test]
fn abandoned_leases_are_bounded() {
    let clock = Clock::manual();
    let store = LocalStore::with_limits(Form::Encoded, 1 << 20, clock.clone(), 1_000, Limits::default());
    let space = Namespace::new("leases");
    let stamp = now(store.read(&space, &[], &[])).stamp;
    let lease = |n: u32| {
        let key = n.to_string();
        let ttl = Duration::from_millis(10_000 + u64::from(n));
        let request = LeaseRequest { key: &key, ttl, seen: None, stamp };
        match now(store.lease(&space, request)) {
            Lease::Granted(token) => token,
            refused => panic!("{refused:?}"),
        }
    };
    let tokens: Vec<_> = (0..5_000).map(lease).collect();
    let held = || store.shards.iter().map(|shard| shard.lock().leases.len()).sum::<usize>();
    assert_eq!(held(), 1_000);
    let fill = |n: usize| {
        let value = Some(value("1", &[], &clock));
        now(store.fill(&space, Fill { key: &n.to_string(), token: tokens[n], stamp, value }))
    };
    assert_eq!(fill(0), Filled::Rejected, "the first to end had to go");
    assert_eq!(fill(4_999), Filled::Current);

    clock.advance(Duration::from_secs(20));
    store.maintain();
    assert_eq!(held(), 0);
}

#[test]
fn forgotten_stamps_make_entries_invalid_and_never_valid() {
    let limits = Limits { tags: 100, spaces: 8 };
    let store = LocalStore::with_limits(Form::Encoded, 1 << 20, Clock::manual(), 1_000, limits);
    let space = Namespace::new("tags");
    let put = |key: &str, tag: &str| put(&store, &space, key, value("1", &[tag], &store.clock));
    let invalidate = |tag: &str| now(store.invalidate_tags(&space, &conformance::tags(&[tag])));

    put("old", "old");
    invalidate("old");
    put("kept", "never invalidated");
    put("late", "late");
    for n in 0..95 {
        invalidate(&format!("tag:{n}"));
    }
    invalidate("late");
    assert!(has(&store, &space, "kept"), "all stamps are still known");
    for n in 95..300 {
        invalidate(&format!("tag:{n}"));
        assert!(!has(&store, &space, "old") && !has(&store, &space, "late"), "round {n}");
    }
    assert!(!has(&store, &space, "kept"), "nobody knows any more");
    assert!(store.stamps.sizes().1 <= 100);
    assert_eq!(put("kept", "never invalidated"), Filled::Current);
    assert!(has(&store, &space, "kept"));
}

#[test]
fn a_forgotten_namespace_begins_anew() {
    let limits = Limits { tags: 100, spaces: 8 };
    let store = LocalStore::with_limits(Form::Encoded, 1 << 20, Clock::manual(), 1_000, limits);
    let first = Namespace::new("first");
    let put_one = |space: &Namespace| put(&store, space, "key", value("1", &["a"], &store.clock));
    put_one(&first);
    now(store.invalidate_tags(&first, &conformance::tags(&["a"])));
    for n in 0..100 {
        store.clock.advance(Duration::from_millis(1));
        let space = Namespace::new(&format!("space:{n}"));
        put_one(&space);
        assert!(has(&store, &space, "key"));
    }
    assert!(!has(&store, &first, "key"));
    let (spaces, tags) = store.stamps.sizes();
    assert!(spaces <= 8 && tags == 0, "{spaces} namespaces, {tags} tags");
    put_one(&first);
    assert!(has(&store, &first, "key"));
}

#[test]
fn a_namespace_that_is_only_hit_is_not_idle() {
    let limits = Limits { tags: 100, spaces: 8 };
    let store = LocalStore::with_limits(Form::AsGiven, 1 << 20, Clock::manual(), 1_000, limits);
    let hit = Namespace::new("hit");
    put(&store, &hit, "key", decoded("1", &[], &store.clock));
    for n in 0..100 {
        store.clock.advance(Duration::from_millis(1));
        assert!(store.at_once(&hit, "key").is_some(), "after {n} others");
        put(&store, &Namespace::new(&format!("space:{n}")), "key", decoded("1", &[], &store.clock));
    }
}

#[test]
fn a_thousand_stars_are_matched_in_no_time() {
    let pattern = "a*".repeat(500) + "b";
    assert!(!glob::matches(pattern.as_bytes(), "a".repeat(5_000).as_bytes()));
    assert!(glob::matches(b"*", b""));
    assert!(glob::matches(b"", b""));
    assert!(glob::matches(b"a\\", b"a\\"));
}
