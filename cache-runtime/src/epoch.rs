//! Counters that invalidations advance: what fences near entries and running loads in this
//! process.
//!
//! Nobody keeps a list of who holds what. A key, a tag and a namespace each have a slot, found
//! by hash; whoever reads or loads a value notes the sum of its slots first, and what was noted
//! is out of date as soon as the sum differs. Counters only grow, so equal sums mean that none
//! of them moved. Two names may share a slot: that costs a needless miss and nothing else.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::sync::atomic::{AtomicU64, Ordering};

const SLOTS: usize = 1 << 14;

/// Each slot of a Redis Cluster has a counter too.
const _: () = assert!(SLOTS >= 1 << 14);

/// A sum of counters, as it was at some moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Epoch(u64);

impl Epoch {
    /// The sum after one more advance and no other.
    pub(crate) const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The sum over both sets of slots.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

/// Where a name's counter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(u32);

/// The counters of one backend connection; every cache handle on it shares them.
pub(crate) struct Epochs {
    slots: Box<[AtomicU64]>,
    /// How often any of them was advanced.
    moves: AtomicU64,
}

impl Epochs {
    pub(crate) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(), moves: AtomicU64::new(0) }
    }

    /// The slot of a full key, `namespace:key`.
    pub(crate) fn key(full_key: &str) -> Slot {
        Self::slot(1, full_key)
    }

    /// The slot of a tag, by its name within an escaped namespace.
    pub(crate) fn tag(namespace: &str, tag: &str) -> Slot {
        let mixed = FixedState::with_seed(2).hash_one((namespace, tag));
        Slot((mixed % SLOTS as u64) as u32)
    }

    /// The slot of an escaped namespace.
    pub(crate) fn namespace(namespace: &str) -> Slot {
        Self::slot(3, namespace)
    }

    /// The slot of what has a number by itself: of a cluster's slot.
    pub(crate) fn numbered(number: u16) -> Slot {
        Slot(u32::from(number))
    }

    /// The slot that any invalidation of a tag of this namespace advances, before the tag's own.
    pub(crate) fn any_tag(namespace: &str) -> Slot {
        Self::slot(4, namespace)
    }

    fn slot(seed: u64, name: &str) -> Slot {
        Slot((FixedState::with_seed(seed).hash_one(name) % SLOTS as u64) as u32)
    }

    /// The present sum. Loads acquire, so that whoever sees an advanced counter also sees what
    /// was done before it was advanced.
    #[inline]
    pub(crate) fn of(&self, slots: impl IntoIterator<Item = Slot>) -> Epoch {
        Epoch(slots.into_iter().fold(0, |sum, slot| sum.wrapping_add(self.load(slot))))
    }

    pub(crate) fn advance(&self, slot: Slot) {
        if let Some(counter) = self.slots.get(slot.0 as usize) {
            counter.fetch_add(1, Ordering::AcqRel);
        }
        // Last, so that whoever sees no move may miss only what is not advanced yet.
        self.moves.fetch_add(1, Ordering::AcqRel);
    }

    /// Changes with every advance: while it is the same, so is each sum.
    #[inline]
    pub(crate) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }

    #[inline]
    fn load(&self, slot: Slot) -> u64 {
        self.slots.get(slot.0 as usize).map_or(0, |counter| counter.load(Ordering::Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advance_is_seen_by_whoever_noted_the_slot_before() {
        let epochs = Epochs::new();
        let (key, tag, space) = (Epochs::key("app:user:7"), Epochs::tag("app", "org:1"), Epochs::namespace("app"));
        for advanced in [key, tag, space] {
            let noted = epochs.of([key, tag, space]);
            assert_eq!(noted, epochs.of([key, tag, space]));
            epochs.advance(advanced);
            assert_ne!(noted, epochs.of([key, tag, space]));
        }
    }

    #[test]
    fn another_key_keeps_its_epoch() {
        let epochs = Epochs::new();
        let noted = epochs.of([Epochs::key("app:user:8")]);
        epochs.advance(Epochs::key("app:user:7"));
        assert_eq!(noted, epochs.of([Epochs::key("app:user:8")]));
    }
}
