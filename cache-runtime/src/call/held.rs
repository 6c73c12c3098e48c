//! A decoded value that this process holds: kept near, or by the store as it is.

use std::sync::Arc;

use super::{
    look_up::{Fence, NearValue, Origin},
    stale,
};
use crate::{
    __private::Function,
    cache::{Cache, Inner, Space},
    clock::Millis,
    codec::Packed,
    key::{RawArgs, Rendered},
    near::{AtHandCall, NearEntry},
    store::{Decoded, Entry, Life},
};

/// Something that may be served, if it is not too old for who asks.
pub(super) enum Held {
    Near(Arc<NearEntry>),
    Stored(Arc<Entry>),
}

impl Held {
    /// What is pending is noted before anything is read. 1. An invalidation of a tag fails and is
    /// pending. 2. The store's entry is read. 3. The invalidation lands. Whether it names the entry cannot be
    /// told any more, so while anything is pending the store is asked by a read, which counts the
    /// landings. For near, what fails from here on is seen here or in the entry's epoch.
    pub(super) fn find(inner: &Inner, space: &Space, key: Rendered<'_>, is_stored: bool, now: Millis) -> Option<Self> {
        let is_pending = inner.pending.len() > 0;
        if is_stored && !inner.near_before_store {
            let at_once = || inner.store.at_once(&space.namespace, key.key());
            return if is_pending { None } else { at_once().map(Self::Stored) };
        }
        if is_pending && inner.pending.blocks(space, key.key(), &[]) {
            return None;
        }
        inner.near_entry(key.full_bytes(), now).map(Self::Near)
    }

    /// `None` is a cached `None`.
    pub(super) fn value(&self) -> Option<&Packed> {
        match self {
            Self::Near(entry) => entry.value.as_ref(),
            Self::Stored(entry) => entry.decoded.as_ref().map(Decoded::packed),
        }
    }

    pub(super) fn life(&self) -> Life {
        match self {
            Self::Near(entry) => entry.life,
            Self::Stored(entry) => entry.head.life,
        }
    }

    /// Has it at hand for this thread's next call with these arguments.
    pub(super) fn keep_at_hand(
        &self,
        cache: &Cache,
        (function, args): (&'static Function, RawArgs),
        space: &Arc<Space>,
        (key, now): (Rendered<'_>, Millis),
    ) {
        let Some(near) = &cache.inner.near else { return };
        let Some(call) = AtHandCall::new(function.number(), cache.space.number, args) else { return };
        let entry = || match self {
            Self::Near(entry) => Some(Arc::clone(entry)),
            Self::Stored(entry) => near_entry(cache, space, key, entry),
        };
        let until = stale::next_due(&function.plan().policy, self.life());
        near.keep_at_hand(call, now..until, entry, || cache.inner.counters.own_hits(function));
    }
}

/// What the store holds, as an entry that is out of date with the counters of this process.
///
/// They must be noted before the store is looked at, so it is looked at again. What is found then must be what
/// was found first: another one may end sooner than this place is to be held.
fn near_entry(cache: &Cache, space: &Arc<Space>, key: Rendered<'_>, found: &Arc<Entry>) -> Option<Arc<NearEntry>> {
    let cache = Cache { inner: Arc::clone(&cache.inner), space: Arc::clone(space) };
    let fence = Fence::note(&cache, key.full());
    let entry = cache.inner.store.at_once(&space.namespace, key.key()).filter(|entry| Arc::ptr_eq(entry, found))?;
    let decoded = entry.decoded.as_ref();
    let value = NearValue {
        packed: decoded.map(|decoded| Arc::clone(decoded.packed())),
        life: entry.head.life,
        tags: &entry.head.tags,
        bytes: decoded.map_or(0, |decoded| decoded.counted_len() as u64),
    };
    let kept = value.into_entry(&cache, &key.full().into(), fence, Origin::Store)?;
    Some(Arc::new(kept.of_store(entry.head.token)))
}

/// Whether the store still holds an entry of its own that a thread has at hand.
#[inline(never)]
pub(super) fn is_stored(cache: &Cache, function: &Function, entry: &NearEntry) -> bool {
    let space = cache.space_of(Some(function));
    let held = cache.inner.store.at_once(&space.namespace, space.key_in(entry.full_key()));
    held.is_some_and(|held| Some(held.head.token) == entry.stored_as())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key;

    #[tokio::test]
    async fn another_entry_than_the_one_that_was_found_is_not_kept_under_its_deadline() {
        let cache = Cache::builder().build().await.unwrap();
        cache.get_or_load("n", async || Ok::<_, ()>(7)).await.unwrap();
        let found = || cache.inner.store.at_once(&cache.space.namespace, "n").unwrap();
        let is_kept = |found: &Arc<Entry>| {
            let write = |writer: &mut key::KeyWriter| writer.literal("n");
            key::with_rendered(&cache.space.prefix, 0, write, |key| {
                near_entry(&cache, &cache.space, key.unwrap_or_else(|message| panic!("{message}")), found).is_some()
            })
        };
        let before = found();
        assert!(is_kept(&before));
        // Its token stays as it is.
        assert!(cache.expire("n", 1).await.unwrap());
        assert!(!is_kept(&before));
        assert!(is_kept(&found()));
    }
}
