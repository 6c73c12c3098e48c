//! Loads, invalidations and releases at the same time, against a source whose versions only rise.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::*;

const KEYS: [&str; 3] = ["race:0", "race:1", "race:2"];
const TAGS: [&str; 3] = ["tag:0", "tag:1", "tag:2"];

/// The source of each key, and the versions whose invalidation was acknowledged.
#[derive(Default)]
struct Source {
    version: [AtomicU64; 3],
    acknowledged: [AtomicU64; 3],
    hits: AtomicU64,
    current: AtomicU64,
}

async fn write(on: &Fixture, source: &Source, round: usize) {
    let at = round % KEYS.len();
    let version = source.version[at].fetch_add(1, SeqCst) + 1;
    match round % 13 {
        0..=4 => drop(on.invalidate(&[KEYS[at]]).await),
        5..=8 => on.invalidate_tags(&[TAGS[at]]).await,
        9..=11 => drop(on.invalidate_pattern(&format!("*:{at}")).await),
        _ => on.clear().await,
    }
    source.acknowledged[at].fetch_max(version, SeqCst);
}

async fn call(on: &Fixture, source: &Source, round: usize) {
    let at = round % KEYS.len();
    let (key, tag) = (KEYS[at], TAGS[at]);
    let acknowledged = source.acknowledged[at].load(SeqCst);
    let reading = on.read(&[key], &[tag]).await;
    if let Some(entry) = &reading.found[0].entry {
        let version: u64 = text_of(entry).parse().unwrap();
        assert!(version >= acknowledged, "{key} came back: {version} after {acknowledged}");
        source.hits.fetch_add(1, SeqCst);
        return;
    }
    let (seen, stamp) = (reading.found[0].seen, reading.stamp);
    let request = LeaseRequest { key, ttl: LONG, seen, stamp };
    let Lease::Granted(token) = on.store.lease(&on.space, request).await.unwrap() else { return };
    let version = source.version[at].load(SeqCst);
    for _ in 0..round % 5 {
        tokio::task::yield_now().await;
    }
    // Until here others may have joined the load, as late as this.
    let acknowledged = source.acknowledged[at].load(SeqCst);
    let load = Load { key, token, stamp };
    let release = round.is_multiple_of(7);
    let fill = if release { load.releases() } else { load.fills(on.value(&version.to_string(), &[tag])) };
    if on.fill(fill).await == Filled::Current {
        assert!(version >= acknowledged, "{key}'s joiners got {version} after {acknowledged}");
        source.current.fetch_add(1, SeqCst);
    }
}

pub(crate) async fn no_value_from_before_an_invalidation_comes_back(on: Fixture) {
    let (on, source) = (Arc::new(on), Arc::new(Source::default()));
    let tasks: Vec<_> = (0..6)
        .map(|task| {
            let (on, source) = (Arc::clone(&on), Arc::clone(&source));
            tokio::spawn(async move {
                for round in 0..1_000 {
                    match task {
                        0 if round % 3 == 0 => write(&on, &source, round / 3).await,
                        _ => call(&on, &source, round + task).await,
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert!(source.hits.load(SeqCst) > 0 && source.current.load(SeqCst) > 0, "it did race");
}
