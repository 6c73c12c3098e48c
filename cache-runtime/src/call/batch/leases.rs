//! The leases of the led ids, before the function runs.
//!
//! What holds in a process for leads holds between processes for leases: whoever waits for another
//! process's lease holds only those of smaller keys, so no two wait for each other.

use futures_util::future::join_all;

use super::{
    super::{
        ask::{Asked, Kept, View},
        fill::Leased,
        lead::Patience,
    },
    Batch, One, State,
    term::Term,
};
use crate::{
    __private::{Opt, Shape},
    flight::Lead,
    store::Lease,
};

/// What the load of one id may do with its outcome.
pub(super) struct Permit<V> {
    /// What was in force before it; without it nothing is kept.
    pub(super) view: Option<View>,
    /// The lease; without it the store is not written.
    pub(super) leased: Option<Leased>,
    /// What to answer with if the load fails.
    pub(super) fallback: Option<Kept<Opt<V>>>,
}

impl<V> Permit<V> {
    const NONE: Self = Self { view: None, leased: None, fallback: None };
}

/// An id whose lease is asked for.
struct Request<V> {
    index: usize,
    view: View,
    fallback: Option<Kept<Opt<V>>>,
}

/// The answer for one id.
enum Leasing {
    Granted(Leased),
    Held,
    Changed,
    /// There is none to be had: the value stays here, or the store failed.
    None,
}

impl<'c, S: Shape + 'static, T: Clone, K, V: 'static> Batch<'c, S, T, K, V> {
    /// Asks the store until each led id is answered or may be loaded.
    pub(super) async fn take_leases(&mut self, patience: &mut Patience) {
        if !self.pieces.codec.is_stored() {
            // Values that are only here may have come since this call looked: look again.
            self.ask_again(|_| true).await;
        }
        loop {
            self.ask_again(Option::is_none).await;
            let requests = self.requests();
            if requests.is_empty() {
                return;
            }
            let answers = self.request(&requests).await;
            self.settle(requests, answers, patience).await;
        }
    }

    /// Reads led ids once more. What is fresh now is the answer.
    async fn ask_again(&mut self, is_wanted: impl Fn(&Option<Asked<Opt<V>>>) -> bool) {
        let wanted = self.which(|state| matches!(state, State::Led(_, asked) if is_wanted(asked)));
        let mut attempts = Vec::with_capacity(wanted.len());
        for index in &wanted {
            if let State::Led(lead, _) = &self.slots[*index].state {
                attempts.push(lead.begin_attempt());
            }
        }
        for ((index, attempt), now) in wanted.iter().zip(attempts).zip(self.ask(&wanted).await) {
            let now = now.read_in(attempt);
            let slot = &mut self.slots[*index];
            let State::Led(lead, asked) = &mut slot.state else { continue };
            let Asked::Fresh(kept, _) = now else {
                *asked = Some(now);
                continue;
            };
            let outcome = lead.is_waited_for().then(|| kept.outcome(&self.pieces.codec));
            let term = Term::of(kept.life, self.function.plan().policy.stale_while_revalidate);
            let answered = State::Answered(kept.cached.into_return(), term);
            if let State::Led(lead, _) = std::mem::replace(&mut slot.state, answered) {
                lead.end(outcome, || false);
            }
        }
    }

    /// The ids that have no permit yet, in the order of their keys. Those that need none get one.
    fn requests(&mut self) -> Vec<Request<V>> {
        let mut requests = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            slot.state = match std::mem::replace(&mut slot.state, State::Open) {
                State::Led(lead, Some(Asked::Nothing(view))) => {
                    requests.push(Request { index, view, fallback: None });
                    State::Led(lead, None)
                }
                State::Led(lead, Some(Asked::Stale(stale, view))) => {
                    requests.push(Request { index, view, fallback: Some(stale) });
                    State::Led(lead, None)
                }
                State::Led(lead, _) => State::Permitted(lead, Permit::NONE),
                state => state,
            };
        }
        requests.sort_by(|a, b| self.key_at(a.index).cmp(self.key_at(b.index)));
        requests
    }

    fn key_at(&self, index: usize) -> &str {
        &self.slots[index].call.full_key
    }

    /// Asks for all leases at once; they share a trip.
    async fn request(&mut self, requests: &[Request<V>]) -> Vec<Leasing> {
        let asking = requests.iter().map(|request| lease(&self.slots[request.index].call, &request.view));
        join_all(asking.collect::<Vec<_>>()).await
    }

    async fn settle(&mut self, requests: Vec<Request<V>>, answers: Vec<Leasing>, patience: &mut Patience) {
        let mut refused = Vec::new();
        let mut first_held = None;
        for (request, answer) in requests.into_iter().zip(answers) {
            match answer {
                Leasing::Granted(leased) => self.permit(request, Some(leased)),
                Leasing::None => self.permit(request, None),
                Leasing::Held => {
                    first_held.get_or_insert(request.index);
                    refused.push(request);
                }
                Leasing::Changed => refused.push(request),
            }
        }
        if refused.is_empty() {
            return;
        }
        let goes_on = match first_held {
            Some(held) if self.cache.inner.store.is_shared() => {
                self.give_back_after(held);
                let goes_on = patience.wait(&self.cache, self.slots[held].call.key()).await;
                self.slots.iter().for_each(|slot| slot.call.budget.renew());
                goes_on
            }
            Some(_) => false,
            None => patience.again(),
        };
        if !goes_on {
            refused.into_iter().for_each(|request| self.permit(request, None));
        }
    }

    fn permit(&mut self, request: Request<V>, leased: Option<Leased>) {
        let Request { index, view, fallback } = request;
        self.with_lead(index, |lead| State::Permitted(lead, Permit { view: Some(view), leased, fallback }));
    }

    /// Gives the leases of greater keys back; they are asked for again.
    fn give_back_after(&mut self, held: usize) {
        let greater: Vec<usize> =
            self.which(|state| matches!(state, State::Permitted(_, permit) if permit.leased.is_some()));
        for index in greater {
            if self.key_at(index) > self.key_at(held) {
                self.with_lead(index, |lead| State::Led(lead, None));
            }
        }
    }

    /// Gives all leases back, before this call waits for other loads again: whoever waits holds those of
    /// smaller keys only.
    pub(super) fn give_leases_back(&mut self) {
        for index in self.which(|state| matches!(state, State::Permitted(..))) {
            self.with_lead(index, |lead| State::Led(lead, None));
        }
    }

    fn with_lead(&mut self, index: usize, next: impl FnOnce(Lead) -> State<V>) {
        let state = &mut self.slots[index].state;
        *state = match std::mem::replace(state, State::Open) {
            State::Led(lead, _) | State::Permitted(lead, _) => next(lead),
            state => state,
        };
    }
}

/// The future holds the lease from the answer on, so that dropping it gives the lease back.
async fn lease<V: 'static>(call: &One<'_, V>, view: &View) -> Leasing {
    if !call.codec.is_stored() {
        return Leasing::None;
    }
    match call.request_lease(view).await {
        Some(Lease::Granted(token)) => Leasing::Granted(Leased::new(&call.cache, &call.full_key, token)),
        Some(Lease::Held) => Leasing::Held,
        Some(Lease::Changed) => Leasing::Changed,
        None => Leasing::None,
    }
}
