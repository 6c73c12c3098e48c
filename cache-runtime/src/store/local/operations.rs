//! What each operation does, at once.

use std::time::Duration;

use super::{LocalStore, fresh_token, key::KeyRef, leases::Held, stamps::Space};
use crate::{
    clock::{Millis, millis},
    store::{
        Content, Entry, Expiry, Fill, Filled, Format, Found, Head, Increment, Incremented, Lease, LeaseRequest, Life,
        Namespace, Payload, Reading, Seized, Seizure, Stamp, Token, Value, glob,
    },
};

impl LocalStore {
    pub(super) fn read_now(&self, space: &Namespace, keys: &[&str], tags: &[Box<str>]) -> Reading {
        let now = self.clock.now();
        let mut found: Vec<Found> = keys.iter().map(|key| self.find(self.key(space, key))).collect();
        // The stamps are read after the entries: an invalidation between the two is seen.
        let stamp = self.stamps.with(space, now, |space| {
            for found in &mut found {
                found.entry.take_if(|entry| !is_valid(&entry.head, space, now));
            }
            space.stamp(tags)
        });
        Reading { found, stamp }
    }

    pub(super) fn find(&self, key: KeyRef<'_>) -> Found {
        let entry = self.shard(key).get(key);
        Found { seen: entry.as_ref().map(|entry| entry.head.token), entry, unreadable: false }
    }

    pub(super) fn lease_now(&self, space: &Namespace, request: LeaseRequest<'_>) -> Lease {
        let key = self.key(space, request.key);
        let now = self.clock.now();
        let mut writing = self.shard(key).lock();
        let is_as_seen = match request.seen {
            None => !writing.has(key),
            Some(seen) => writing.get(key).is_some_and(|entry| entry.head.token == seen),
        };
        if !is_as_seen {
            return Lease::Changed;
        }
        // Nobody waits for a load that is doomed.
        if writing.leases.get(key, now).is_some_and(|held| held.may_come_to_something(&request.stamp)) {
            return Lease::Held;
        }
        let token = fresh_token();
        let held = Held { token, stamp: request.stamp, until: now.saturating_add(millis(request.ttl)) };
        writing.leases.insert(key, held, now);
        Lease::Granted(token)
    }

    pub(super) fn seize_now(&self, space: &Namespace, seizure: Seizure<'_>) -> Seized {
        let key = self.key(space, seizure.key);
        let now = self.clock.now();
        let mut writing = self.shard(key).lock();
        let stored = writing.get(key);
        let seen = stored.as_ref().map(|entry| entry.head.token);
        if !seizure.over.allows(seen) {
            let entry = stored.filter(|entry| self.is_live(space, &entry.head, now));
            return Seized::Refused(Found { entry, seen, unreadable: false });
        }
        let (token, stamp) = (fresh_token(), self.stamps.with(space, now, |space| space.stamp(seizure.tags)));
        writing.leases.insert(key, Held { token, stamp, until: now.saturating_add(millis(seizure.ttl)) }, now);
        Seized::Granted { token, stamp, seen }
    }

    pub(super) fn renew_now(&self, space: &Namespace, key: &str, token: Token, ttl: Duration) -> bool {
        let key = self.key(space, key);
        let now = self.clock.now();
        let mut writing = self.shard(key).lock();
        let own = writing.leases.get_own(key, token, now);
        own.map(|held| held.until = now.saturating_add(millis(ttl))).is_some()
    }

    pub(super) fn fill_now(&self, space: &Namespace, fill: Fill<'_>) -> Filled {
        let Fill { key, token, stamp, value } = fill;
        let key = self.key(space, key);
        let shard = self.shard(key);
        let now = self.clock.now();
        let mut writing = shard.lock();
        let Some(owned) = writing.leases.take_own(key, token, now) else { return Filled::Rejected };
        let current = self.stamps.with(space, now, |space| still_holds(space, &stamp, value.as_ref()));
        match value {
            Some(value) if current => writing.insert(owned, entry(value, token, &stamp, now)),
            // It would be invalid from the start; what it was to replace goes as well.
            Some(_) => writing.remove(key),
            None => {}
        }
        drop(writing);
        self.sweep_if_due(shard);
        if current { Filled::Current } else { Filled::Overtaken }
    }

