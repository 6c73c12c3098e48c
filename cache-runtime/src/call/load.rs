//! A miss: ask the store, then join the key's load or lead it.
//!
//! 1. The store is asked. A fresh entry is the answer; one past its ttl may be (`stale`).
//! 2. The call joins the key's flight. A waiter gets the leader's outcome, or the lead.
//! 3. The leader takes the store's lease (`lead`). If another process holds it, the leader waits and
//!    asks the store again.
//! 4. The function runs; meanwhile the lease is renewed.
//! 5. The value is stored if nothing that it depends on was invalidated since 1 (`fill`).
//! 6. The flight ends: the waiters get the outcome that they may have.
//!
//! A fault of the store at any step means that the function runs and nothing is stored. A caller
//! that is dropped at 3 to 5 gives the lease back and leaves its seat to a waiter.

use std::{any::TypeId, future::Future, pin::Pin};

use tokio::time::Instant;

use super::{
    Cached, Call,
    ask::{Asked, Kept},
    lead::{Grant, within},
};
use crate::{
    __private::Shape,
    epoch::Epoch,
    flight::{Lead, Outcome, Seat, Waited},
    registry,
    scope::{self, Scope},
    stats::Count,
};

/// A caller after it has found its place in the key's flight.
pub(super) enum Place<S: Shape> {
    Answered(S::Return),
    Leads(Lead),
    /// The load that runs waits for this call, so this call waits for nobody.
    Alone,
}

impl<S: Shape + 'static> Call<'_, S> {
    /// Answers the call: from the store, by joining a load, or by running `body`.
    ///
    /// The future is boxed, so that a caller's own stays as small as a hit needs it. What a hit of the store
    /// does not come to is in boxes of its own: one of at most a kilobyte is much cheaper to get.
    pub fn load<F>(mut self, body: F) -> Pin<Box<impl Future<Output = S::Return>>>
    where
        F: Future<Output = S::Return>,
    {
        // Both stay here and are lent from here on: else each of the steps below would hold a call and
        // a body of its own, and the future would be many times as large.
        Box::pin(async move { self.begin_load(std::pin::pin!(body)).await })
    }

    async fn begin_load<F>(&mut self, body: F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        if let Some(function) = self.function {
            registry::note_type::<S::Value>(&self.cache, function);
        }
        if let Some(grant) = scope::take_grant::<Grant>(&self.full_key) {
            return Box::pin(self.run_and_keep(*grant, None, body)).await;
        }
        match self.scope {
            Scope::Disabled => return self.run_apart(body).await,
            Scope::Bypass => return Box::pin(self.load_anew(body)).await,
            Scope::Normal => {}
        }
        if self.is_blocked() {
            self.count(Count::Miss);
            return self.run_apart(body).await;
        }
        let asked = match self.ask().await {
            Asked::Fresh(kept, view) => return self.serve_fresh(kept, view).await,
            Asked::Stale(stale, view) => match self.serve_stale(stale, view).await {
                Ok(answer) => return answer,
                Err(asked) => asked,
            },
            asked => asked,
        };
        self.count(Count::Miss);
        Box::pin(self.join_or_lead(asked, body)).await
    }

    async fn join_or_lead<F>(&mut self, asked: Asked<S>, body: F) -> S::Return
    where
        F: Future<Output = S::Return>,
    {
        let mut asked = Some(asked);
        let mut stale = None;
        // Counted from here, whoever leads in the end.
        let deadline = self.policy().soft_timeout.map(|limit| Instant::now() + limit);
        let place = match self.seat() {
            Seat::Lead(lead) => Place::Leads(lead),
            seat => {
                // What was read before the wait is old news after it, and good only in place of an error.
                stale = asked.take().and_then(Asked::into_stale);
                self.await_patiently(seat, &mut stale, deadline).await
            }
        };
        let lead = match place {
            Place::Answered(answer) => return self.or_stale(answer, stale),
            Place::Alone => {
                let returned = self.run_apart(body).await;
                return self.or_stale(returned, stale);
            }
            Place::Leads(lead) => lead,
        };
        if self.loads_detached(asked.as_ref())
            && let Some(background) = self.take_background()
        {
            return Box::pin(self.load_detached(lead, asked, (background, deadline), body)).await;
        }
        // In a box, so that those who wait have no room for it: there may be thousands.
        Box::pin(self.lead(lead, asked, body)).await
    }

    /// Whether the load is to outlive this caller: it may go away, or be answered before the end.
    fn loads_detached(&self, asked: Option<&Asked<S>>) -> bool {
        let policy = self.policy();
        policy.detached || (policy.soft_timeout.is_some() && matches!(asked, Some(Asked::Stale(..)) | None))
    }

    /// As `await_outcome`; only until the deadline, if there was a stale value before.
    async fn await_patiently(&self, seat: Seat, stale: &mut Option<Kept<S>>, deadline: Option<Instant>) -> Place<S> {
        let mut waiting = std::pin::pin!(self.await_outcome(seat));
        if let Some(place) = within(deadline.filter(|_| stale.is_some()), &mut waiting).await {
            return place;
        }
        match stale.take_if(|stale| self.is_alive(stale)) {
            Some(stale) => Place::Answered(self.answer_stale(stale.cached)),
            // It died while the load was waited for.
            None => waiting.await,
        }
    }

    /// Waits in the flight until there is an answer, or this caller leads.
    pub(super) async fn await_outcome(&self, mut seat: Seat) -> Place<S> {
        loop {
            let wait = match seat {
                Seat::Lead(lead) => return Place::Leads(lead),
                Seat::Alone => return Place::Alone,
                Seat::Wait(wait) => wait,
            };
            match wait.wait(|| self.epoch()).await {
                Waited::Lead(lead) => return Place::Leads(lead),
                Waited::Alone => return Place::Alone,
                Waited::Outcome(outcome) => {
                    if let Some(answer) = self.share(&outcome) {
                        self.count(Count::Joined);
                        return Place::Answered(answer);
                    }
                }
            }
            seat = self.seat();
        }
    }

    pub(super) fn seat(&self) -> Seat {
        self.cache.inner.flights.join(&self.full_key, TypeId::of::<S::Value>(), self.epoch())
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.cache.inner.epochs.of(self.cache.space.slots(&self.full_key))
    }

    fn share(&self, outcome: &Outcome) -> Option<S::Return> {
        match (outcome.value(), outcome) {
            (Some(value), _) => Cached::<S>::from_near(&self.codec, value).map(Cached::into_return),
            (None, Outcome::Err(packed)) => self.shape.errors.and_then(|errors| (errors.unpack)(packed)).map(S::error),
            (None, _) => None,
        }
    }
}
