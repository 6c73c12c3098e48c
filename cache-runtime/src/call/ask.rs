//! Asking for a value: the store, or this process for values that have no stored form.

use super::{
    Cached, Call,
    look_up::{Fence, Looked, look_up},
};
use crate::{
    __private::Shape,
    clock::Millis,
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
    Fresh(Cached<S>, Life),
    /// Past its ttl: an answer only if an option of the function says so.
    Stale(Stale<S>, View),
    Nothing(View),
    /// The store cannot be asked: the function runs and nothing is stored.
    Unusable,
}

/// A value past its ttl.
pub(super) struct Stale<S: Shape> {
    pub(super) cached: Cached<S>,
    pub(super) fresh_until: Millis,
}

impl<S: Shape> Asked<S> {
    /// What a load may depend on, if there is a need for one.
    pub(super) fn into_view(self) -> Option<View> {
        match self {
            Self::Stale(_, view) | Self::Nothing(view) => Some(view),
            Self::Fresh(..) | Self::Unusable => None,
        }
    }

    fn new(looked: Looked<S::Value>, view: View) -> Self {
        match looked {
            Looked::Fresh(value, life) => match Cached::new(value) {
                Some(cached) => Self::Fresh(cached, life),
                None => Self::Nothing(view),
            },
            Looked::Stale(value, life) => match Cached::new(value) {
                Some(cached) => Self::Stale(Stale { cached, fresh_until: life.fresh_until }, view),
                None => Self::Nothing(view),
            },
            Looked::Missing | Looked::Unreadable(_) => Self::Nothing(view),
        }
    }
}

impl<S: Shape> Call<'_, S> {
    pub(super) async fn ask(&self) -> Asked<S> {
        if !self.codec.is_stored() {
            return self.ask_near();
        }
        match look_up(&self.cache, &[self.key()], &self.tags, &self.codec, self.function).await {
            Ok(mut looks) => match (looks.looked.pop(), looks.seen.pop(), looks.fences.pop()) {
                (Some(looked), Some(seen), Some(fence)) => Asked::new(looked, View { seen, stamp: looks.stamp, fence }),
                _ => Asked::Unusable,
            },
            Err(error) => {
                self.failed("reading", &error);
                Asked::Unusable
            }
        }
    }

    fn ask_near(&self) -> Asked<S> {
        let fence = Fence::note(&self.cache, &self.full_key);
        let view = View { seen: None, stamp: Stamp::NONE, fence };
        let inner = &self.cache.inner;
        let (slots, now) = (self.cache.space.slots(&self.full_key), inner.clock.now());
        let coherence = inner.coherence.as_deref();
        let entry =
            inner.near.as_ref().and_then(|near| near.get(&self.full_key, &slots, &inner.epochs, coherence, now));
        let Some(entry) = entry else { return Asked::Nothing(view) };
        match Cached::from_near(&self.codec, &entry) {
            Some(cached) if now < entry.life.fresh_until => Asked::Fresh(cached, entry.life),
            Some(cached) => Asked::Stale(Stale { cached, fresh_until: entry.life.fresh_until }, view),
            None => Asked::Nothing(view),
        }
    }

    /// The stamps alone, for a load that does not care what is stored.
    pub(super) async fn ask_for_stamp(&self) -> Option<View> {
        let fence = Fence::note(&self.cache, &self.full_key);
        if !self.codec.is_stored() {
            return Some(View { seen: None, stamp: Stamp::NONE, fence });
        }
        let space = &self.cache.space;
        match self.cache.inner.store.read(&space.namespace, &[self.key()], &self.tags).await {
            Ok(reading) => Some(View { seen: None, stamp: reading.stamp, fence }),
            Err(error) => {
                self.failed("reading", &error);
                None
            }
        }
    }
}
