//! While a shared store cannot be asked: what is loaded is kept in this process for a short time, so
//! that an outage does not send every call to the database.
//!
//! What other processes invalidate meanwhile may not be heard of, so such a value lives ten seconds
//! at most ([`LONGEST_IN_OUTAGE`]), and no longer than the generation in which it was loaded ([`Coherence`]): once
//! others' changes are heard again, it is not served any more. What this process invalidates is
//! out of date at once, as ever.
//!
//! [`Coherence`]: crate::coherence::Coherence
//! [`LONGEST_IN_OUTAGE`]: crate::config::LONGEST_IN_OUTAGE

use super::{
    Call,
    look_up::{Fence, NearValue, Origin},
};
use crate::{__private::Shape, clock::millis, store::Life};

impl<S: Shape + 'static> Call<'_, S> {
    /// What to keep a value under that is loaded from now on; `None` where nothing stands in front
    /// of a shared store.
    pub(super) fn fence_in_outage(&self) -> Option<Fence> {
        Fence::note_in_outage(&self.cache, &self.full_key).filter(|_| self.codec.is_stored())
    }

    /// Keeps a value that was loaded while the store could not be asked.
    pub(super) fn keep_in_outage(&self, value: &S::Value, fence: Fence) {
        let Some(parcel) = self.parcel(value) else { return };
        let (Life { since, fresh_until, .. }, _) = parcel.lifetime.from(self.cache.inner.clock.now());
        let end = fresh_until.min(since.saturating_add(millis(self.cache.inner.settings.outage_ttl)));
        let kept = NearValue {
            packed: Some(self.codec.pack(value)),
            life: Life { since, fresh_until: end, dead_at: end },
            tags: &parcel.tags,
            bytes: parcel.contents.len() as u64,
        };
        kept.insert(&self.cache, &self.full_key, fence, Origin::Store);
    }
}
