//! Decoded values in this process: a hit decodes nothing and waits for nobody.
//!
//! An entry carries the epoch under which its read or load began. It is served only while that
//! epoch is current and its deadline is ahead; whatever is not is a miss that the next fill
//! replaces. Nothing is ever searched for and removed, except to free its memory when everything
//! that a shared store answered is out of date at once.

use std::sync::Arc;

use foldhash::fast::RandomState;
use quick_cache::{OptionsBuilder, Weighter, sync};

use crate::{
    clock::Millis,
    codec::Packed,
    coherence::Coherence,
    epoch::{Epoch, Epochs, Slot},
    store::Life,
};

/// What an entry costs beside its key and value: its head, its place in the map, the two counts.
const OVERHEAD: u64 = 160;

/// A decoded value and what decides whether it may be served.
pub(crate) struct NearEntry {
    /// `None` is a cached `None`.
    pub(crate) value: Option<Packed>,
    pub(crate) life: Life,
    /// The sum of the key's, the namespace's and the tags' counters when its load began.
    pub(crate) epoch: Epoch,
    /// For a value of a store that others change: the generation in which their changes were
    /// heard when it was read. `epoch` then counts what was heard too.
    pub(crate) generation: Option<u64>,
    pub(crate) tags: Box<[Slot]>,
    /// The length of the value's stored form.
    pub(crate) bytes: u64,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Box<str>, Arc<NearEntry>> for ByBytes {
    fn weight(&self, key: &Box<str>, entry: &Arc<NearEntry>) -> u64 {
        key.len() as u64 + entry.bytes + OVERHEAD
    }
}

type Map = sync::Cache<Box<str>, Arc<NearEntry>, ByBytes, RandomState>;

pub(crate) struct Near {
    map: Map,
}

impl Near {
    /// A cache of at most `max_bytes`; none at all for 0.
    pub(crate) fn new(max_bytes: u64) -> Option<Self> {
        if max_bytes == 0 {
            return None;
        }
        let typical_entry = OVERHEAD + 256;
        let options = OptionsBuilder::new()
            .weight_capacity(max_bytes)
            .estimated_items_capacity(
                usize::try_from(max_bytes / typical_entry).unwrap_or(usize::MAX).clamp(16, 1 << 20),
            )
            .build()
            .ok()?;
        let map = Map::with_options(options, ByBytes, RandomState::default(), sync::DefaultLifecycle::default());
        Some(Self { map })
    }

    /// The entry of a full key, if nothing it depends on was invalidated and it is not dead.
    pub(crate) fn get(
        &self,
        full_key: &str,
        own: &[Slot; 2],
        epochs: &Epochs,
        coherence: Option<&Coherence>,
        now: Millis,
    ) -> Option<Arc<NearEntry>> {
        let entry = self.map.get(full_key)?;
        let slots = own.iter().chain(&*entry.tags).copied();
        let mut current = epochs.of(slots.clone());
        if let Some(generation) = entry.generation {
            let coherence = coherence?;
            if generation != coherence.generation() {
                return None;
            }
            current = current.and(coherence.epoch_of(slots));
        }
        (entry.epoch == current && now < entry.life.dead_at).then_some(entry)
    }

    /// Drops what depends on others' changes and was kept in another generation than this.
    pub(crate) fn forget_other_generations(&self, present: u64) {
        self.map.retain(|_, entry| entry.generation.is_none_or(|generation| generation == present));
    }

    pub(crate) fn insert(&self, full_key: &str, entry: NearEntry) {
        self.map.insert(full_key.into(), Arc::new(entry));
    }

    pub(crate) fn entries(&self) -> u64 {
        self.map.len() as u64
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.map.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Namespace;

    const KEY: &str = "app:k";

    fn slots() -> [Slot; 2] {
        [Epochs::key(KEY), Epochs::namespace("app")]
    }

    #[test]
    fn what_was_read_before_a_loss_is_not_served_after_it() {
        let (near, epochs, coherence) = (Near::new(1 << 20).unwrap(), Epochs::new(), Coherence::new());
        let space = coherence.follow(&Namespace::new("app"));
        let generation = coherence.restore(&[Arc::clone(&space)]);
        let heard = coherence.note(&space, slots(), Epochs::any_tag("app")).unwrap();
        let epoch = epochs.of(slots()).and(heard.with_tags(&coherence, &[], Epochs::any_tag("app")).unwrap());
        let life = Life { since: 0, fresh_until: 10, dead_at: 10 };
        let generation_noted = Some(heard.generation());
        near.insert(
            KEY,
            NearEntry { value: None, life, epoch, generation: generation_noted, tags: [].into(), bytes: 0 },
        );
        let is_served = || near.get(KEY, &slots(), &epochs, Some(&coherence), 1).is_some();
        assert!(is_served());
        coherence.lost(generation);
        assert!(!is_served());
        coherence.restore(&[space]);
        assert!(!is_served());
    }
}
