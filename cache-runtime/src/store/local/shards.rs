//! One shard: entries in two forms, and the lock under which they are written.
//!
//! What functions have loaded is kept as it is where that is wanted (`decoded`), what was set by hand
//! encoded, as it would be on Redis (`encoded`). A key has one entry at most: whoever writes it in one
//! form removes it in the other, under the lock. Readers take no lock of the shard; one that comes
//! between the two finds the entry before or the one after.
//!
//! Both forms share one budget. What was set must be there, so it has the first claim on all but
//! an eighth of it; what was loaded has the rest.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, MutexGuard};

use super::{
    decoded::{DecodedEntries, Left},
    encoded::EncodedEntries,
    key::{KeyRef, StoreKey},
    leases::Leases,
};
use crate::store::{Content, Departures, Entry, Head};

/// What one entry takes besides its key, tags and value, in bytes.
pub(super) const OVERHEAD: usize = 300;

/// In how many steps the budget is shared.
const STEPS: u64 = 16;

/// Writes between two sweeps that nobody asked for, at least.
const FEWEST_WRITES: u64 = 1_024;

pub(super) struct Shard {
    /// `None` where values are kept encoded only.
    decoded: Option<DecodedEntries>,
    encoded: EncodedEntries,
    leases: Mutex<Leases>,
    capacity: u64,
    writes_since_sweep: AtomicU64,
}

impl Shard {
    /// `departures` counts what leaves of what is kept as it is; without it nothing is.
    pub(super) fn new(capacity: u64, most_leases: usize, departures: Option<&Departures>) -> Self {
        let decoded = departures.and_then(|departures| DecodedEntries::new(capacity, departures));
        let for_encoded = if decoded.is_some() { capacity - capacity / 8 } else { capacity };
        let leases = Mutex::new(Leases::new(most_leases));
        let encoded = EncodedEntries::new(for_encoded);
        Self { decoded, encoded, leases, capacity, writes_since_sweep: AtomicU64::new(0) }
    }

    /// Whatever is stored, valid or not.
    pub(super) fn get(&self, key: KeyRef<'_>) -> Option<Arc<Entry>> {
        // In the order in which a write that changes the form puts in and takes out: see `insert`.
        self.get_decoded(key).or_else(|| self.encoded.get(key)).or_else(|| self.get_decoded(key))
    }

    /// The same, if it is kept as it is.
    pub(super) fn get_decoded(&self, key: KeyRef<'_>) -> Option<Arc<Entry>> {
        self.decoded.as_ref()?.get(key)
    }

    pub(super) fn lock(&self) -> Writing<'_> {
        Writing { leases: self.leases.lock(), _budget: Budget(self), left: Vec::new(), shard: self }
    }

    /// What is encoded grows and shrinks at the cost of what is not: in steps, and back only when it has
    /// become half of what was reserved. quick_cache rounds down what it remembers of evictions each time
    /// that it is resized, so a steady mix of writes must not resize it.
    ///
    /// Not under the lock, since values are dropped here. Whoever resizes last looks once more after it,
    /// so in the end it is right.
    fn share_budget(&self) {
        let Some(decoded) = &self.decoded else { return };
        loop {
            let (used, reserved) = (self.encoded.weight(), self.capacity.saturating_sub(decoded.capacity()));
            if used <= reserved && used >= reserved / 2 {
                return;
            }
            let step = (self.capacity / STEPS).max(1);
            let wanted = used.div_ceil(step).saturating_mul(step).min(self.capacity);
            if wanted == reserved {
                return;
            }
            decoded.resize(self.capacity - wanted);
        }
    }

    /// Whether a sweep is due though nobody asked for one. It then costs each write no more than
    /// a constant.
    pub(super) fn sweep_is_due(&self) -> bool {
        self.writes_since_sweep.load(Ordering::Relaxed) >= self.entry_count().max(FEWEST_WRITES)
    }

    pub(super) fn sweep_begins(&self) {
        self.writes_since_sweep.store(0, Ordering::Relaxed);
    }

    /// The keys whose entries are selected. `select` may take the lock of the stamps, no other:
    /// a part of the table is locked meanwhile.
    pub(super) fn keys_where(&self, select: impl FnMut(&StoreKey, &Head) -> bool) -> Vec<StoreKey> {
        self.select(select, &mut Vec::new())
    }

    fn select(&self, mut select: impl FnMut(&StoreKey, &Head) -> bool, looked_at: &mut Left) -> Vec<StoreKey> {
        let mut keys = self.encoded.select(&mut select);
        if let Some(decoded) = &self.decoded {
            decoded.select(select, &mut keys, looked_at);
        }
        keys
    }

    pub(super) fn entry_count(&self) -> u64 {
        self.encoded.len() + self.decoded.as_ref().map_or(0, DecodedEntries::len)
    }

    #[cfg(test)]
    pub(super) fn weighted_size(&self) -> u64 {
        self.encoded.weight() + self.decoded.as_ref().map_or(0, DecodedEntries::weight)
    }
}

