//! Writes by hand: a value that is there already, so nothing is loaded.
//!
//! 1. The key's lease is taken from whoever holds it, so that a load that is running cannot fill
//!    over this value, and the stamps are read in the same trip.
//! 2. The value is filled under that lease.
//!
//! A plain `SET` would not do: one that timed out may still be applied later, after an
//! invalidation.

use crate::{
    cache::Cache,
    call::Leased,
    codec::{Decoded, Encoded, Packed, Place},
    error::{Error, Result},
    invalidate::{self, Target},
    lifetime::Lifetime,
    stats::Count,
    store::{Content, Fill, Filled, Format, Found, Over, Payload, Seized, Seizure, Stamp, Value},
};

/// How often a write begins anew because another writer came between.
const ATTEMPTS: u32 = 16;

/// A value in the form in which the store is given it.
#[derive(Debug, Clone)]
pub(crate) enum Contents {
    Encoded(Encoded),
    /// For a store that keeps values as they are. They are neither compressed nor encrypted.
    Decoded(Decoded),
}

impl Contents {
    /// The length of its encoded form.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Encoded(encoded) => encoded.len(),
            Self::Decoded(decoded) => decoded.encoded_len(),
        }
    }

    pub(crate) fn is_absent(&self) -> bool {
        matches!(self, Self::Encoded(encoded) if encoded.is_absent())
    }

    /// The value as it is, where it is at hand.
    pub(crate) fn packed(&self) -> Option<&Packed> {
        match self {
            Self::Encoded(_) => None,
            Self::Decoded(decoded) => Some(decoded.packed()),
        }
    }
}

/// A value on its way into the store.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) contents: Contents,
    pub(crate) lifetime: Lifetime,
    pub(crate) tags: Vec<Box<str>>,
    pub(crate) shape: u64,
}

impl Draft {
    /// What the store is given under a key; the life begins now.
    pub(crate) fn seal(&self, cache: &Cache, key: &str, stamp: Stamp) -> Result<Value> {
        let Cache { inner, space } = cache;
        let encoded = match &self.contents {
            Contents::Encoded(encoded) if !inner.settings.coding.leaves_as_it_is(encoded) => encoded,
            _ => return Ok(self.unsealed(cache)),
        };
        let full_key = space.full_key(key);
        let born = (stamp.incarnation, stamp.born);
        let place = Place { full_key: &full_key, born, tags: &self.tags, shape: self.shape };
        let sealed = inner.settings.coding.seal(encoded, place);
        let (format, payload) = sealed.map_err(|message| Error::encode_value(key, message))?;
        Ok(Value { format, payload, ..self.unsealed(cache) })
    }

    /// The same for a value that does not leave this process.
    pub(crate) fn unsealed(&self, cache: &Cache) -> Value {
        let (life, keep) = self.lifetime.from(cache.inner.clock.now());
        let (content, payload, decoded) = match self.contents.clone() {
            Contents::Encoded(Encoded { content, bytes }) => (content, bytes, None),
            Contents::Decoded(decoded) => (Content::Json, Payload::default(), Some(decoded)),
        };
        let format = Format::plain(content);
        Value { life, keep, tags: self.tags.clone(), shape: self.shape, format, payload, decoded }
    }

    /// Whether the value may be stored, which is said before it is compressed: what reads it needs room
    /// for all of it.
    pub(crate) fn fits(&self, cache: &Cache) -> bool {
        self.contents.len() <= cache.inner.settings.max_value_bytes
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
            match self.try_put(key, draft, Over::Anything).await? {
                Put::Done => return Ok(()),
                Put::Refused(_) | Put::Disturbed => {}
                Put::Unanswered(error) => {
                    // It may be applied late, and until then the value before it is served.
                    let removed = self.drop_key(key).await;
                    tracing::debug!(landed = removed.is_ok(), "a write was not acknowledged; its key was invalidated");
                    return Err(error);
                }
            }
        }
        self.drop_key(key).await?;
        Err(Error::Conflict { key: key.into() })
    }

    /// Stores a value if nothing is stored now.
    ///
    /// What another one has added is never touched, not even when this fails: it may be a lock.
    pub(crate) async fn put_if_absent(&self, key: &str, draft: &Draft) -> Result<bool> {
        self.check_size(key, draft)?;
        let mut over = Over::Only(None);
        for _ in 0..ATTEMPTS {
            match self.try_put(key, draft, over).await? {
                Put::Done => return Ok(true),
                Put::Refused(Found { entry: Some(_), .. }) => return Ok(false),
                // Something that nobody is served: it may be replaced, and nothing else.
                Put::Refused(found) => over = Over::Only(found.seen),
                Put::Disturbed => {}
                Put::Unanswered(error) => return Err(error),
            }
        }
        Err(Error::Conflict { key: key.into() })
    }

    async fn try_put(&self, key: &str, draft: &Draft, over: Over) -> Result<Put> {
        let Cache { inner, space } = self;
        let seizure = Seizure { key, ttl: inner.lease_life(), tags: &draft.tags, over };
        let (token, stamp) = match inner.store.seize(&space.namespace, seizure).await? {
            Seized::Granted { token, stamp, .. } => (token, stamp),
            Seized::Refused(found) => return Ok(Put::Refused(found)),
        };
        // Dropped at the await below, it gives the lease back: loads need not wait for it.
        let leased = Leased::new(self, &self.space.full_key(key).into(), token);
        let _advance = AdvanceAtEnd { cache: self, key };
        let fill = Fill { key, token, stamp, value: Some(draft.seal(self, key, stamp)?) };
        let filled = inner.store.fill(&space.namespace, fill).await;
        Ok(match filled {
            Ok(filled) => {
                leased.settle();
                if filled == Filled::Rejected { Put::Disturbed } else { Put::Done }
            }
            Err(error) => Put::Unanswered(error),
        })
    }

    async fn drop_key(&self, key: &str) -> Result<()> {
        invalidate::apply(self.clone(), Target::Keys(vec![key.into()])).await.map(drop)
    }

    fn check_size(&self, key: &str, draft: &Draft) -> Result<()> {
        if draft.fits(self) {
            return Ok(());
        }
        self.inner.counters.add(None, Count::TooLarge);
        let (len, limit) = (draft.contents.len(), self.inner.settings.max_value_bytes);
        Err(Error::encode_value(key, format!("it takes {len} bytes and `max_value_bytes` is {limit}")))
    }
}

enum Put {
    Done,
    /// This is stored, and must not be replaced.
    Refused(Found),
    /// Somebody came between.
    Disturbed,
    /// Nobody knows whether it is stored, or will be.
    Unanswered(Error),
}
