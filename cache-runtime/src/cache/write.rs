//! Writes by hand: a value that is there already, so nothing is loaded.
//!
//! 1. The stamps are read.
//! 2. The key's lease is taken from whoever holds it, so that a load that is running cannot fill
//!    over this value.
//! 3. The value is filled under that lease.
//!
//! A plain `SET` would not do: one that timed out may still be applied later, after an
//! invalidation.

use crate::{
    cache::Cache,
    codec::{Encoded, Place},
    error::{Error, Result},
    invalidate::{self, Target},
    lifetime::Lifetime,
    stats::Count,
    store::{Fill, Filled, Format, Lease, LeaseRequest, Stamp, Value},
};

/// How often a write begins anew because another writer came between.
const ATTEMPTS: u32 = 16;

/// A value on its way into the store.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) encoded: Encoded,
    pub(crate) lifetime: Lifetime,
    pub(crate) tags: Vec<Box<str>>,
    pub(crate) shape: u64,
}

impl Draft {
    /// What the store is given under a key; the life begins now.
    pub(crate) fn seal(&self, cache: &Cache, key: &str, stamp: Stamp) -> Result<Value> {
        let Cache { inner, space } = cache;
        if inner.settings.coding.leaves_as_it_is(&self.encoded) {
            return Ok(self.unsealed(cache));
        }
        let full_key = space.full_key(key);
        let born = (stamp.incarnation, stamp.born);
        let place = Place { full_key: &full_key, born, tags: &self.tags, shape: self.shape };
        let sealed = inner.settings.coding.seal(&self.encoded, place);
        let (format, payload) = sealed.map_err(|message| Error::encode_value(key, message))?;
        Ok(Value { format, payload, ..self.unsealed(cache) })
    }

    /// The same for a value that does not leave this process.
    pub(crate) fn unsealed(&self, cache: &Cache) -> Value {
        let (life, keep) = self.lifetime.from(cache.inner.clock.now());
        let Encoded { content, bytes } = self.encoded.clone();
        Value { life, keep, tags: self.tags.clone(), shape: self.shape, format: Format::plain(content), payload: bytes }
    }

    /// Whether the value may be stored, which is said before it is compressed: what reads it needs room
    /// for all of it.
    pub(crate) fn fits(&self, cache: &Cache) -> bool {
        self.encoded.len() <= cache.inner.settings.max_value_bytes
    }
}

/// When a write is over or dropped, near entries of its key are out of date.
struct AdvanceAtEnd<'a> {
    cache: &'a Cache,
    key: &'a str,
}

impl Drop for AdvanceAtEnd<'_> {
    fn drop(&mut self) {
        let full_key = self.cache.space.full_key(self.key);
        self.cache.inner.epochs.advance(crate::epoch::Epochs::key(&full_key));
    }
}

impl Cache {
    /// Stores a value whatever is stored now.
    pub(crate) async fn put(&self, key: &str, draft: &Draft) -> Result<()> {
        self.check_size(key, draft)?;
        for _ in 0..ATTEMPTS {
            if self.try_put(key, draft, true).await? == Put::Done {
                return Ok(());
            }
        }
        self.give_up(key).await
    }

    /// Stores a value if nothing is stored now.
    pub(crate) async fn put_if_absent(&self, key: &str, draft: &Draft) -> Result<bool> {
        self.check_size(key, draft)?;
        for _ in 0..ATTEMPTS {
            match self.try_put(key, draft, false).await? {
                Put::Done => return Ok(true),
                Put::Occupied => return Ok(false),
                Put::Disturbed => {}
            }
        }
        self.give_up(key).await.map(|()| false)
    }

    async fn try_put(&self, key: &str, draft: &Draft, replace: bool) -> Result<Put> {
        let (store, namespace) = (&self.inner.store, &self.space.namespace);
        let reading = store.read(namespace, &[key], &draft.tags).await?;
        let found = reading.found.into_iter().next().unwrap_or_default();
        if !replace && found.entry.is_some() {
            return Ok(Put::Occupied);
        }
        let value = draft.seal(self, key, reading.stamp)?;
        let _advance = AdvanceAtEnd { cache: self, key };
        let ttl = self.inner.settings.lease;
        let request = LeaseRequest { key, ttl, seen: found.seen, stamp: reading.stamp, force: true };
        // A forced lease overtakes loads, but `add` must not overtake what was stored meanwhile.
        let request = if replace { request } else { LeaseRequest { force: false, ..request } };
        let token = match store.lease(namespace, request).await? {
            Lease::Granted(token) => token,
            Lease::Held if !replace => {
                // A load is running and its value is older than this one: overtake it.
                store.invalidate_keys(namespace, &[key]).await?;
                return Ok(Put::Disturbed);
            }
            Lease::Held | Lease::Changed => return Ok(Put::Disturbed),
        };
        let fill = Fill { key, token, stamp: reading.stamp, value: Some(value) };
        match store.fill(namespace, fill).await {
            Ok(Filled::Current | Filled::Overtaken) => Ok(Put::Done),
            Ok(Filled::Rejected) => Ok(Put::Disturbed),
            Err(error) => {
                // It may be applied late. Removing the lease keeps it out.
                let removed = invalidate::apply(self.clone(), Target::Keys(vec![key.into()])).await;
                tracing::debug!(landed = removed.is_ok(), "a write was not acknowledged; its key was invalidated");
                Err(error)
            }
        }
    }

    async fn give_up(&self, key: &str) -> Result<()> {
        invalidate::apply(self.clone(), Target::Keys(vec![key.into()])).await?;
        Err(Error::Conflict { key: key.into() })
    }

    fn check_size(&self, key: &str, draft: &Draft) -> Result<()> {
        if draft.fits(self) {
            return Ok(());
        }
        self.inner.counters.add(None, Count::TooLarge);
        let (len, limit) = (draft.encoded.len(), self.inner.settings.max_value_bytes);
        Err(Error::encode_value(key, format!("it takes {len} bytes and `max_value_bytes` is {limit}")))
    }
}

#[derive(PartialEq, Eq)]
enum Put {
    Done,
    Occupied,
    Disturbed,
}