/// The shard's write lock, held. Its fields go in their order: first the lock.
pub(super) struct Writing<'a> {
    pub(super) leases: MutexGuard<'a, Leases>,
    _budget: Budget<'a>,
    left: Left,
    shard: &'a Shard,
}

/// Shares the budget anew when it is dropped.
struct Budget<'a>(&'a Shard);

impl Drop for Budget<'_> {
    fn drop(&mut self) {
        self.0.share_budget();
    }
}

impl Writing<'_> {
    /// As [`Shard::get`]. What is found is let go after the lock at the earliest: it may have been evicted
    /// meanwhile, and its value's `Drop` may call what it likes.
    pub(super) fn get(&mut self, key: KeyRef<'_>) -> Option<Arc<Entry>> {
        let entry = self.shard.get(key)?;
        self.left.push(Arc::clone(&entry));
        Some(entry)
    }

    /// As [`Shard::keys_where`].
    pub(super) fn keys_where(&mut self, select: impl FnMut(&StoreKey, &Head) -> bool) -> Vec<StoreKey> {
        self.shard.select(select, &mut self.left)
    }

    pub(super) fn has(&self, key: KeyRef<'_>) -> bool {
        let Shard { decoded, encoded, .. } = self.shard;
        decoded.as_ref().is_some_and(|decoded| decoded.has(key)) || encoded.has(key)
    }

    /// Stores an entry. One that is larger than its form's part of the shard is not kept.
    pub(super) fn insert(&mut self, key: StoreKey, entry: Entry) {
        let Shard { decoded, encoded, writes_since_sweep, .. } = self.shard;
        writes_since_sweep.fetch_add(1, Ordering::Relaxed);
        let (entry, replaced) = (Arc::new(entry), key.clone());
        match decoded {
            Some(decoded) if is_as_it_is(&entry) => {
                decoded.insert(key, entry, &mut self.left);
                encoded.remove(replaced.as_ref());
            }
            _ => {
                let weight = weight(&key, &entry);
                encoded.insert(key, entry, weight);
                decoded.iter().for_each(|decoded| decoded.remove(replaced.as_ref(), &mut self.left));
            }
        }
    }

    pub(super) fn remove(&mut self, key: KeyRef<'_>) {
        let Shard { decoded, encoded, .. } = self.shard;
        encoded.remove(key);
        decoded.iter().for_each(|decoded| decoded.remove(key, &mut self.left));
    }

    /// Removes those of these keys whose entries are still selected.
    pub(super) fn remove_all(&mut self, keys: &[StoreKey], mut select: impl FnMut(&StoreKey, &Head) -> bool) {
        for key in keys {
            if self.get(key.as_ref()).is_some_and(|entry| select(key, &entry.head)) {
                self.remove(key.as_ref());
            }
        }
    }

    /// Brings what is encoded within its budget.
    pub(super) fn settle(&mut self) {
        self.shard.encoded.settle();
    }
}

/// Whether an entry needs no decoding.
fn is_as_it_is(entry: &Entry) -> bool {
    entry.decoded.is_some() || entry.head.format.content == Content::Absent
}

/// What an entry counts as, in bytes.
pub(super) fn weight(key: &StoreKey, entry: &Entry) -> u32 {
    let tags: usize = entry.head.tags.iter().map(|tag| tag.len() + mem::size_of::<Box<str>>()).sum();
    let value = entry.decoded.as_ref().map_or(entry.payload.len(), |decoded| decoded.counted_len());
    u32::try_from(OVERHEAD + key.key.len() + tags + value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
