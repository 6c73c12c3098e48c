//! The ids that are cached: answered from this process, or by one read of the store.

use std::sync::Arc;

use super::{
    super::{
        ask::{Asked, View},
        look_up::{Look, look_up},
        slide, stale as one,
    },
    Batch, One, State,
    stale::Due,
    term::Term,
};
use crate::{
    __private::{Opt, Shape},
    error::Error,
    stats::Count,
};

impl<'c, S: Shape + 'static, T: Clone, K, V: 'static> Batch<'c, S, T, K, V> {
    /// Answers what is cached. Returns the hits that are to be refreshed.
    pub(super) async fn look(&mut self) -> Vec<Due> {
        let mut dues = Vec::new();
        self.set_blocked_apart();
        self.look_near(&mut dues);
        let open = self.which(|state| matches!(state, State::Open));
        for (index, asked) in open.iter().zip(self.ask(&open).await) {
            self.serve(*index, asked, &mut dues);
        }
        dues
    }

    /// What an invalidation names that has not landed is not answered from the cache.
    fn set_blocked_apart(&mut self) {
        use crate::scope::Scope;
        for slot in &mut self.slots {
            if slot.call.scope == Scope::Disabled || slot.call.is_blocked() {
                slot.call.count(Count::Miss);
                slot.state = State::Apart;
            }
        }
    }

    /// A hit near that is to be refreshed goes on to the store, whose answer the refresh needs; unless
    /// somebody refreshes it already.
    fn look_near(&mut self, dues: &mut Vec<Due>) {
        let inner = self.cache.inner.clone();
        if !self.pieces.codec.is_stored() || !inner.near_before_store {
            return;
        }
        let (policy, now) = (self.policy(), inner.clock.now());
        for index in self.which(|state| matches!(state, State::Open)) {
            let call = &self.slots[index].call;
            let asked = call.ask_near();
            let (is_hit, is_due) = match &asked {
                Asked::Fresh(kept, _) => (true, one::is_due(policy, kept.life, now)),
                Asked::Stale(kept, _) => (one::is_open(kept.life, policy.stale_while_revalidate, now), true),
                Asked::Nothing(_) | Asked::Unusable => (false, false),
            };
            if is_hit && (!is_due || inner.claims.claim(&call.full_key, call.epoch(), now).is_none()) {
                self.serve(index, asked, dues);
            }
        }
    }

    /// Answers with what was found, if it is an answer.
    fn serve(&mut self, index: usize, asked: Asked<Opt<V>>, dues: &mut Vec<Due>) {
        let (policy, now) = (self.policy(), self.cache.inner.clock.now());
        let call = &self.slots[index].call;
        let state = match asked {
            Asked::Fresh(kept, view) => {
                call.count(Count::Hit);
                if one::is_due(policy, kept.life, now) {
                    dues.push(Due { index, view });
                } else if policy.sliding {
                    slide::slide(&call.cache, &call.full_key, kept.life, now);
                }
                State::Answered(kept.cached.into_return(), Term::of(kept.life, policy.stale_while_revalidate))
            }
            Asked::Stale(stale, view) if one::is_open(stale.life, policy.stale_while_revalidate, now) => {
                dues.push(Due { index, view });
                let term = Term::of(stale.life, policy.stale_while_revalidate);
                State::Answered(call.answer_stale(stale.cached), term)
            }
            Asked::Stale(stale, _)
                if one::is_open(stale.life, policy.stale_if_error, now)
                    && call.cache.inner.claims.rests(&call.full_key, now) =>
            {
                let term = Term::of(stale.life, policy.stale_if_error);
                State::Answered(call.answer_stale(stale.cached), term)
            }
            asked => {
                call.count(Count::Miss);
                State::Missing(Some(asked))
            }
        };
        self.slots[index].state = state;
    }

    /// Asks for some of the ids, in one trip.
    pub(super) async fn ask(&mut self, slots: &[usize]) -> Vec<Asked<Opt<V>>> {
        let calls: Vec<&One<'c, V>> = slots.iter().map(|index| &self.slots[*index].call).collect();
        if !self.pieces.codec.is_stored() {
            return calls.into_iter().map(Call::ask_near).collect();
        }
        match ask(&calls).await {
            Ok(asked) => asked,
            Err(error) => {
                self.failed("reading", &error);
                slots.iter().map(|_| Asked::Unusable).collect()
            }
        }
    }
}

use super::super::Call;

async fn ask<V: 'static>(calls: &[&One<'_, V>]) -> Result<Vec<Asked<Opt<V>>>, Error> {
    let Some(first) = calls.first() else { return Ok(Vec::new()) };
    let keys: Vec<Arc<str>> = calls.iter().map(|call| Arc::clone(&call.full_key)).collect();
    let looks = look_up(&first.cache, &keys, &tags_of(calls), &first.codec, first.function).await?;
    let (stamp, now) = (looks.stamp, looks.now);
    let asked = |Look { looked, seen, fence }| Asked::new(looked, View { seen, stamp, fence }, now);
    Ok(looks.looks.into_iter().map(asked).collect())
}

/// The tags that are known of any of the ids.
pub(super) fn tags_of<V>(calls: &[&One<'_, V>]) -> Vec<Box<str>> {
    let mut tags: Vec<Box<str>> = calls.iter().flat_map(|call| call.tags.iter().cloned()).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}
