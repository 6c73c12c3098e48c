//! Asking for a value: the store, or this process for values that have no stored form.

use std::pin::pin;

use super::{
    Cached, Call,
    look_up::{Fence, Look, Looked, look_up_one},
    stale,
};
use crate::{
    __private::Shape,
    clock::Millis,
    codec::Codec,
    flight::Outcome,
    policy::Policy,
    store::{Life, Stamp, Token},
};

/// What was in force before a load.
pub(super) struct View {
    pub(super) seen: Option<Token>,
    pub(super) stamp: Stamp,
    pub(super) fence: Fence,
}

/// What asking came to.
pub(super) enum Asked<S: Shape> {
    Fresh(Kept<S>, View),
    /// Past its ttl: an answer only if an option of the function says so.
    Stale(Kept<S>, View),
    Nothing(View),
    /// The store cannot be asked: the function runs and nothing is stored.
    Unusable,
}

/// What is cached, and until when.
pub(super) struct Kept<S: Shape> {
    pub(super) cached: Cached<S>,
    pub(super) life: Life,
    /// The attempt of the flight that has read it; 0 for a read before the flight.
    pub(super) attempt: u64,
}

impl<S: Shape> Kept<S> {
    /// For those who wait.
    pub(super) fn outcome(&self, codec: &Codec<S::Value>) -> Outcome {
        let packed = match &self.cached {
            Cached::Value(value) => Some(codec.pack(value)),
            Cached::None(_) => None,
        };
        Outcome::Found(packed, self.life)
    }
}

impl<S: Shape> Asked<S> {
    /// What a refresh may depend on, if one is due.
    pub(super) fn into_due(self, policy: &Policy, now: Millis) -> Option<View> {
        match self {
            Self::Stale(_, view) | Self::Nothing(view) => Some(view),
            Self::Fresh(kept, view) => stale::is_due(policy, kept.life, now).then_some(view),
            Self::Unusable => None,
        }
    }

    pub(super) fn into_stale(self) -> Option<Kept<S>> {
        match self {
            Self::Stale(kept, _) => Some(kept),
            Self::Fresh(..) | Self::Nothing(_) | Self::Unusable => None,
        }
    }

    /// The same, read in this attempt of a flight.
    pub(super) fn read_in(mut self, attempt: u64) -> Self {
        if let Self::Fresh(kept, _) | Self::Stale(kept, _) = &mut self {
            kept.attempt = attempt;
        }
        self
    }

    pub(super) fn new(looked: Looked<S::Value>, view: View, now: Millis) -> Self {
        match looked {
            Looked::Found(value, life) => Self::of(Cached::new(value), life, view, now),
            Looked::Missing | Looked::Unreadable(_) => Self::Nothing(view),
        }
    }

    fn of(cached: Option<Cached<S>>, life: Life, view: View, now: Millis) -> Self {
        match cached {
            Some(cached) if now < life.fresh_until => Self::Fresh(Kept { cached, life, attempt: 0 }, view),
            Some(cached) => Self::Stale(Kept { cached, life, attempt: 0 }, view),
            None => Self::Nothing(view),
        }
    }
}

impl<S: Shape> Call<'_, S> {
    pub(super) async fn ask(&self) -> Asked<S> {
        if !self.codec.is_stored() {
            return self.ask_near();
        }
        let look_up = pin!(look_up_one(&self.cache, &self.full_key, &self.tags, &self.codec, self.function));
        match self.budget.spending(look_up).await {
            Ok((Look { looked, seen, fence }, stamp, now)) => Asked::new(looked, View { seen, stamp, fence }, now),
            Err(error) => {
                self.failed("reading", &error);
                Asked::Unusable
            }
        }
    }

    pub(super) fn ask_near(&self) -> Asked<S> {
        let fence = Fence::note(&self.cache, &self.full_key);
        let view = View { seen: None, stamp: Stamp::NONE, fence };
        let inner = &self.cache.inner;
        let now = inner.clock.now();
        let entry = inner.near_entry(self.full_key.as_bytes(), now);
        let Some(entry) = entry else { return Asked::Nothing(view) };
        Asked::of(Cached::from_near(&self.codec, entry.value.as_ref()), entry.life, view, now)
    }
}
