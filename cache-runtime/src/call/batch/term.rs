//! Until when what was found may be in the answer, and what becomes of ids whose values end before.

use std::{sync::Arc, time::Duration};

use super::{Batch, One, State};
use crate::{
    __private::Shape,
    clock::{Millis, millis},
    lifetime::Lifetime,
    store::Life,
};

/// How long an answer for one id is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    ends: Millis,
    /// Until when it may stand in for a load that is slow.
    pub(super) dead_at: Millis,
}

impl Term {
    /// Of what this call has loaded, or takes in place of that.
    pub(super) const ENDLESS: Self = Self { ends: Millis::MAX, dead_at: Millis::MAX };

    /// A value is served until its ttl ends, and for a window after it.
    pub(super) fn of(life: Life, window: Option<Duration>) -> Self {
        let ends = life.fresh_until.saturating_add(window.map_or(0, millis));
        Self { ends: ends.min(life.dead_at), dead_at: life.dead_at }
    }

    pub(super) const fn has_ended(self, now: Millis) -> bool {
        now >= self.ends
    }
}

impl<V: 'static> One<'_, V> {
    /// The term of what another call has found and answers with, at the instant at which that came here.
    pub(super) fn term_of_found(&self, life: Life, came: Millis) -> Term {
        let term = Term::of(life, self.policy().stale_while_revalidate);
        // It is past that: its load has failed.
        if term.has_ended(came) { Term::of(life, self.policy().stale_if_error) } else { term }
    }

    /// The term of what another call has loaded: no longer than it is cached, if it is.
    pub(super) fn term_of_loaded(&self, value: Option<&V>, came: Millis) -> Term {
        let ttl = value.map_or(self.policy().negative_ttl, |value| Some(self.ttl_of(value)));
        let lifetime = ttl.map(|ttl| Lifetime::at_least(self.policy(), ttl)).filter(|life| !life.is_over());
        lifetime.map_or(Term::ENDLESS, |lifetime| Term::of(lifetime.from(came).0, self.policy().stale_while_revalidate))
    }
}

impl<S: Shape + 'static, T: Clone, K, V: 'static> Batch<'_, S, T, K, V> {
    /// Makes ids missing again whose values have ended since they were found. Returns the least of their keys.
    pub(super) fn reopen_ended(&mut self) -> Option<Arc<str>> {
        let now = self.cache.inner.clock.now();
        let ended = self.which(|state| matches!(state, State::Answered(_, term) if term.has_ended(now)));
        for index in &ended {
            self.slots[*index].state = State::Missing(None);
        }
        ended.iter().map(|index| &self.slots[*index].call.full_key).min().cloned()
    }
}
