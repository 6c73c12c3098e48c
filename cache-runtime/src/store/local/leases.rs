//! The leases of one shard, bounded in number.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::key::{KeyRef, Parts, StoreKey};
use crate::{
    clock::Millis,
    store::{Namespace, Stamp, Token},
};

/// The right to fill one key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) token: Token,
    /// What the load depends on, as it was before it began.
    pub(super) stamp: Stamp,
    pub(super) until: Millis,
}

impl Held {
    /// Whether the load's value could still be valid for a caller that read `now_in_force`.
    pub(super) fn may_come_to_something(&self, now_in_force: &Stamp) -> bool {
        self.stamp.incarnation == now_in_force.incarnation && self.stamp.born >= now_in_force.floor
    }
}

#[derive(Debug)]
pub(super) struct Leases {
    held: HashMap<StoreKey, Held, RandomState>,
    limit: usize,
    /// The number of leases at which those that ran out are swept.
    sweep_at: usize,
}

const FIRST_SWEEP: usize = 64;

impl Leases {
    pub(super) fn new(limit: usize) -> Self {
        Self { held: HashMap::default(), limit, sweep_at: FIRST_SWEEP.min(limit) }
    }

    /// The lease in force on a key.
    pub(super) fn get(&self, key: KeyRef<'_>, now: Millis) -> Option<&Held> {
        self.held.get(&key as &dyn Parts).filter(|held| held.until > now)
    }

    /// The same, if it is this token's.
    pub(super) fn get_own(&mut self, key: KeyRef<'_>, token: Token, now: Millis) -> Option<&mut Held> {
        let held = self.held.get_mut(&key as &dyn Parts)?;
        (held.token == token && held.until > now).then_some(held)
    }

    /// Takes this token's lease away, for its key.
    pub(super) fn take_own(&mut self, key: KeyRef<'_>, token: Token, now: Millis) -> Option<StoreKey> {
        self.get_own(key, token, now)?;
        self.held.remove_entry(&key as &dyn Parts).map(|(key, _)| key)
    }

    pub(super) fn insert(&mut self, key: KeyRef<'_>, lease: Held, now: Millis) {
        if let Some(held) = self.held.get_mut(&key as &dyn Parts) {
            *held = lease;
            return;
        }
        if self.held.len() >= self.sweep_at {
            self.sweep(now);
            self.make_room();
        }
        self.held.insert(key.to_owned(), lease);
    }

    pub(super) fn remove(&mut self, key: KeyRef<'_>) {
        self.held.remove(&key as &dyn Parts);
    }

    pub(super) fn remove_matching(&mut self, space: &Namespace, matches: impl Fn(&str) -> bool) {
        self.held.retain(|key, _| key.space != *space || !matches(&key.key));
    }

    /// Forgets those that ran out.
    pub(super) fn sweep(&mut self, now: Millis) {
        self.held.retain(|_, held| held.until > now);
        self.sweep_at = (self.held.len() * 2).clamp(FIRST_SWEEP.min(self.limit), self.limit);
        self.held.shrink_to(self.sweep_at);
    }

    /// Takes away the lease that ends first: its load's fill is rejected, which is safe.
    fn make_room(&mut self) {
        if self.held.len() < self.limit {
            return;
        }
        let first = self.held.iter().min_by_key(|(_, held)| held.until).map(|(key, _)| key.clone());
        if let Some(key) = first {
            self.held.remove(&key);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}
