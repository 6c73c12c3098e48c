//! Incarnations, counters and tag stamps of all namespaces, bounded in number.
//!
//! Only tags that were invalidated are recorded. When there are too many, the oldest records go,
//! and their namespace's `floor` rises to the youngest of them: a tag without a record counts as
//! invalidated then. That can make valid entries invalid, never the reverse.
//!
//! The lock is a leaf: while it is held for writing, no other is taken.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU64, Ordering},
};

use foldhash::fast::RandomState;
use parking_lot::{RwLock, RwLockWriteGuard};

use super::fresh_token;
use crate::{
    clock::Millis,
    store::{Head, Namespace, Stamp, Token},
};

/// What is in force in one namespace.
#[derive(Debug)]
pub(super) struct Space {
    pub(super) incarnation: Token,
    /// How many times tags were invalidated.
    pub(super) counter: u64,
    /// The stamp of every tag that has no record.
    floor: u64,
    tags: HashMap<Box<str>, u64, RandomState>,
    /// When it was used last, roughly.
    used: AtomicU64,
}

impl Space {
    fn new(now: Millis) -> Self {
        Self { incarnation: fresh_token(), counter: 0, floor: 0, tags: HashMap::default(), used: AtomicU64::new(now) }
    }

    /// What a load that begins now may depend on.
    pub(super) fn stamp(&self, tags: &[Box<str>]) -> Stamp {
        let floor = tags.iter().map(|tag| self.tag(tag)).max().unwrap_or(0);
        Stamp { incarnation: self.incarnation, born: self.counter, floor, link: 0 }
    }

    /// Whether what was loaded under `incarnation` and `born` is valid with these tags.
    pub(super) fn admits(&self, incarnation: Token, born: u64, tags: &[Box<str>]) -> bool {
        self.incarnation == incarnation && tags.iter().all(|tag| self.tag(tag) <= born)
    }

    pub(super) fn admits_entry(&self, head: &Head) -> bool {
        self.admits(head.incarnation, head.born, &head.tags)
    }

    fn tag(&self, tag: &str) -> u64 {
        self.tags.get(tag).copied().unwrap_or(self.floor)
    }

    fn touch(&self, now: Millis) {
        // Most reads of one millisecond then leave the cache line alone.
        if self.used.load(Ordering::Relaxed) != now {
            self.used.store(now, Ordering::Relaxed);
        }
    }

    /// Forgets the older half of the records; how many went.
    fn forget_older_half(&mut self) -> usize {
        let mut stamps: Vec<u64> = self.tags.values().copied().collect();
        if stamps.is_empty() {
            return 0;
        }
        let middle = (stamps.len() - 1) / 2;
        let (_, median, _) = stamps.select_nth_unstable(middle);
        let median = *median;
        self.floor = self.floor.max(median);
        self.tags.retain(|_, stamp| *stamp > median);
        stamps.len() - self.tags.len()
    }
}

#[derive(Debug)]
pub(super) struct Stamps {
    state: RwLock<State>,
    limits: Limits,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Records of tags, over all namespaces.
    pub(super) tags: usize,
    pub(super) spaces: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { tags: 1 << 17, spaces: 1 << 12 }
    }
}

#[derive(Debug, Default)]
struct State {
    spaces: HashMap<Namespace, Space, RandomState>,
    /// The sum of the spaces' tags.
    records: usize,
}

impl Stamps {
    pub(super) fn new(limits: Limits) -> Self {
        Self { state: RwLock::default(), limits }
    }

    /// Looks at a namespace, which begins now if it was never used.
    pub(super) fn with<R>(&self, name: &Namespace, now: Millis, look: impl FnOnce(&Space) -> R) -> R {
        let state = self.state.read();
        if let Some(space) = state.spaces.get(name) {
            space.touch(now);
            return look(space);
        }
        drop(state);
        let mut state = self.state.write();
        look(state.space(name, now, &self.limits))
    }

    /// Whether an entry is valid. A thread that iterates over entries may call this: a thread
    /// that waits to write never blocks it, so that no circle of waiting can form.
    pub(super) fn admit_entry(&self, name: &Namespace, head: &Head) -> bool {
        self.state.read_recursive().spaces.get(name).is_some_and(|space| space.admits_entry(head))
    }

    pub(super) fn invalidate_tags(&self, name: &Namespace, tags: &[Box<str>], now: Millis) {
        if tags.is_empty() {
            return;
        }
        let mut state = self.state.write();
        let space = state.space(name, now, &self.limits);
        let before = space.tags.len();
        space.counter += 1;
        for tag in tags {
            match space.tags.get_mut(tag) {
                Some(stamp) => *stamp = space.counter,
                None => drop(space.tags.insert(tag.clone(), space.counter)),
            }
        }
        state.records += state.spaces.get(name).map_or(before, |space| space.tags.len()) - before;
        self.forget_some(state);
    }

    /// Begins a new incarnation.
    pub(super) fn clear(&self, name: &Namespace, now: Millis) {
        let mut state = self.state.write();
        let space = state.space(name, now, &self.limits);
        let before = std::mem::replace(space, Space::new(now));
        state.records -= before.tags.len();
    }

    fn forget_some(&self, mut state: RwLockWriteGuard<'_, State>) {
        while state.records > self.limits.tags {
            let largest = state.spaces.values_mut().max_by_key(|space| space.tags.len());
            match largest.map_or(0, Space::forget_older_half) {
                0 => return,
                gone => state.records -= gone,
            }
        }
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        let state = self.state.read();
        assert_eq!(state.records, state.spaces.values().map(|space| space.tags.len()).sum::<usize>());
        (state.spaces.len(), state.records)
    }
}

impl State {
    fn space(&mut self, name: &Namespace, now: Millis, limits: &Limits) -> &mut Space {
        if !self.spaces.contains_key(name) && self.spaces.len() >= limits.spaces {
            self.forget_idle_spaces();
        }
        let space = self.spaces.entry(name.clone()).or_insert_with(|| Space::new(now));
        space.touch(now);
        space
    }

    /// Forgets the quarter that was not used for the longest time. If one of them is used again
    /// it begins a new incarnation, and its entries are invalid.
    fn forget_idle_spaces(&mut self) {
        let mut used: Vec<(Millis, Namespace)> =
            self.spaces.iter().map(|(name, space)| (space.used.load(Ordering::Relaxed), name.clone())).collect();
        let quarter = used.len() / 4;
        if used.is_empty() {
            return;
        }
        used.select_nth_unstable_by_key(quarter, |(at, _)| *at);
        for (_, name) in &used[..=quarter] {
            if let Some(space) = self.spaces.remove(name) {
                self.records -= space.tags.len();
            }
        }
    }
}