    pub(super) fn increment_now(&self, space: &Namespace, increment: Increment<'_>) -> Incremented {
        let Increment { key, by, fresh } = increment;
        let key = self.key(space, key);
        let shard = self.shard(key);
        let now = self.clock.now();
        loop {
            // Taken out of the entry before the lock: a value that is kept as it is runs code of its own.
            let stored = shard.get(key).map(|entry| (entry.head.token, number_in(&entry)));
            let mut writing = shard.lock();
            let entry = writing.get(key);
            if entry.as_ref().map(|entry| entry.head.token) != stored.map(|(token, _)| token) {
                continue;
            }
            let (entry, stamp) = self
                .stamps
                .with(space, now, |space| (entry.filter(|entry| is_valid(&entry.head, space, now)), space.stamp(&[])));
            let (sum, next) = match entry.zip(stored) {
                None => (by, self::entry(fresh, fresh_token(), &stamp, now)),
                Some((entry, (_, number))) => match add(number, by) {
                    Ok(sum) => (sum, recounted(&entry, sum)),
                    Err(refusal) => return refusal,
                },
            };
            writing.leases.remove(key);
            writing.insert(key.to_owned(), next);
            drop(writing);
            self.sweep_if_due(shard);
            return Incremented::To(sum);
        }
    }

    pub(super) fn expire_now(&self, space: &Namespace, expiry: Expiry<'_>) -> bool {
        let Expiry { life, keep, .. } = expiry;
        let key = self.key(space, expiry.key);
        let now = self.clock.now();
        let mut writing = self.shard(key).lock();
        let is_meant = |head: &Head| expiry.is_of(head) && self.is_live(space, head, now);
        let Some(stored) = writing.get(key).filter(|entry| is_meant(&entry.head)) else { return false };
        let head = Head { life: cut(life, now, keep), ..stored.head.clone() };
        writing.insert(key.to_owned(), Entry { head, ..Entry::clone(&stored) });
        true
    }

    pub(super) fn invalidate_key_now(&self, space: &Namespace, key: &str) -> bool {
        let key = self.key(space, key);
        let mut writing = self.shard(key).lock();
        writing.leases.remove(key);
        let stored = writing.get(key);
        writing.remove(key);
        stored.is_some_and(|entry| self.is_live(space, &entry.head, self.clock.now()))
    }

    pub(super) fn invalidate_pattern_now(&self, space: &Namespace, pattern: &str) -> u64 {
        let matches = |key: &str| glob::matches(pattern.as_bytes(), key.as_bytes());
        let now = self.clock.now();
        let mut removed = 0;
        for shard in &self.shards {
            // Leases and values under one lock: no fill slips in between.
            let mut writing = shard.lock();
            writing.leases.remove_matching(space, matches);
            let keys = writing.keys_where(|key, _| key.space == *space && matches(&key.key));
            writing.remove_all(&keys, |_, head| {
                removed += u64::from(self.is_live(space, head, now));
                true
            });
        }
        removed
    }
}

pub(super) fn is_valid(head: &Head, space: &Space, now: Millis) -> bool {
    head.life.dead_at > now && space.admits_entry(head)
}

/// Whether nothing that a load depended on was invalidated since it began.
fn still_holds(space: &Space, stamp: &Stamp, value: Option<&Value>) -> bool {
    match value {
        Some(value) => space.admits(stamp.incarnation, stamp.born, &value.tags),
        // A release knows no tags: any that was invalidated may have been its own.
        None => space.incarnation == stamp.incarnation && space.counter == stamp.born,
    }
}

fn entry(value: Value, token: Token, stamp: &Stamp, now: Millis) -> Entry {
    let Value { life, keep, tags, shape, format, payload, decoded } = value;
    let Stamp { incarnation, born, .. } = *stamp;
    let head = Head { token, incarnation, born, life: cut(life, now, keep), tags, shape, format };
    Entry { head, payload: payload.into_compact(), decoded }
}

/// The whole number that an entry is, if it is one.
fn number_in(entry: &Entry) -> Option<i64> {
    let parse = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    match &entry.decoded {
        // A number of `increment` is never encrypted, so what would be is none.
        Some(decoded) if decoded.is_encrypted_on_servers() => None,
        Some(decoded) => parse(&decoded.encode().ok().filter(|(content, _)| *content == Content::Json)?.1),
        None => parse(&entry.payload).filter(|_| entry.head.format == Format::JSON),
    }
}

/// The sum, or why there is none.
fn add(number: Option<i64>, by: i64) -> Result<i64, Incremented> {
    number.ok_or(Incremented::NotANumber)?.checked_add(by).ok_or(Incremented::Overflow)
}

fn recounted(stored: &Entry, sum: i64) -> Entry {
    let head = Head { token: fresh_token(), ..stored.head.clone() };
    Entry { head, payload: Payload::new(sum.to_string().into_bytes()), decoded: None }
}

/// A store that drops entries after `keep` does not serve them longer.
fn cut(life: Life, now: Millis, keep: Duration) -> Life {
    Life { dead_at: life.dead_at.min(now.saturating_add(millis(keep))), ..life }
}
