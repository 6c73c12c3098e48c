//! The model: a map of what is cached, and until when.

use std::collections::BTreeMap;

use cache_runtime::Millis;

use super::{
    service::tag_of,
    steps::{Key, Kind},
};

/// Of the cache, for what is set without one.
pub(super) const CACHE_TTL: Millis = 3_600_000;
const TTL: Millis = 600_000;
const SLIDING_TTL: Millis = 300_000;

/// What is cached under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: i64,
    pub(super) since: Millis,
    pub(super) until: Millis,
    pub(super) tag: Option<u8>,
}

/// What is cached.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) now: Millis,
    pub(super) entries: BTreeMap<String, Entry>,
}

impl Model {
    pub(super) fn get(&self, key: Key) -> Option<i64> {
        self.entries.get(&key.text()).map(|entry| entry.value)
    }

    pub(super) fn put(&mut self, key: Key, value: i64, ttl: Millis, tag: Option<u8>) {
        let entry = Entry { value, since: self.now, until: self.now + ttl, tag };
        self.entries.insert(key.text(), entry);
        self.expire();
    }

    pub(super) fn loaded(&mut self, key: Key, value: i64) {
        let (ttl, tag) = match key.kind {
            Kind::Tagged | Kind::Near => (TTL, Some(1)),
            Kind::Valued => (TTL, Some(tag_of(value))),
            Kind::Sliding => (SLIDING_TTL, None),
            Kind::Item => (TTL, None),
        };
        self.put(key, value, ttl, tag);
    }

    /// A hit of the function whose ttl slides, in steps of a hundredth of the ttl.
    pub(super) fn slide(&mut self, key: Key) {
        let now = self.now;
        if let Some(entry) = self.entries.get_mut(&key.text()) {
            let (passed, ttl) = (now - entry.since, entry.until - entry.since);
            if passed > 0 && passed >= ttl / 100 {
                (entry.since, entry.until) = (now, entry.until + passed);
            }
        }
    }

    pub(super) fn remove(&mut self, mut of: impl FnMut(&str, &Entry) -> bool) -> u64 {
        let before = self.entries.len();
        self.entries.retain(|key, entry| !of(key, entry));
        (before - self.entries.len()) as u64
    }

    pub(super) fn expire(&mut self) {
        let now = self.now;
        self.remove(|_, entry| entry.until <= now);
    }
}
