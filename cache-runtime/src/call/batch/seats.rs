//! The missing ids' flights: joined where another call loads, else led.
//!
//! The function runs once, since it may consume its arguments. So whatever might leave an id to
//! this call comes before the run, and this call may have to wait while it leads:
//!
//! 1. Batch A leads `1`. Batch B leads `2`.
//! 2. A needs `2` and waits for B.
//! 3. B needs `1` and waits for A. Nobody loads anything, for ever.
//!
//! So leads are taken in the order of the keys: whoever waits for a key leads only smaller ones.
//! 2 and 3 cannot both happen then, and each id is still loaded once. And so that those who need a
//! free id seldom wait for another one, a batch first waits, leading nothing, for all loads
//! that run when it comes.

use std::{any::TypeId, sync::Arc};

use futures_util::future::join_all;

use super::{Batch, Slot, State};
use crate::{
    __private::Shape,
    clock::Millis,
    codec::Packed,
    flight::{Group, Lead, Outcome, Seat, Waited},
    stats::Count,
};

/// What came of waiting for one id.
enum Seated {
    Answered,
    Leads(Lead),
    Alone,
}

impl<S: Shape + 'static, T: Clone, K, V: 'static> Batch<'_, S, T, K, V> {
    /// Answers what other calls load, and leads the rest. An `Err` of another call's load is the
    /// answer to the whole batch.
    pub(super) async fn take_seats(&mut self, group: &Group) -> Result<(), Packed> {
        self.wait_for_the_running().await?;
        let mut missing = self.which(|state| matches!(state, State::Missing(_)));
        missing.sort_by(|a, b| self.slots[*a].call.full_key.cmp(&self.slots[*b].call.full_key));
        for index in missing {
            match self.take_seat(index).await? {
                Seated::Answered => {}
                Seated::Alone => self.slots[index].state = State::Apart,
                Seated::Leads(mut lead) => {
                    lead.belong_to(group);
                    let slot = &mut self.slots[index];
                    let asked = match std::mem::replace(&mut slot.state, State::Open) {
                        State::Missing(asked) => asked,
                        _ => None,
                    };
                    slot.state = State::Led(lead, asked);
                }
            }
        }
        Ok(())
    }

    async fn wait_for_the_running(&mut self) -> Result<(), Packed> {
        let mut waits = Vec::new();
        for (index, slot) in self.slots.iter().enumerate() {
            if matches!(slot.state, State::Missing(_)) {
                let flights = &slot.call.cache.inner.flights;
                let wait = flights.join_if_led(&slot.call.full_key, TypeId::of::<V>(), slot.call.epoch());
                waits.extend(wait.map(|wait| (index, &slot.call, wait)));
            }
        }
        if waits.is_empty() {
            return Ok(());
        }
        let waits = waits.into_iter().map(|(index, call, wait)| async move {
            match wait.wait(|| call.epoch()).await {
                // One that comes early waits for the others.
                Waited::Outcome(outcome) => Some((index, outcome, call.cache.inner.clock.now())),
                // A lead that comes while others are waited for is left to the next in line.
                Waited::Lead(_) | Waited::Alone => None,
            }
        });
        let outcomes = join_all(waits).await;
        self.forget_what_was_read();
        for (index, outcome, came) in outcomes.into_iter().flatten() {
            self.share(index, &outcome, came)?;
        }
        Ok(())
    }

    async fn take_seat(&mut self, index: usize) -> Result<Seated, Packed> {
        let mut seat = self.slots[index].call.seat();
        loop {
            let wait = match seat {
                Seat::Lead(lead) => return Ok(Seated::Leads(lead)),
                Seat::Alone => return Ok(Seated::Alone),
                Seat::Wait(wait) => wait,
            };
            self.forget_what_was_read();
            let call = &self.slots[index].call;
            match wait.wait(|| call.epoch()).await {
                Waited::Lead(lead) => return Ok(Seated::Leads(lead)),
                Waited::Alone => return Ok(Seated::Alone),
                Waited::Outcome(outcome) => {
                    let now = self.cache.inner.clock.now();
                    if self.share(index, &outcome, now)? {
                        return Ok(Seated::Answered);
                    }
                }
            }
            seat = self.slots[index].call.seat();
        }
    }

    /// The least key whose lead an invalidation has overtaken while others were waited for.
    ///
    /// 1. This call leads `1` and waits for another's load of `2`.
    /// 2. `1` is invalidated. A call that comes then leads a load of `1` beside this one.
    /// 3. The load of `2` ends. A load of `1` that begins here now would be a second one that nothing
    ///    has overtaken, so this call goes where those who call now go.
    pub(super) fn first_overtaken(&self) -> Option<Arc<str>> {
        let is_overtaken = |slot: &&Slot<'_, T, V>| match &slot.state {
            State::Led(lead, _) | State::Permitted(lead, _) => lead.is_overtaken(slot.call.epoch()),
            _ => false,
        };
        self.slots.iter().filter(is_overtaken).map(|slot| &slot.call.full_key).min().cloned()
    }

    /// Leaves the leads of this key and all greater ones, and their leases: whoever waits for a key leads only
    /// smaller ones.
    pub(super) fn leave_from(&mut self, first: &str) {
        for slot in &mut self.slots {
            if matches!(slot.state, State::Led(..) | State::Permitted(..)) && &*slot.call.full_key >= first {
                slot.state = State::Missing(None);
            }
        }
    }

    /// What was read before a wait is old news after it.
    fn forget_what_was_read(&mut self) {
        for slot in &mut self.slots {
            if let State::Missing(asked) | State::Led(_, asked) = &mut slot.state {
                *asked = None;
            }
        }
    }

    /// What another load came to for one id; `None` if that is an error or of another type.
    pub(super) fn value_of(&self, outcome: &Outcome) -> Option<Option<V>> {
        match outcome.value()? {
            Some(packed) => self.pieces.codec.unpack(packed).map(Some),
            None => Some(None),
        }
    }

    /// Takes another load's outcome, which came at this instant. `false` when it is of a kind that this
    /// function cannot return.
    fn share(&mut self, index: usize, outcome: &Outcome, came: Millis) -> Result<bool, Packed> {
        if let Outcome::Err(packed) = outcome
            && self.error_of(packed).is_some()
        {
            return Err(packed.clone());
        }
        let Some(answer) = self.value_of(outcome) else { return Ok(false) };
        self.count(Count::Joined);
        let slot = &mut self.slots[index];
        let term = match outcome {
            Outcome::Found(_, life) => slot.call.term_of_found(*life, came),
            _ => slot.call.term_of_loaded(answer.as_ref(), came),
        };
        slot.state = State::Answered(answer, term);
        Ok(true)
    }
}
