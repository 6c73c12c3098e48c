//! The embedded backend: values in this process, as they are or encoded.
//!
//! Independent [shards](shards) hold entries and leases; [stamps] are beside them. Every
//! [operation](operations) completes at once, so that no lock is held across an await. Locks are taken in the
//! order shard, stamps; and never a second shard's.
//!
//! Budgets: entries by bytes, which is what `max_bytes` bounds; leases and stamps by number.

use std::{
    fmt,
    future::ready,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use foldhash::fast::RandomState;

use self::{
    key::{KeyRef, StoreKey},
    shards::Shard,
    stamps::{Limits, Stamps},
};
use super::{
    Departures, Entry, Expiry, Fill, Filled, Head, Increment, Incremented, Lease, LeaseRequest, Namespace, Reading,
    Seized, Seizure, ServerInfo, Store, StoreFuture, Token,
};
use crate::clock::{Clock, Millis};

mod decoded;
mod encoded;
mod key;
mod leases;
mod operations;
mod shards;
mod stamps;
#[cfg(test)]
mod tests;

const MOST_SHARDS: u64 = 64;

/// A smaller budget has fewer shards, since a value must fit into one: the longest by default, of 1 MiB, into
/// the eighth that is left for what is loaded.
const SMALLEST_SHARD: u64 = 10 << 20;

/// Leases at a time in one shard.
const MOST_LEASES: usize = 1 << 12;

/// Entries after which one call of `maintain` looks at no further shard: some milliseconds.
const SWEEP_STEP: u64 = 1 << 13;

/// Entries that a sweep removes in one critical section.
const SWEEP_CHUNK: usize = 64;

/// Tokens need only be different from each other within this process.
fn fresh_token() -> Token {
    static LAST: AtomicU64 = AtomicU64::new(0);
    Token(u128::from(LAST.fetch_add(1, Ordering::Relaxed)) + 1)
}

/// In which form values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Form {
    Encoded,
    AsGiven,
}

/// Entries in this process.
pub(crate) struct LocalStore {
    form: Form,
    shards: Box<[Shard]>,
    departures: Departures,
    hasher: RandomState,
    stamps: Stamps,
    clock: Clock,
    /// The shard at which the next sweep begins.
    next_sweep: AtomicUsize,
}

impl LocalStore {
    /// Room for `max_bytes` of entries: keys, tags, encoded values and about 300 bytes each.
    pub(crate) fn new(max_bytes: u64, clock: Clock) -> Self {
        Self::with(Form::Encoded, max_bytes, clock)
    }

    /// The same for a store that keeps values as they are where it is given them so; their encoded length
    /// is what they count as.
    pub(crate) fn keeping_decoded(max_bytes: u64, clock: Clock) -> Self {
        Self::with(Form::AsGiven, max_bytes, clock)
    }

    fn with(form: Form, max_bytes: u64, clock: Clock) -> Self {
        Self::with_limits(form, max_bytes, clock, MOST_LEASES, Limits::default())
    }

    fn with_limits(form: Form, max_bytes: u64, clock: Clock, most_leases: usize, limits: Limits) -> Self {
        let shards = (max_bytes / SMALLEST_SHARD).clamp(1, MOST_SHARDS);
        let departures = Departures::default();
        let counting = (form == Form::AsGiven).then_some(&departures);
        Self {
            form,
            shards: (0..shards).map(|_| Shard::new(max_bytes / shards, most_leases, counting)).collect(),
            departures: departures.clone(),
            hasher: RandomState::default(),
            stamps: Stamps::new(limits),
            clock,
            next_sweep: AtomicUsize::new(0),
        }
    }

    /// Settles the bookkeeping and removes what is dead or invalid. To be called about once a
    /// second; without it, writes do the same from time to time. A large store is swept in
    /// several calls.
    fn sweep_step(&self) {
        let mut examined = 0;
        for _ in 0..self.shards.len() {
            let at = self.next_sweep.fetch_add(1, Ordering::Relaxed) % self.shards.len();
            examined += self.shards[at].entry_count();
            self.sweep(&self.shards[at]);
            if examined >= SWEEP_STEP {
                break;
            }
        }
    }

    fn sweep(&self, shard: &Shard) {
        shard.sweep_begins();
        let now = self.clock.now();
        let is_useless = |key: &StoreKey, head: &Head| !self.is_live(&key.space, head, now);
        let useless = shard.keys_where(is_useless);
        for some in useless.chunks(SWEEP_CHUNK) {
            // Looked at again under the lock: they may have been replaced.
            shard.lock().remove_all(some, is_useless);
        }
        let mut writing = shard.lock();
        writing.leases.sweep(now);
        writing.settle();
    }

    fn sweep_if_due(&self, shard: &Shard) {
        if shard.sweep_is_due() {
            self.sweep(shard);
        }
    }

