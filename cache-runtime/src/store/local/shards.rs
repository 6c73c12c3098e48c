//! One shard: a mini-moka cache, and the lock under which it is written.
//!
//! mini-moka loses track of entries that are inserted and invalidated concurrently: they count
//! for ever and take room from others. So each write and the `sync` that settles it are one
//! critical section of the shard. Reads are outside of it.
//!
//! mini-moka refuses a new entry whose key is not asked for more often than those that would
//! have to go. A value that was set must be there, as it would be on Redis, so where there is no
//! room an entry goes in without weight, which is always admitted, and is then updated to its true
//! weight; what was used least recently makes room.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use foldhash::fast::RandomState;
use mini_moka::sync::{Cache, ConcurrentCacheExt};
use parking_lot::{Mutex, MutexGuard};

use super::{
    key::{KeyRef, Parts, StoreKey},
    leases::Leases,
};
use crate::store::{Entry, Head};

/// What one entry takes besides its key, tags and payload, in bytes.
const OVERHEAD: usize = 300;

/// Calls of `sync` in a row that free nothing before a write gives up freeing.
const MOST_IDLE_SYNCS: usize = 16;

/// Writes between two sweeps that nobody asked for, at least.
const FEWEST_WRITES: u64 = 1_024;

#[derive(Clone)]
struct Kept {
    entry: Arc<Entry>,
    weight: u32,
}

pub(super) struct Shard {
    cache: Cache<StoreKey, Kept, RandomState>,
    leases: Mutex<Leases>,
    capacity: u64,
    writes_since_sweep: AtomicU64,
}

impl Shard {
    pub(super) fn new(capacity: u64, most_leases: usize) -> Self {
        let cache = Cache::builder()
            .max_capacity(capacity)
            .weigher(|_, kept: &Kept| kept.weight)
            .build_with_hasher(RandomState::default());
        let leases = Mutex::new(Leases::new(most_leases));
        Self { cache, leases, capacity, writes_since_sweep: AtomicU64::new(0) }
    }

    /// Whatever is stored, valid or not.
    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Arc<Entry>> {
        self.cache.get(&key as &dyn Parts).map(|kept| kept.entry)
    }

    pub(super) fn lock(&self) -> Writing<'_> {
        Writing { shard: self, leases: self.leases.lock() }
    }

    /// Whether a sweep is due though nobody asked for one. It then costs each write no more than
    /// a constant.
    pub(super) fn sweep_is_due(&self) -> bool {
        self.writes_since_sweep.load(Ordering::Relaxed) >= self.cache.entry_count().max(FEWEST_WRITES)
    }

    pub(super) fn sweep_begins(&self) {
        self.writes_since_sweep.store(0, Ordering::Relaxed);
    }

    /// The keys whose entries are selected. `select` may take the lock of the stamps, no other:
    /// a part of the table is locked meanwhile.
    pub(super) fn keys_where(&self, mut select: impl FnMut(&StoreKey, &Head) -> bool) -> Vec<StoreKey> {
        let selected = self.cache.iter().filter(|item| select(item.key(), &item.value().entry.head));
        selected.map(|item| item.key().clone()).collect()
    }

    #[cfg(test)]
    pub(super) fn count_where(&self, mut select: impl FnMut(&StoreKey, &Head) -> bool) -> u64 {
        self.cache.iter().filter(|item| select(item.key(), &item.value().entry.head)).count() as u64
    }

    pub(super) fn entry_count(&self) -> u64 {
        self.cache.entry_count()
    }

    #[cfg(test)]
    pub(super) fn weighted_size(&self) -> u64 {
        self.cache.weighted_size()
    }
}

/// The shard's write lock, held.
pub(super) struct Writing<'a> {
    shard: &'a Shard,
    pub(super) leases: MutexGuard<'a, Leases>,
}

impl Writing<'_> {
    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Arc<Entry>> {
        self.shard.get(key)
    }

    pub(super) fn has(&self, key: KeyRef<'_>) -> bool {
        self.shard.cache.contains_key(&key as &dyn Parts)
    }

    /// Stores an entry. One that is larger than the shard is not kept.
    pub(super) fn insert(&mut self, key: StoreKey, entry: Entry) {
        let Shard { cache, capacity, writes_since_sweep, .. } = self.shard;
        writes_since_sweep.fetch_add(1, Ordering::Relaxed);
        let weight = weight(&key, &entry);
        if u64::from(weight) > *capacity {
            return self.remove(key.as_ref());
        }
        let kept = Kept { entry: Arc::new(entry), weight };
        if cache.weighted_size() + u64::from(weight) > *capacity {
            cache.insert(key.clone(), Kept { weight: 0, ..kept.clone() });
        }
        cache.insert(key, kept);
        self.settle();
    }

    pub(super) fn remove(&mut self, key: KeyRef<'_>) {
        self.shard.cache.invalidate(&key as &dyn Parts);
        self.shard.cache.sync();
    }

    /// Removes those of these keys whose entries are still selected.
    pub(super) fn remove_all(&mut self, keys: &[StoreKey], mut select: impl FnMut(&StoreKey, &Head) -> bool) {
        for key in keys {
            if self.get(key.as_ref()).is_some_and(|entry| select(key, &entry.head)) {
                self.shard.cache.invalidate(&key.as_ref() as &dyn Parts);
            }
        }
        self.shard.cache.sync();
    }

    /// Lets mini-moka do its bookkeeping until the shard is within its budget. It removes at
    /// most 500 entries in one `sync`, and need not remove any in one that only sorts them.
    pub(super) fn settle(&mut self) {
        let cache = &self.shard.cache;
        let mut least = u64::MAX;
        let mut idle = 0;
        while idle < MOST_IDLE_SYNCS {
            cache.sync();
            let size = cache.weighted_size();
            if size <= self.shard.capacity {
                return;
            }
            idle = if size < least { 0 } else { idle + 1 };
            least = least.min(size);
        }
    }
}

fn weight(key: &StoreKey, entry: &Entry) -> u32 {
    let tags: usize = entry.head.tags.iter().map(|tag| tag.len() + size_of::<Box<str>>()).sum();
    let all = OVERHEAD + key.key.len() + tags + entry.payload.len();
    u32::try_from(all).unwrap_or(u32::MAX)
}
