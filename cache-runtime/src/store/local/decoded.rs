//! Entries of one shard whose values are kept as they are, in quick_cache.
//!
//! They were loaded, and can be loaded again: under pressure those that are seldom asked for go first,
//! new ones before old ones. A look takes a lock that readers share, and clones an `Arc`.

use std::sync::Arc;

use quick_cache::{Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use super::{
    key::{KeyRef, StoreKey},
    shards::{OVERHEAD, weight},
};
use crate::{
    prehashed::Prehashed,
    store::{Departures, Entry, Head},
};

#[derive(Clone)]
struct ByBytes;

impl Weighter<StoreKey, Arc<Entry>> for ByBytes {
    fn weight(&self, key: &StoreKey, entry: &Arc<Entry>) -> u64 {
        u64::from(weight(key, entry))
    }
}

/// Counts what leaves and hands it on, to be dropped outside of all locks: a value's `Drop` may call
/// what it likes.
#[derive(Clone)]
struct Leaving(Departures);

/// Entries that were replaced, removed or evicted.
pub(super) type Left = Vec<Arc<Entry>>;

impl Lifecycle<StoreKey, Arc<Entry>> for Leaving {
    type RequestState = Left;

    fn on_evict(&self, left: &mut Left, _: StoreKey, entry: Arc<Entry>) {
        self.0.add_one();
        left.push(entry);
    }
}

pub(super) struct DecodedEntries {
    map: Cache<StoreKey, Arc<Entry>, ByBytes, Prehashed, Leaving>,
    departures: Departures,
}

impl DecodedEntries {
    pub(super) fn new(capacity: u64, departures: &Departures) -> Option<Self> {
        // At most so many fit. It is remembered of half as many that they were evicted.
        let items = usize::try_from(capacity / OVERHEAD as u64).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        let options =
            OptionsBuilder::new().weight_capacity(capacity).estimated_items_capacity(items).shards(1).build().ok()?;
        let leaving = Leaving(departures.clone());
        let map = Cache::with_options(options, ByBytes, Prehashed::default(), leaving);
        Some(Self { map, departures: departures.clone() })
    }

    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Arc<Entry>> {
        self.map.get(&key)
    }

    pub(super) fn has(&self, key: KeyRef<'_>) -> bool {
        self.map.contains_key(&key)
    }

    /// Adds the keys that are selected. All entries that were looked at go to `looked_at`, since any of them may
    /// have been evicted meanwhile.
    pub(super) fn select(
        &self,
        mut select: impl FnMut(&StoreKey, &Head) -> bool,
        keys: &mut Vec<StoreKey>,
        looked_at: &mut Left,
    ) {
        for (key, entry) in self.map.iter() {
            if select(&key, &entry.head) {
                keys.push(key);
            }
            looked_at.push(entry);
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.map.len() as u64
    }

    #[cfg(test)]
    pub(super) fn weight(&self) -> u64 {
        self.map.weight()
    }
}

/// What is done under the shard's lock.
impl DecodedEntries {
    pub(super) fn insert(&self, key: StoreKey, entry: Arc<Entry>, left: &mut Left) {
        self.map.insert_with_lifecycle(key, entry, left);
    }

    pub(super) fn remove(&self, key: KeyRef<'_>, left: &mut Left) {
        if let Some((_, entry)) = self.map.remove(&key) {
            self.departures.add_one();
            left.push(entry);
        }
    }

    /// Takes the room that is left, and gives up what is too much.
    pub(super) fn resize(&self, capacity: u64) {
        self.map.set_capacity(capacity);
    }

    pub(super) fn capacity(&self) -> u64 {
        self.map.capacity()
    }
}
