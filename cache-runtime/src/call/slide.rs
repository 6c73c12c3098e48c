//! `sliding`: a hit gives the value its whole ttl again.

use std::{sync::Arc, time::Duration};

use crate::{
    cache::Cache,
    clock::Millis,
    store::{Expiry, Life},
    task,
};

/// A value slides when this share of its ttl has passed, so that a hot key is not written on each hit.
const STEP: u64 = 100;

/// Lengthens the life of an entry that was hit, in this process and in the store. To within one
/// hundredth of its ttl, it lives for its ttl after its last hit.
pub(super) fn slide(cache: &Cache, full_key: &str, life: Life, now: Millis) {
    let passed = now.saturating_sub(life.since);
    let ttl = life.fresh_until.saturating_sub(life.since);
    if passed == 0 || passed < ttl / STEP {
        return;
    }
    let longer = Life { since: now, fresh_until: life.fresh_until + passed, dead_at: life.dead_at + passed };
    slide_near(cache, full_key, life, longer, now);
    slide_stored(cache.clone(), full_key, life, longer);
}

/// The entry keeps its epoch: if it was invalidated meanwhile, it stays invalid. Another one in its
/// place keeps its life.
fn slide_near(cache: &Cache, full_key: &str, was: Life, life: Life, now: Millis) {
    let Some(near) = &cache.inner.near else { return };
    let Some(entry) = cache.inner.near_entry(full_key.as_bytes(), now) else { return };
    if entry.life == was {
        near.insert(entry.living(life));
    }
}

fn slide_stored(cache: Cache, full_key: &str, was: Life, life: Life) {
    let key: Box<str> = cache.space.key_in(full_key).into();
    let keep = Duration::from_millis(life.dead_at.saturating_sub(life.since));
    task::detach(async move {
        let Cache { inner, space } = &cache;
        let expiry = Expiry { key: &key, life, keep, was: Some(was) };
        if let Err(error) = Arc::clone(&inner.store).expire(&space.namespace, expiry).await {
            inner.report.failure(&inner.clock, "lengthening a sliding value's life", &error);
        }
    });
}