    /// The entries that a read would find. It looks at every one.
    #[cfg(test)]
    fn live_entries(&self) -> u64 {
        let now = self.clock.now();
        let live = |shard: &Shard| shard.keys_where(|key, head| self.is_live(&key.space, head, now)).len() as u64;
        self.shards.iter().map(live).sum()
    }

    fn is_live(&self, space: &Namespace, head: &Head, now: Millis) -> bool {
        head.life.dead_at > now && self.stamps.admit_entry(space, head)
    }

    fn key<'a>(&self, space: &'a Namespace, key: &'a str) -> KeyRef<'a> {
        KeyRef { hash: self.hasher.hash_one((space, key)), space, key }
    }

    fn shard(&self, key: KeyRef<'_>) -> &Shard {
        // The high half, so that the tables inside a shard use other bits first.
        &self.shards[(key.hash >> 32) as usize % self.shards.len()]
    }
}

impl fmt::Debug for LocalStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalStore").field("shards", &self.shards.len()).finish_non_exhaustive()
    }
}

/// What was done at once: nothing of it is moved to the heap but the answer.
fn done<'a, T: Send + 'a>(answer: T) -> StoreFuture<'a, T> {
    Box::pin(ready(Ok(answer)))
}

impl Store for LocalStore {
    fn name(&self) -> &'static str {
        "local"
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn needs_maintenance(&self) -> bool {
        true
    }

    fn maintain(&self) {
        self.sweep_step();
    }

    fn read<'a>(&'a self, space: &'a Namespace, keys: &'a [&'a str], tags: &'a [Box<str>]) -> StoreFuture<'a, Reading> {
        done(self.read_now(space, keys, tags))
    }

    fn keeps_decoded(&self) -> bool {
        self.form == Form::AsGiven
    }

    fn at_once(&self, space: &Namespace, key: &str) -> Option<Arc<Entry>> {
        let key = self.key(space, key);
        let entry = self.shard(key).get_decoded(key)?;
        let now = self.clock.now();
        // The namespace is in use by this.
        let is_valid = self.stamps.with(space, now, |space| operations::is_valid(&entry.head, space, now));
        is_valid.then_some(entry)
    }

    fn departures(&self) -> Departures {
        self.departures.clone()
    }

    fn lease<'a>(&'a self, space: &'a Namespace, request: LeaseRequest<'a>) -> StoreFuture<'a, Lease> {
        done(self.lease_now(space, request))
    }

    fn seize<'a>(&'a self, space: &'a Namespace, seizure: Seizure<'a>) -> StoreFuture<'a, Seized> {
        Box::pin(async move { Ok(self.seize_now(space, seizure)) })
    }

    fn renew<'a>(&'a self, space: &'a Namespace, key: &'a str, token: Token, ttl: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.renew_now(space, key, token, ttl)) })
    }

    fn fill<'a>(&'a self, space: &'a Namespace, fill: Fill<'a>) -> StoreFuture<'a, Filled> {
        done(self.fill_now(space, fill))
    }

    fn fill_many<'a>(&'a self, space: &'a Namespace, fills: Vec<Fill<'a>>) -> StoreFuture<'a, Vec<Filled>> {
        Box::pin(async move { Ok(fills.into_iter().map(|fill| self.fill_now(space, fill)).collect()) })
    }

    fn increment<'a>(&'a self, space: &'a Namespace, increment: Increment<'a>) -> StoreFuture<'a, Incremented> {
        Box::pin(async move { Ok(self.increment_now(space, increment)) })
    }

    fn expire<'a>(&'a self, space: &'a Namespace, expiry: Expiry<'a>) -> StoreFuture<'a, bool> {
        Box::pin(async move { Ok(self.expire_now(space, expiry)) })
    }

    fn invalidate_keys<'a>(&'a self, space: &'a Namespace, keys: &'a [&'a str]) -> StoreFuture<'a, u64> {
        Box::pin(async move { Ok(keys.iter().map(|key| u64::from(self.invalidate_key_now(space, key))).sum()) })
    }

    fn invalidate_tags<'a>(&'a self, space: &'a Namespace, tags: &'a [Box<str>]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.stamps.invalidate_tags(space, tags, self.clock.now());
            Ok(())
        })
    }

    fn invalidate_pattern<'a>(&'a self, space: &'a Namespace, pattern: &'a str) -> StoreFuture<'a, u64> {
        Box::pin(async move { Ok(self.invalidate_pattern_now(space, pattern)) })
    }

    fn clear<'a>(&'a self, space: &'a Namespace) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.stamps.clear(space, self.clock.now());
            Ok(())
        })
    }

    fn info(&self) -> StoreFuture<'_, Option<ServerInfo>> {
        Box::pin(async { Ok(None) })
    }

    fn entries(&self) -> Option<u64> {
        Some(self.shards.iter().map(Shard::entry_count).sum())
    }
}
