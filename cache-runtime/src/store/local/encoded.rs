//! Encoded entries of one shard, in mini-moka.
//!
//! mini-moka loses track of entries that are inserted and invalidated concurrently: they count
//! for ever and take room from others. So each write and the `sync` that settles it are one
//! critical section of the shard. Reads are outside of it.
//!
//! mini-moka refuses a new entry whose key is not asked for more often than those that would
//! have to go. A value that was set must be there, as it would be on Redis, so where there is no
//! room an entry goes in without weight, which is always admitted, and is then updated to its true
//! weight; what was used least recently makes room.

use std::sync::Arc;

use foldhash::fast::RandomState;
use mini_moka::sync::{Cache, ConcurrentCacheExt};

use super::key::{KeyRef, Parts, StoreKey};
use crate::store::{Entry, Head};

/// Calls of `sync` in a row that free nothing before a write gives up freeing.
const MOST_IDLE_SYNCS: usize = 16;

#[derive(Clone)]
struct Kept {
    entry: Arc<Entry>,
    weight: u32,
}

pub(super) struct EncodedEntries {
    cache: Cache<StoreKey, Kept, RandomState>,
    capacity: u64,
}

impl EncodedEntries {
    pub(super) fn new(capacity: u64) -> Self {
        let cache = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_, kept: &Kept| kept.weight)
            .build_with_hasher(RandomState::default());
        Self { cache, capacity }
    }

    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Arc<Entry>> {
        // Most stores hold few of these, and a look is dear.
        if self.is_empty() {
            return None;
        }
        self.cache.get(&key as &dyn Parts).map(|kept| kept.entry)
    }

    pub(super) fn has(&self, key: KeyRef<'_>) -> bool {
        !self.is_empty() && self.cache.contains_key(&key as &dyn Parts)
    }

    /// Every write settles its count before the shard's lock is released.
    fn is_empty(&self) -> bool {
        self.cache.entry_count() == 0
    }

    pub(super) fn select(&self, mut select: impl FnMut(&StoreKey, &Head) -> bool) -> Vec<StoreKey> {
        let selected = self.cache.iter().filter(|item| select(item.key(), &item.value().entry.head));
        selected.map(|item| item.key().clone()).collect()
    }

    pub(super) fn len(&self) -> u64 {
        self.cache.entry_count()
    }

    pub(super) fn weight(&self) -> u64 {
        self.cache.weighted_size()
    }
}

/// What is done under the shard's lock.
impl EncodedEntries {
    /// Stores an entry. One that is larger than the whole is not kept.
    pub(super) fn insert(&self, key: StoreKey, entry: Arc<Entry>, weight: u32) {
        if u64::from(weight) > self.capacity {
            return self.remove(key.as_ref());
        }
        let kept = Kept { entry, weight };
        if self.cache.weighted_size() + u64::from(weight) > self.capacity {
            self.cache.insert(key.clone(), Kept { weight: 0, ..kept.clone() });
        }
        self.cache.insert(key, kept);
        self.settle();
    }

    pub(super) fn remove(&self, key: KeyRef<'_>) {
        if !self.is_empty() {
            self.cache.invalidate(&key as &dyn Parts);
            self.cache.sync();
        }
    }

    /// Lets mini-moka do its bookkeeping until it is within its budget. It removes at
    /// most 500 entries in one `sync`, and need not remove any in one that only sorts them.
    pub(super) fn settle(&self) {
        let mut least = u64::MAX;
        let mut idle = 0;
        while idle < MOST_IDLE_SYNCS {
            self.cache.sync();
            let size = self.cache.weighted_size();
            if size <= self.capacity {
                return;
            }
            idle = if size < least { 0 } else { idle + 1 };
            least = least.min(size);
        }
    }
}
